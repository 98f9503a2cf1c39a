"""Conditions: what a network is given beside a noisy state and its noise level, by name.

A domain declares its conditions as name -> kind. In a batch a condition is a tensor with B first. Elements that are not
given are -1 in a tensor of whole numbers and NaN in a tensor of real numbers: so a text may be shorter than others of
its batch, and a recording may be known outside of a gap. Networks ignore such elements. Values of different sizes are
therefore joined by padding, at the end of an axis, with elements that are not given.

A new kind is a subclass of `Kind` and an entry in `polydiff.backbones.embed.ENTRANCES`; if its values are measured on
data, also a field (`polydiff.contract.fields`).

Symbols: B batch, N tokens.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from torch import Tensor

from polydiff.support.errors import UserError

KNOWN = "known"
"""Name of the condition that holds the known part of a state."""
LOW = "low"
"""Name of the condition that holds a state without its details."""
STEP = "_step"
"""Name of the condition that holds the size of a sampler's step."""
ESTIMATE = "_estimate"
"""Name of the condition that holds an earlier estimate of the clean state, in the state's own shape."""

Condition = Mapping[str, Tensor]
"""Conditions of a batch: named tensors with B first."""


def missing(dtype: torch.dtype) -> float:
    """Return the value of an element that is not given: NaN among real numbers, -1 among whole ones."""
    return math.nan if dtype.is_floating_point else -1


def absent(value: Tensor) -> Tensor:
    """Return "not given" in the shape of a condition."""
    return torch.full_like(value, missing(value.dtype))


def given(value: Tensor) -> Tensor:
    """Return which elements of a condition are given, booleans of its shape."""
    return ~value.isnan() if value.is_floating_point() else value >= 0


class Kind(ABC):
    """What the values of a condition are.

    Attributes:
        dtype: Type of a tensor of values.
        source: How a user gives a value: in words (or as a number), as an array (or in words), or never, since a task
            makes it from an example.
    """

    dtype: ClassVar[torch.dtype] = torch.float32
    source: ClassVar[Literal["words", "array", "task"]] = "words"

    @property
    @abstractmethod
    def words(self) -> str:
        """The kind in words, such as "10 classes"."""

    @property
    @abstractmethod
    def axes(self) -> tuple[int | str, ...]:
        """Sizes of a value's axes after B; the name of an axis, such as "N", if its size varies."""

    @property
    def missing(self) -> float:
        """The value of an element that is not given."""
        return missing(self.dtype)

    def shape(self, sizes: Sequence[int]) -> tuple[int, ...]:
        """Return the shape of a value that is not given, without B, beside a state of these sizes."""
        return tuple(1 if isinstance(size, str) else size for size in self.axes)

    def blank(self, batch: int, sizes: Sequence[int] = (), device: torch.device | str = "cpu") -> Tensor:
        """Return "not given" for B samples.

        Arguments:
            batch: B.
            sizes: Of a state's axes, without its batch and its channels.
            device: Of the result.
        """
        return torch.full((batch, *self.shape(sizes)), self.missing, dtype=self.dtype, device=device)

    def fits(self, shape: Sequence[int]) -> bool:
        """Return whether a value can have this shape, without B."""
        fixed = zip(shape, self.axes, strict=False)
        return len(shape) == len(self.axes) and all(isinstance(size, str) or n == size for n, size in fixed)

    def in_range(self, value: Tensor) -> bool:
        """Return whether all given elements have a meaning."""
        return not value.isinf().any()

    def mismatch(self, value: Tensor, batch: int) -> str | None:
        """Return in words how a tensor differs from B values of this kind; None if it does not."""
        shape = tuple(value.shape)
        if shape[:1] != (batch,):
            return f"has the shape {shape} in a batch of {batch}"
        if value.is_floating_point() != self.dtype.is_floating_point or not self.fits(shape[1:]):
            layout = f"({', '.join(map(str, ('B', *self.axes)))}{'' if self.axes else ','})"
            return f"is {value.dtype} of shape {shape}, but {self.words} should be {self.dtype} of shape {layout}"
        return None if self.in_range(value) else f"has values that {self.words} cannot have"


@dataclass(frozen=True)
class Classes(Kind):
    """One of a few classes: (B,), whole numbers from 0.

    Arguments:
        count: Number of classes.
    """

    count: int
    dtype = torch.int64

    @property
    def words(self) -> str:
        return f"{self.count} classes"

    @property
    def axes(self) -> tuple[int | str, ...]:
        return ()

    def in_range(self, value: Tensor) -> bool:
        return bool(((value >= self.missing) & (value < self.count)).all())


@dataclass(frozen=True)
class Number(Kind):
    """A standardised real number: (B,)."""

    @property
    def words(self) -> str:
        return "number"

    @property
    def axes(self) -> tuple[int | str, ...]:
        return ()


@dataclass(frozen=True)
class Tokens(Kind):
    """A sequence that a network reads by cross-attention, such as a text's embedding: (B, N, width), any N.

    Arguments:
        width: Numbers of a token. A token with a NaN is not given.
    """

    width: int
    source = "array"

    @property
    def words(self) -> str:
        return f"embedding of width {self.width}"

    @property
    def axes(self) -> tuple[int | str, ...]:
        return "N", self.width


@dataclass(frozen=True)
class Aligned(Kind):
    """A signal that lies beside the state, such as its mel spectrogram: (B, channels, *ceil(sizes / every)).

    Arguments:
        channels: Numbers at a place. A place with a NaN is not given.
        every: Places of the state, along each axis, that one place of the signal stands for.
    """

    channels: int
    every: int = 1
    source = "task"

    @property
    def words(self) -> str:
        return f"signal of {self.channels} channels, one value for {self.every}"

    @property
    def axes(self) -> tuple[int | str, ...]:
        return self.channels, "..."

    def shape(self, sizes: Sequence[int]) -> tuple[int, ...]:
        return self.channels, *(-(-size // self.every) for size in sizes)

    def fits(self, shape: Sequence[int]) -> bool:
        return tuple(shape[:1]) == (self.channels,)


Conditions = Mapping[str, Kind]
Declared = Mapping[str, Kind | int]
"""Conditions as a domain may declare them: a number of classes stands for `Classes`, and 0 for `Number`."""


def as_kinds(conditions: Declared) -> dict[str, Kind]:
    """Return declared conditions as name -> kind."""
    return {name: as_kind(name, kind) for name, kind in conditions.items()}


def as_kind(name: str, kind: Kind | int) -> Kind:
    """Return a declared kind as a `Kind`; anything that is neither a `Kind` nor a whole number is a `TypeError`."""
    if isinstance(kind, Kind):
        return kind
    if not isinstance(kind, int) or kind < 0:
        raise TypeError(
            f"The condition {name} is declared as {kind!r}; its kind should be one of polydiff.core.conditions."
        )
    return Classes(kind) if kind else Number()


def as_words(values: Mapping[str, Any], conditions: Conditions) -> dict[str, Any]:
    """Return a user's values as a domain reads them: as strings, or as arrays if their kind can be given so.

    Raises:
        UserError: An array is given for a condition of another kind.
    """
    arrays = {name: value for name, value in values.items() if np.ndim(value)}
    for name, value in arrays.items():
        if name not in conditions or conditions[name].source != "array":
            raise UserError(f"{name} is given by a word or a number, not by an array of shape {np.shape(value)}.")
    return {name: str(value) for name, value in values.items()} | arrays


def with_words(cond: Condition | None, conditions: Conditions) -> Condition | None:
    """Return those conditions of samples whose values can be put in words; None if there are none."""
    named = {name for name, kind in conditions.items() if kind.source == "words"}
    return {name: value for name, value in (cond or {}).items() if name in named} or None
