"""The checks of what enters: states against their space, precision, finite numbers, random streams, conditions.

They run once, where a batch is given: before the loop of training or sampling, never inside it. Each raises one
`UserError` that names both sides of a contradiction.

Symbols: B number of samples, R rows of a state.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor

from polydiff.core.conditions import Condition, Conditions
from polydiff.core.space import Batch, Space
from polydiff.core.streams import streams
from polydiff.support.errors import UserError, check_type
from polydiff.support.protocols import provides

NAMED = 8
"""Largest number of examples that a message names."""


class HasShape(Protocol):
    """A space that knows the shape of its states without drawing one."""

    @property
    def state_shape(self) -> tuple[int, ...]:
        """Shape (R, ...) of a state."""


def state_shape(space: Space) -> tuple[int, ...]:
    """Return the shape (R, ...) of the states of a space; one without `HasShape` draws noise to find it."""
    if provides(space, HasShape):
        return tuple(space.state_shape)
    return tuple(space.noise(streams(0, "shape", range(space.batch), space.dim.device)).shape)


def check_batch(
    batch: Batch,
    *,
    levels: Sequence[float] | None = None,
    kinds: Conditions | None = None,
    examples: Sequence[int] | None = None,
    name: str = "x",
) -> None:
    """Raise UserError unless the states and the conditions of a batch fit its space; arguments as in `check_states`.

    Arguments:
        batch: States, their space and conditions.
        levels: Noise levels that the states will have.
        kinds: Kinds of the conditions; None: only their number of samples is checked.
        examples: Numbers of the examples in their data set, (B,); None: they are counted in the batch.
        name: What the message calls the states.
    """
    check_type(name, batch, Batch, "a Batch of states with their space and conditions")
    check_states(batch.x, batch.space, levels=levels, examples=examples, name=name)
    check_conditions(batch.cond, batch, kinds, name)


def check_states(
    x: Any,
    space: Space,
    *,
    levels: Sequence[float] | None = None,
    examples: Sequence[int] | None = None,
    name: str = "x",
) -> None:
    """Raise UserError unless x holds states of a space: of exactly its shape and, if on the CPU, finite.

    Finite numbers are not checked on other devices, since that would wait for the device.

    Arguments:
        x: Tensor (R, ...); a mapping of parts, as some processes have, is checked for finite numbers alone.
        space: Where x lives.
        levels: Noise levels that x will have, so that it must hold real numbers of sufficient precision; None: any
            type.
        examples: Numbers of the examples in their data set, (B,); None: they are counted in the batch.
        name: What the message calls x.
    """
    if isinstance(x, Mapping):
        for part, value in x.items():
            if isinstance(value, Tensor) and value.device.type == "cpu" and not value.isfinite().all():
                raise UserError(f"{name}[{part!r}] has numbers that are not finite (NaN or infinite).")
        return
    if not isinstance(x, Tensor):
        raise UserError(f"{name} must be a tensor, not {type(x).__name__}. Use torch.as_tensor.")
    expected = state_shape(space)
    if tuple(x.shape) != expected:
        raise UserError(
            f"{name} has the shape {tuple(x.shape)}, but its space ({type(space).__name__}, {space.batch} samples) has "
            f"states of shape {expected}. Give states of this shape, or a space of theirs."
        )
    if levels is not None:
        check_precision(x.dtype, levels, name)
        of_space = getattr(space, "dtype", x.dtype)
        if of_space != x.dtype:
            raise UserError(
                f"{name} is {x.dtype}, but its space draws noise in {of_space}. Use {name}.to({of_space}), or a space "
                f"with dtype={x.dtype}."
            )
    if x.device.type == "cpu" and x.is_floating_point() and not x.isfinite().all():
        raise UserError(not_finite(x, space, examples, name))


def not_finite(x: Tensor, space: Space, examples: Sequence[int] | None, name: str) -> str:
    """Return the message for states (R, ...) that are not finite; it names the examples."""
    wrong = space.sum((~x.isfinite()).to(x.dtype)) > 0
    places = wrong.nonzero()[:, 0].tolist() or range(space.batch)  # in padding alone: no example can be named
    kinds = [word for word, found in (("NaN", x.isnan()), ("infinite numbers", x.isinf())) if bool(found.any())]
    numbers = places if examples is None else [examples[place] for place in places]
    where = "of the batch" if examples is None else "of the data"
    return (
        f"{name} has {' and '.join(kinds)} in {len(numbers)} of {space.batch} examples: {listed(numbers)} {where}, "
        "counted from 0. Remove or repair these examples: no setting of training or sampling helps."
    )


def listed(numbers: Sequence[int]) -> str:
    """Return numbers as text, the first few if they are many."""
    return ", ".join(map(str, numbers[:NAMED])) + (", ..." if len(numbers) > NAMED else "")


def check_precision(dtype: torch.dtype, levels: Sequence[float], name: str = "x") -> None:
    """Raise UserError unless states of a type can have these noise levels.

    Steps and weights use squares of noise levels and their inverses, which must not overflow, and noise of the lowest
    level must not be lost in the rounding of data of unit variance.

    Arguments:
        dtype: Type of the states.
        levels: Noise levels, at least 0.
        name: What the message calls the states.
    """
    if not dtype.is_floating_point:
        raise UserError(f"{name} is {dtype}, but states with noise are real numbers. Use {name}.float().")
    found = torch.finfo(dtype)
    low, high = min((s for s in levels if s > 0), default=1.0), max(levels)
    if max(high, 1 / low) ** 2 > found.max or low < found.eps:
        raise UserError(
            f"{name} is {dtype}, which cannot hold the noise levels {low:g} to {high:g} and their squares: it is "
            f"possible from {max(found.eps, found.max**-0.5):.2g} to {found.max**0.5:.2g}. Use {name}.float(); "
            "the precision bf16 computes the network alone in 16 bits."
        )


def check_streams(generators: Sequence[torch.Generator], space: Space) -> None:
    """Raise UserError unless there is one random stream for each sample of a space."""
    if len(generators) != space.batch:
        raise UserError(
            f"{len(generators)} random streams are given for {space.batch} samples. Each sample needs its own: "
            f"streams(seed, purpose, range({space.batch}))."
        )


def check_size(batch: Batch, batch_size: int, name: str) -> None:
    """Raise UserError unless a batch has `batch_size` samples."""
    if batch.space.batch != batch_size:
        raise UserError(
            f"{name} has {batch.space.batch} samples, but batch_size is {batch_size}, the number of random streams of "
            "a step. They must be equal."
        )


def check_conditions(cond: Condition | None, batch: Batch, kinds: Conditions | None, name: str = "x") -> None:
    """Raise UserError unless conditions have one value for each sample and, if kinds are given, are of these kinds.

    Arguments:
        cond: Conditions; None: none. Names that begin with an underscore are not checked.
        batch: The states and their space.
        kinds: Name -> kind; None: any.
        name: What the message calls the states.
    """
    given = {key: value for key, value in (cond or {}).items() if not key.startswith("_")}
    rows = {batch.space.batch, len(batch.x)} if isinstance(batch.x, Tensor) and batch.x.ndim else {batch.space.batch}
    for key, value in given.items():
        if not isinstance(value, Tensor) or not value.ndim or len(value) not in rows:
            shape = tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__
            raise UserError(
                f"The condition {key} of {name} has the shape {shape}, but there are {batch.space.batch} samples. Its "
                f"first axis must have this length."
            )
        reason = kinds[key].mismatch(value, batch.space.batch) if kinds is not None and key in kinds else None
        if reason:
            raise UserError(f"The condition {key} of {name} {reason}.")
    if kinds is not None:
        check_names(given, kinds, name)


def check_names(given: Iterable[str], kinds: Conditions, name: str) -> None:
    """Raise UserError unless the conditions of a batch are those that are declared."""
    there, declared = set(given), set(kinds)
    if there != declared:
        raise UserError(
            f"{name} has the conditions {', '.join(sorted(there)) or 'none'}, but declared are "
            f"{', '.join(sorted(declared)) or 'none'}. Give a batch all declared conditions, -1 or NaN where unknown."
        )
