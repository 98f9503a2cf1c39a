"""Edit existing examples with a trained model: variations, inpainting, interpolation, reconstruction.

Examples come as clean states with the space that they live in and their conditions, as `Domain.batch` gives them, or
as `read` reads them from files:

    given = model.domain.batch("test", range(8), streams(0, "augment", range(8)))
    vary(model, given, strength=0.4)
    vary(model, read(model, ["drum.wav"]), strength=0.4)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from numbers import Real
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from polydiff.contract.domain import Samples
from polydiff.contract.editing import Forgets, HasPartMasks, Reads
from polydiff.contract.tasks.inpaint import known
from polydiff.core.entry import check_batch
from polydiff.core.parts.known import known_name
from polydiff.core.parts.product import as_parts
from polydiff.core.process.abilities import Inpaints, Interpolates, Reconstructs, Varies
from polydiff.core.process.process import lacks
from polydiff.core.process.sampling import Draw, Known
from polydiff.core.space import Batch, Matches, check_mask, state_to
from polydiff.core.streams import streams
from polydiff.encode.codes import CodeSpace
from polydiff.model.model import Model, check_model
from polydiff.model.origin import drawn
from polydiff.model.request import Request
from polydiff.model.restore import to_samples
from polydiff.model.user_conditions import edited_conditions, has_residual_states, requested_conditions
from polydiff.stages.through import Through
from polydiff.support.errors import UserError, as_paths, attempt, check_type, check_whole
from polydiff.support.protocols import provides

AT_ONCE, JUMP = 64, 5
"""Held-out examples in a batch, and steps of a piece of the plan that inpainting repeats."""


def read(model: Model, paths: Sequence[Path | str] | Path | str, *, whole: bool = False) -> Batch:
    """Return a user's own files as clean states of the kind that a model was trained on, with no condition given.

    Arguments:
        model: Determines the kind.
        paths: Files of one size, or one file; sounds keep their length, and the network takes any.
        whole: Whether a model that works in codes gets whole examples, for `inpaint`, and not their codes.
    """
    check_model(model)
    domain = of_examples(model).domain if whole else model.domain
    if not provides(domain, Reads):
        raise UserError(f"The domain {model.config.domain} reads no files. Name no file, to use held-out examples.")
    return domain.read(as_paths(paths))


def of_examples(model: Model) -> Model:
    """Return a model that works in codes with the domain of whole examples, to read and write them; others unchanged.

    Raises:
        UserError: The model's states are embeddings, which decode to nothing.
    """
    if isinstance(model.domain, Through):
        return replace(model, domain=model.domain.whole)
    check_no_codec(model, "inpaint")
    return model


def vary(
    model: Model,
    given: Batch,
    *,
    strength: float = 0.5,
    seed: int = 0,
    first: int = 0,
    cond: Mapping[str, Any] | None = None,
    **sampling: Any,
) -> Samples:
    """Return examples made from given ones, less like them the greater the strength (SDEdit).

    Arguments:
        model: The model.
        given: Clean states.
        strength: Where noise begins, as a share of the schedule's time, in (0, 1].
        seed: Of everything random.
        first: Number of the first example; its noise follows from the seed and this, not from the batch.
        cond: Requested conditions, as in `Model.sample`; other conditions stay unchanged.
        sampling: Keys of the configuration's section `sample`, as in `Model.sample`.
    """
    check_model(model)
    check_batch(given, name="given")
    indices = numbers_from(first, given)
    process = model.process
    if not provides(process, Varies):
        raise lacks(process, "make variations")
    request = Request.of(model, sampling, plan=lambda how: process.varying(model, how, strength))
    cond_given = edited_conditions(model, given, cond, seed, indices)
    x = request.states(given.space, cond_given, seed, indices, init=given.x)
    return to_samples(model, x, given, cond_given, drawn(model, request.how, seed, cond, strength=strength))


def inpaint(
    model: Model,
    given: Batch,
    mask: Any,
    *,
    jump: int | None = None,
    resample: int = 1,
    seed: int = 0,
    first: int = 0,
    cond: Mapping[str, Any] | None = None,
    **sampling: Any,
) -> Samples:
    """Return examples that equal given ones where the mask is 1 or True, and are new elsewhere.

    Any model does it by replacement (`control.Known`), better with `resample` (RePaint). A model that was
    trained with task=inpaint is conditioned on the known part as well, in both estimates of guidance.

    A model that works in codes inpaints codes. Those whose whole patch is known are given; the known part of an example
    is put back at the end.

    Arguments:
        model: The model.
        given: Clean states of whole examples: for a model that works in codes of `read(model, files, whole=True)` or
            `model.domain.whole.batch(...)`.
        mask: What is known, broadcasting against a state; a row an atom of molecules: (M, 1) packed, (B, N, 1) padded.
            Of states of several parts, name of a part -> its mask; or what the domain's `region` returns.
        jump: Steps of a piece of the plan, of which each is run `resample` times; None: 5.
        resample: How often each piece is run, 1 for once; more harmonises the new with the known.
        seed: Of everything random.
        first: As in `vary`.
        cond: As in `vary`.
        sampling: As in `vary`.
    """
    check_model(model)
    check_batch(given, name="given")
    source = of_examples(model)
    mask = masks_of(source, given, mask)
    if isinstance(given.space, CodeSpace):
        raise UserError(
            "given holds codes, but a mask concerns whole examples. Give those of `read(model, files, whole=True)` or "
            "of `model.domain.whole.batch(...)`."
        )
    attempt("inpaint", lambda: check_mask(mask, given.x))
    check_whole("jump", JUMP if jump is None else jump)
    check_whole("resample", resample)
    if jump is not None and resample == 1:
        raise UserError(f"jump={jump} has no effect without resample. Set resample=4, or leave out jump.")
    jump = JUMP if jump is None else jump
    check_whole_states(model, "inpaint")
    indices = numbers_from(first, given)
    process = model.process
    if not provides(process, Inpaints):
        raise lacks(process, "inpaint")
    request = Request.of(model, sampling, plan=lambda how: process.inpainting(model, how, jump, resample))
    cond_given = edited_conditions(model, given, cond, seed, indices)
    y, here = given, mask
    if provides(source.domain, Forgets):
        y = given._replace(x=source.domain.forget(given.x, mask, given.space))
    if isinstance(model.domain, Through):
        y, here = model.domain.known(y, mask)
    cond_given = {**(cond_given or {}), **known_conditions(model, y.x, here)} or None
    x = request.states(y.space, cond_given, seed, indices, known=Known(y.x, here))
    origin = drawn(model, request.how, seed, cond, jump=jump, resample=resample)
    made = to_samples(model, x, y, cond_given, origin)
    return replace(made, examples=kept(source, made.examples, given, mask))


def known_conditions(model: Model, x: Any, mask: Any) -> dict[str, Tensor]:
    """Return the conditions that hold known values, if the model's network takes any.

    Arguments:
        model: The model.
        x: Clean states, or a mapping of parts.
        mask: 1 or True where known, broadcasting against a state; of parts a mapping.
    """
    masks, names = as_parts(mask), model.domain.conditions
    return {known_name(name): known(y, masks[name]) for name, y in as_parts(x).items() if known_name(name) in names}


def masks_of(model: Model, given: Batch, mask: Any) -> Any:
    """Return a mask as the process needs it: of each part, if the domain has several and the mask is one tensor."""
    if isinstance(mask, Tensor) and provides(model.domain, HasPartMasks):
        masks = model.domain.part_masks(mask, given)
        return mask if masks is None else masks
    return mask


def kept(model: Model, made: Sequence[Any], given: Batch, mask: Tensor) -> Sequence[Any]:
    """Return examples whose known places are as given, also where a codec spreads a state's numbers over several.

    Examples that are no tensors of a state's shape, such as molecules, are returned unchanged.

    Arguments:
        model: Its domain decodes the given states.
        made: The generated examples.
        given: Clean states, (B, ...).
        mask: 1 or True where known, broadcasting against a state.
    """
    x = state_to(given.x, "cpu")
    if not isinstance(x, Tensor) or not all(
        isinstance(example, Tensor) and example.shape == x.shape[1:] for example in made
    ):
        return made  # such as molecules, whose states are no arrays of places
    here = (mask.cpu() != 0).expand_as(x)
    return [torch.where(m, a, b) for m, a, b in zip(here, model.domain.decode(x, given.space), made, strict=True)]


def interpolate(
    model: Model,
    a: Batch,
    b: Batch,
    shares: Sequence[float],
    *,
    steps: int = 50,
    cond: Mapping[str, Any] | None = None,
    seed: int = 0,
) -> list[Samples]:
    """Return examples at shares of the way from those of a to those of b.

    Arguments:
        model: Leads to noise and back.
        a: Clean states.
        b: Clean states of the same sizes: molecules of as many atoms.
        shares: 0 is a, 1 is b.
        steps: Noise levels of each way, at least 2.
        cond: Requested conditions of both ends and of all between, as in `Model.sample`; the examples' own conditions
            are not used. None: the model is used without condition.
        seed: Seed of what the request leaves open.
    """
    check_model(model)
    check_whole("steps", steps, least=2)
    check_type("shares", shares, Sequence, "a list of numbers")
    for i, share in enumerate(shares):
        check_type(f"shares[{i}]", share, Real, "a number")
    check_whole_states(model, "interpolate")
    check_batch(a, name="a")
    check_batch(b, name="b")
    process = model.process
    if not provides(process, Interpolates):
        raise lacks(process, "interpolate")
    if a.x.shape != b.x.shape or not torch.equal(a.space.dim, b.space.dim):
        raise UserError(
            "Only examples of the same size can be interpolated: sounds of one length, molecules of as many atoms."
        )
    if provides(a.space, Matches) and not a.space.matches(b.space):
        raise UserError(
            "These examples are of other kinds, place by place, and this model makes no kinds: of molecules, the "
            "elements must be the same and in one order."
        )
    how = model.plan(guidance=1.0, sampler="heun")  # as the ways there and back are
    ends = (state_to(a.x, model.device), state_to(b.x, model.device))
    indices = range(a.space.batch)
    given = requested_conditions(model, a, cond, seed, indices) if cond else None
    on_device = {name: value.to(model.device) for name, value in given.items()} if given else None
    draw = Draw(space=a.space.to(model.device), cond=on_device, seed=0, indices=indices, compile=how.compile)
    states = process.between(model, how, ends, draw, shares, steps)
    origins = (drawn(model, how, seed, cond, steps=steps, share=float(share)) for share in shares)
    return [to_samples(model, x, a, given, origin) for x, origin in zip(states, origins, strict=True)]


def reconstruct(model: Model, given: Batch, *, error: float = 0.0, seed: int = 0, first: int = 0) -> Samples:
    """Return examples after an autoencoder (learn=encode) encoded and decoded them.

    Arguments:
        model: The autoencoder.
        given: Clean states.
        error: Standard deviation of noise on the codes, as a multiple of their spread; 0: none.
        seed: Random seed of this noise.
        first: Number of the first example; its noise is a function of the seed and this number.
    """
    check_model(model)
    check_batch(given, name="given")
    process = model.process
    if not provides(process, Reconstructs):
        raise lacks(process, "reconstruct examples")
    x = process.reconstruct(model, given, error, streams(seed, "error", numbers_from(first, given)))
    return to_samples(model, x, given, given.cond)


def numbers_from(first: int, given: Batch) -> range:
    """Return the numbers of a batch of examples, of which the first one is `first`."""
    check_whole("first", first, least=0)
    return range(first, first + given.space.batch)


def held_out(model: Model, n: int) -> list[Batch]:
    """Return up to n held-out examples as clean states, evenly spread, in batches of `AT_ONCE`."""
    size = model.domain.size("test")
    n = min(n, size)
    parts = [[i * size // n for i in range(first, min(first + AT_ONCE, n))] for first in range(0, n, AT_ONCE)]
    return [model.domain.batch("test", part, streams(0, "augment", part)) for part in parts]


def check_no_codec(model: Model, verb: str) -> None:
    """Raise UserError if a model's states are codes or embeddings, of which a verb is not defined."""
    if model.config.codec is not None:
        raise UserError(f"This model works in codes (codec={model.config.codec}), and cannot {verb}.")


def check_whole_states(model: Model, verb: str) -> None:
    """Raise UserError if a model's states are residuals, for which an edit of whole examples is undefined."""
    if has_residual_states(model):
        raise UserError(
            f"This model makes what is missing from another form of examples (task={getattr(model.config, 'task', '')})"
            f", not whole ones, and cannot {verb}. Use a run of task=generate or inpaint."
        )
