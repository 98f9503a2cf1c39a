"""Operations on the conditions of a batch: blank, move, compare, join, withhold, drop.

Conditions whose names begin with an underscore come from the library, not from a user: "_step" holds the size of a
sampler's step, "_estimate" an earlier estimate. `without` and `drop_condition` keep them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

import torch
from torch import Tensor
from torch.nn import functional

from polydiff.core.conditions import Condition, Declared, absent, as_kinds, missing
from polydiff.core.streams import Device


def blank_conditions(conditions: Declared, batch: int, sizes: Sequence[int]) -> dict[str, Tensor]:
    """Return "not given" for all conditions.

    Arguments:
        conditions: Name -> kind.
        batch: B.
        sizes: Of a state's axes, without its batch and its channels.
    """
    return {name: kind.blank(batch, sizes) for name, kind in as_kinds(conditions).items()}


def condition_to(cond: Condition | None, device: Device) -> Condition | None:
    """Return conditions on another device."""
    return None if cond is None else {name: value.to(device) for name, value in cond.items()}


def without(cond: Condition | None) -> Condition | None:
    """Return only the library's own conditions; None if there are none."""
    return {name: value for name, value in (cond or {}).items() if name.startswith("_")} or None


def same_conditions(a: Condition | None, b: Condition | None) -> bool:
    """Return whether two conditions are equal; elements that are not given are equal."""
    a, b = a or {}, b or {}

    def same(x: Tensor, y: Tensor) -> bool:
        return x.shape == y.shape and bool(((x == y) | (x.isnan() & y.isnan())).all())

    return a.keys() == b.keys() and all(same(value, b[name]) for name, value in a.items())


def join_conditions(parts: Sequence[Condition | None]) -> Condition | None:
    """Return the conditions of consecutive batches as one; batches that differ in names must have the same size.

    Values of different sizes are padded with elements that are not given.
    """
    known: dict[str, Tensor] = {}
    for part in parts:
        known = {**(part or {}), **known}
    columns = {name: [(part or {}).get(name, absent(value)) for part in parts] for name, value in known.items()}
    return {name: torch.cat(padded(values)) for name, values in columns.items()} or None


def padded(values: Sequence[Tensor]) -> list[Tensor]:
    """Return values of one condition with the same sizes after B, padded at the end of each axis."""
    sizes = [max(lengths) for lengths in zip(*(value.shape[1:] for value in values), strict=True)]

    def pad(value: Tensor) -> Tensor:
        ends = [n for have, size in zip(value.shape[:0:-1], sizes[::-1], strict=True) for n in (0, size - have)]
        return functional.pad(value, ends, value=missing(value.dtype)) if any(ends) else value

    return [pad(value) for value in values]


def withhold(cond: Condition | None, names: Collection[str]) -> dict[str, Tensor]:
    """Return conditions of which those with these names are not given."""
    return {name: absent(value) if name in names else value for name, value in (cond or {}).items()}


def drop_condition(cond: Condition, keep: Tensor) -> dict[str, Tensor]:
    """Return conditions that are not given for samples with keep = False, except the library's own.

    Arguments:
        cond: Named tensors, each (B, ...).
        keep: Booleans (B,).
    """

    def masked(value: Tensor) -> Tensor:
        kept = keep.to(value.device).reshape(-1, *(1 for _ in value.shape[1:]))
        return torch.where(kept, value, absent(value))

    return {name: value if name.startswith("_") else masked(value) for name, value in cond.items()}


def dropout_groups(names: Iterable[str], together: Collection[str]) -> list[tuple[str, ...]]:
    """Return names grouped by what dropout withholds at once: those in `together`, and each other name alone."""
    joined = tuple(sorted(name for name in names if name in together))
    return sorted([*([joined] if joined else []), *((name,) for name in names if name not in together)])
