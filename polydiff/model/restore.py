"""What a model makes of another form of examples, where it was trained to: upsampling, vocoding, filling gaps.

What it is told comes as a batch whose conditions hold it, and whose states are what a simple method makes of it: from
held-out examples by `degrade_held_out`, from a user's own files by `told`:

    restore(model, read_degraded(model, ["low.wav"]))
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from polydiff.contract.abilities import Restores
from polydiff.contract.domain import Samples, conditions_of
from polydiff.contract.tasks import Restoration
from polydiff.core.conditions import Condition, with_words
from polydiff.core.process import generating
from polydiff.core.space import Batch, State, state_to
from polydiff.core.streams import streams
from polydiff.metrics.results import Metric
from polydiff.model.model import Model
from polydiff.model.request import Request
from polydiff.support.errors import UserError, as_paths
from polydiff.support.protocols import provides


def read_degraded(model: Model, paths: Sequence[Path | str] | Path | str, degrade: bool = False) -> Batch:
    """Return what a model is told of a user's own files, other conditions not given.

    Arguments:
        model: Trained for a task that has files: upsample, or vocode.
        paths: Files of one size, or one file: recordings of the low rate or small images; sounds, or .mel.npz files.
        degrade: Whether they are examples in full, of which the lesser form is made first.
    """
    return restoration_of(model)[0].read_degraded(as_paths(paths), degrade)


def degrade_held_out(model: Model, indices: Sequence[int]) -> tuple[Batch, Batch]:
    """Return what a model is told of held-out examples, as `told` does, and these examples as clean states.

    What is drawn (filters, masks) is the same at each call.
    """
    _, task = restoration_of(model)
    truth = model.domain.batch("test", indices, streams(0, "task", indices))
    assert truth.cond is not None
    return Batch(task.guess(truth.cond, truth.x.shape[2:]), truth.space, truth.cond), truth


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
    """Return examples made of what a model is told of them.

    Guidance is about the other conditions, such as a class: both of its estimates are told.

    Arguments:
        model: What makes them.
        given: Of `told` or `degrade_held_out`.
        keep: Whether what is told for certain, such as the low frequencies of a recording, is put in its place.
        seed: Of everything random.
        first: Number of the first example; its noise follows from the seed and this, not from the batch.
        cond: What else is asked for, in the domain's words.
        sampling: Keys of the configuration's section `sample`, as in `Model.sample`.
    """
    restoration_of(model)
    return made(Request.of(model, sampling), given, keep=keep, seed=seed, first=first, cond=cond)


def made(
    request: Request, given: Batch, *, keep: bool, seed: int, first: int, cond: Mapping[str, Any] | None
) -> Samples:
    """Return one batch of a request to restore; arguments as of `restore`."""
    model = request.model
    _, task = restoration_of(model)
    indices = range(first, first + given.space.batch)
    requested = model.conditions(cond, seed, indices) if cond else {}
    whole = {**(given.cond or {}), **{name: requested[name] for name in cond or {}}}
    part = {name: whole[name] for name in task.conditions}
    x = request.states(given.space, whole, seed, indices).cpu()
    return to_samples(model, task.finish(x, part) if keep else x, given, whole)


def to_samples(model: Model, x: State, given: Batch, cond: Condition | None) -> Samples:
    """Return states as examples with the conditions that have words: a signal beside them is none."""
    return Samples(model.domain.decode(state_to(x, "cpu"), given.space), with_words(cond, conditions_of(model.domain)))


class Paired(NamedTuple):
    """Samples beside the examples that they should be.

    Attributes:
        sets: "value", samples; "data", the held-out examples; "noise"; "baseline", what a simple method makes.
        metrics: Of each set, its distances to the held-out examples.
        baseline: What the simple method is.
    """

    sets: dict[str, Samples]
    metrics: dict[str, dict[str, Metric]]
    baseline: str


def paired(request: Request, n: int, *, seed: int = 0, cond: Mapping[str, Any] | None = None) -> Paired:
    """Make up to n held-out examples of what a model is told of them, and compare.

    Arguments:
        request: How samples are drawn, of a model that was trained for such a task (`has_restoration`).
        n: How many, from all over the held-out examples.
        seed: Of the samples; what is told of an example is always the same.
        cond: As in `restore`.
    """
    model = request.model
    domain, task = restoration_of(model)
    held = model.domain.size("test")
    n = min(n, held)
    size = request.batch_size
    parts: dict[str, list[Samples]] = {row: [] for row in ("value", "data", "noise", "baseline")}
    for first in range(0, n, size):
        given, truth = degrade_held_out(model, [i * held // n for i in range(first, min(first + size, n))])
        noise = generating(model.process).prior(
            given.space, streams(seed, "noise", range(first, first + given.space.batch))
        )
        parts["value"].append(made(request, given, keep=True, seed=seed, first=first, cond=cond))
        for row, x in {"data": truth.x, "noise": noise, "baseline": given.x}.items():
            parts[row].append(to_samples(model, x, given, given.cond))
    sets = {row: Samples.join(samples) for row, samples in parts.items()}
    return Paired(sets, {row: domain.compare(samples, sets["data"]) for row, samples in sets.items()}, task.simple)


def has_restoration(model: Model) -> bool:
    """Return whether a model was trained for a task with a truth."""
    return provides(model.domain, Restores) and provides(model.domain.task, Restoration)


def restoration_of(model: Model) -> tuple[Restores, Restoration]:
    """Return a model's domain and its task; a model that was trained to make examples out of nothing is refused."""
    domain = model.domain
    if provides(domain, Restores) and provides(domain.task, Restoration):
        return domain, domain.task
    raise UserError(
        f"The model was trained to make examples out of nothing. Train one with `polydiff train --domain "
        f"{model.config.domain} task=upsample`, say."
    )
