"""Restoration with a model trained for it: upsampling, vocoding, filling gaps.

The degraded input is a batch: its conditions hold what the model is conditioned on, its states the estimate of a simple
baseline. `degrade_held_out` computes it from held-out examples, `read_degraded` from the user's own files:

    restore(model, read_degraded(model, ["low.wav"]))
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor

from polydiff.contract.domain import Samples, conditions_of
from polydiff.contract.editing import Restores
from polydiff.contract.tasks.task import Restoration
from polydiff.core.condition_batch import with_words
from polydiff.core.conditions import Condition
from polydiff.core.entry import check_batch
from polydiff.core.process.sampling import generating
from polydiff.core.space import Batch, State, state_to
from polydiff.core.streams import streams
from polydiff.machine.processes.dealing import by_first
from polydiff.metrics.results import Metric
from polydiff.model.batches import dealt_sets
from polydiff.model.model import Model, check_model
from polydiff.model.origin import ModelOrigin, drawn, given_to
from polydiff.model.request import Request
from polydiff.support.errors import UserError, as_paths
from polydiff.support.protocols import provides


def read_degraded(model: Model, paths: Sequence[Path | str] | Path | str, degrade: bool = False) -> Batch:
    """Return the user's own files as a degraded batch, with every other condition missing.

    Arguments:
        model: Trained for a task that reads files: upsample or vocode.
        paths: Files of one size, or one file: recordings of the low rate or small images; sounds, or .mel.npz files.
        degrade: Whether the files are complete examples, which are degraded first.
    """
    return restoration_of(model)[0].read_degraded(as_paths(paths), degrade)


def degrade_held_out(model: Model, indices: Sequence[int]) -> tuple[Batch, Batch]:
    """Return degraded held-out examples, as `read_degraded` does, and these examples as clean states.

    Random parts of the degradation (filters, masks) are the same at each call.
    """
    _, task = restoration_of(model)
    truth = model.domain.batch("test", indices, streams(0, "task", indices))
    assert truth.cond is not None
    sizes = truth.x.shape[2:] if isinstance(truth.x, Tensor) else ()
    return Batch(task.guess(truth.cond, sizes), truth.space, truth.cond), truth


def restore(
    model: Model,
    given: Batch,
    *,
    keep: bool = True,
    seed: int = 0,
    first: int = 0,
    cond: Mapping[str, Any] | None = None,
    **sampling: Any,
) -> Samples:
    """Restore degraded examples.

    Guidance concerns the other conditions, such as a class: both of its estimates are conditioned on the input.

    Arguments:
        model: A model trained for restoration.
        given: Degraded batch, from `read_degraded` or `degrade_held_out`.
        keep: Whether to put known values back, such as the low frequencies of a recording.
        seed: Random seed.
        first: Number of the first example; noise is a function of the seed and this number, not of the batch.
        cond: Other requested conditions, as in `Model.sample`.
        sampling: Keys of the configuration's section `sample`, as in `Model.sample`.
    """
    restoration_of(model)
    check_batch(given, name="given")
    return made(Request.of(model, sampling), given, keep=keep, seed=seed, first=first, cond=cond)


def made(
    request: Request, given: Batch, *, keep: bool, seed: int, first: int, cond: Mapping[str, Any] | None
) -> Samples:
    """Restore one batch of degraded examples.

    Arguments:
        request: How samples are drawn, by a model that was trained for restoration.
        given: Degraded batch, from `read_degraded` or `degrade_held_out`.
        keep: Whether to put known values back.
        seed: Random seed.
        first: Number of the first example.
        cond: Other requested conditions, as in `Model.sample`; None: none.
    """
    model = request.model
    _, task = restoration_of(model)
    indices = range(first, first + given.space.batch)
    requested = model.conditions(cond, seed, indices) if cond else {}
    whole = {**(given.cond or {}), **{name: requested[name] for name in cond or {}}}
    part = {name: whole[name] for name in task.conditions}
    x = state_to(request.states(given.space, whole, seed, indices), "cpu")
    return to_samples(model, task.finish(x, part) if keep else x, given, whole, drawn(model, request.how, seed, cond))


def to_samples(
    model: Model, x: State, given: Batch, cond: Condition | None, origin: ModelOrigin | None = None
) -> Samples:
    """Decode states to samples, with those conditions that can be written as text.

    Arguments:
        model: Its domain decodes the states.
        x: Clean states, (B, ...).
        given: Gives the space of the states.
        cond: Conditions of the states; None: none.
        origin: How the model drew them; None: it did not.
    """
    words = with_words(cond, conditions_of(model.domain))
    return Samples(model.domain.decode(state_to(x, "cpu"), given.space), words, origin or given_to(model))


class Paired(NamedTuple):
    """Samples beside the examples that they should be.

    Attributes:
        sets: "value", samples; "data", the held-out examples; "noise"; "baseline", estimates of a simple method.
        metrics: Distances of each set to the held-out examples.
        baseline: Description of the simple method.
    """

    sets: dict[str, Samples]
    metrics: dict[str, dict[str, Metric]]
    baseline: str


def paired(request: Request, n: int, *, seed: int = 0, cond: Mapping[str, Any] | None = None) -> Paired:
    """Restore up to n degraded held-out examples and compare them with the originals.

    Arguments:
        request: How samples are drawn, by a model that was trained for restoration (`Model.restores`).
        n: Number of examples, evenly spaced over the held-out split.
        seed: Random seed of the samples; the degraded inputs do not depend on it.
        cond: As in `restore`.
    """
    model = request.model
    domain, task = restoration_of(model)
    held = model.domain.size("test")
    n = min(n, held)
    model.agree_on_batches()
    size = request.batch_size

    def restored(first: int) -> dict[str, Samples]:
        """Return the sets of one batch, that of the examples from `first` on."""
        given, truth = degrade_held_out(model, [i * held // n for i in range(first, min(first + size, n))])
        noise = generating(model.process).prior(
            given.space, streams(seed, "noise", range(first, first + given.space.batch))
        )
        value = made(request, given, keep=True, seed=seed, first=first, cond=cond)
        others = {"data": truth.x, "noise": noise, "baseline": given.x}
        return {"value": value, **{row: to_samples(model, x, given, given.cond) for row, x in others.items()}}

    sets = dealt_sets(range(0, n, size), restored, "batches restored")
    sets = {row: replace(found, origin=found.origin or given_to(model)) for row, found in sets.items()}
    return Paired(sets, by_first(lambda: distances(domain, sets)), task.simple)


def distances(domain: Restores, sets: Mapping[str, Samples]) -> dict[str, dict[str, Metric]]:
    """Return the distances of sets of examples to the true ones, the set "data"."""
    return {row: domain.compare(samples, sets["data"]) for row, samples in sets.items()}


def restoration_of(model: Model) -> tuple[Restores, Restoration]:
    """Return a model's domain and its restoration task; raise UserError if the model was trained to generate."""
    check_model(model)
    domain = model.domain
    if provides(domain, Restores) and provides(domain.task, Restoration):
        return domain, domain.task
    raise UserError(
        f"The model was trained to generate, not to restore. Train a model for it, for instance with `polydiff train "
        f"--domain {model.config.domain} task=upsample`."
    )
