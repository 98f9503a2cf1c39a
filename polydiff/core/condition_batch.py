"""Operations on the conditions of a batch: blank, move, compare, join, withhold, drop.

Conditions whose names begin with an underscore are internal: polydiff sets them, not the user. "_step" holds the size
of a sampler's step, "_estimate" an earlier estimate, and "_augment" how a training example was changed. `without` and
`drop_condition` keep internal conditions.

Symbols: B batch.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

import torch
from torch import Tensor
from torch.nn import functional

from polydiff.core.conditions import Condition, Conditions, Declared, absent, as_kinds, is_known, missing
from polydiff.core.streams import Device


def blank_conditions(conditions: Declared, batch: int, sizes: Sequence[int]) -> dict[str, Tensor]:
    """Return values that mean "not given" for all conditions.

    Arguments:
        conditions: Name -> kind.
        batch: Number of samples B.
        sizes: Sizes of a state's axes, without those of batch and channels.

    Returns:
        Name -> tensor (B, ...), see `Kind.blank`.
    """
    return {name: kind.blank(batch, sizes) for name, kind in as_kinds(conditions).items()}


def condition_to(cond: Condition | None, device: Device) -> Condition | None:
    """Return conditions on another device; None if there are none."""
    return None if cond is None else {name: value.to(device) for name, value in cond.items()}


def without(cond: Condition | None) -> Condition | None:
    """Return only the internal conditions (names that start with "_"); None if there are none."""
    return {name: value for name, value in (cond or {}).items() if name.startswith("_")} or None


def same_conditions(a: Condition | None, b: Condition | None) -> bool:
    """Return whether two batches have equal conditions, with NaN equal to NaN; None equals {}."""
    a, b = a or {}, b or {}

    def same(x: Tensor, y: Tensor) -> bool:
        return x.shape == y.shape and bool(((x == y) | (x.isnan() & y.isnan())).all())

    return a.keys() == b.keys() and all(same(value, b[name]) for name, value in a.items())


def join_conditions(parts: Sequence[Condition | None]) -> Condition | None:
    """Return the conditions of consecutive batches as those of one batch, joined along B.

    Values of different sizes are padded with elements that are not given. A condition that a batch lacks is not given
    there; all batches must then have the same number of samples.

    Arguments:
        parts: Conditions of each batch, tensors (B_i, ...).

    Returns:
        Name -> tensor (B_1 + B_2 + ..., ...); None if no batch has a condition.
    """
    examples: dict[str, Tensor] = {}  # name -> the first value of this name
    for part in parts:
        examples = {**(part or {}), **examples}
    columns = {name: [(part or {}).get(name, absent(value)) for part in parts] for name, value in examples.items()}
    return {name: torch.cat(padded(values)) for name, values in columns.items()} or None


def padded(values: Sequence[Tensor]) -> list[Tensor]:
    """Return values (B_i, ...) of one condition, padded at the end of each axis to the same sizes after B_i."""
    sizes = [max(lengths) for lengths in zip(*(value.shape[1:] for value in values), strict=True)]

    def pad(value: Tensor) -> Tensor:
        ends = [n for have, size in zip(value.shape[:0:-1], sizes[::-1], strict=True) for n in (0, size - have)]
        return functional.pad(value, ends, value=missing(value.dtype)) if any(ends) else value

    return [pad(value) for value in values]


def withhold(cond: Condition | None, names: Collection[str]) -> dict[str, Tensor]:
    """Return conditions with the values of these names replaced by "not given"."""
    return {name: absent(value) if name in names else value for name, value in (cond or {}).items()}


def drop_condition(cond: Condition, keep: Tensor) -> dict[str, Tensor]:
    """Return conditions with the values of some samples replaced by "not given", except internal conditions.

    Arguments:
        cond: Name -> tensor (B, ...).
        keep: Booleans (B,): False for samples to replace.
    """

    def masked(value: Tensor) -> Tensor:
        kept = keep.to(value.device).reshape(-1, *(1 for _ in value.shape[1:]))
        return torch.where(kept, value, absent(value))

    return {name: value if name.startswith("_") else masked(value) for name, value in cond.items()}


def dropout_groups(names: Iterable[str], together: Collection[str]) -> list[tuple[str, ...]]:
    """Return the groups of names that condition dropout withholds at once.

    The names in `together` form one group, as do the known values of all parts of a state. Each other name is a group
    of its own. Internal conditions are in none.
    """
    names = [name for name in names if not name.startswith("_")]
    joined = tuple(sorted(name for name in names if name in together))
    known = tuple(sorted(name for name in names if is_known(name) and name not in together))
    alone: list[tuple[str, ...]] = [(name,) for name in names if name not in together and name not in known]
    return sorted([group for group in (joined, known) if group] + alone)


def with_words(cond: Condition | None, conditions: Conditions) -> Condition | None:
    """Return the conditions whose values can be written as text (source "words"); None if there are none."""
    named = {name for name, kind in conditions.items() if kind.source == "words"}
    return {name: value for name, value in (cond or {}).items() if name in named} or None
