"""Conditions: named inputs of a network besides a noisy state and its noise level.

A domain declares its conditions as name -> kind. In a batch, a condition is a tensor (B, ...). An element that is not
given is -1 in a tensor of whole numbers and NaN in a tensor of real numbers. Networks ignore such elements. So a text
can be shorter than others in its batch, and a recording can be known outside a gap. To join values of different sizes,
each axis is padded at its end with elements that are not given.

To add a kind, write a subclass of `Kind` and an entry in `polydiff.backbones.embed.ENTRANCES`. A kind whose values are
measured on data also needs a field (`polydiff.contract.fields`).

Symbols: B number of samples, N number of tokens.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
import torch
from torch import Tensor

from polydiff.support.errors import amount

KNOWN = "known"
"""Name of the condition that holds the known part of a state."""
LOW = "low"
"""Name of the condition that holds a degraded state, such as one of low resolution."""
LOW_LEVEL = "low_level"
"""Name of the condition that is the level of the noise in `low` (`polydiff.contract.following.NoiseAugmentation`)."""
STEP = "_step"
"""Name of the condition that holds the size of a sampler's step."""
ESTIMATE = "_estimate"
"""Name of the condition that holds an earlier estimate of the clean state, in the shape of the state."""
AUGMENT = "_augment"
"""Name of the condition that holds how a training example was augmented; 0 and "not given" mean that it was not."""

ANY = "any"
"""Value of a condition that is not requested."""

Condition = Mapping[str, Tensor]
"""Conditions of a batch: name -> tensor (B, ...)."""


def is_known(name: str) -> bool:
    """Return whether a condition holds known values of a state, or of a part of it (`core.parts.known.known_name`)."""
    return name.split(".")[0] == KNOWN


def missing(dtype: torch.dtype) -> float:
    """Return the value that marks an element as not given: NaN for real numbers, -1 for whole numbers."""
    return math.nan if dtype.is_floating_point else -1


def absent(value: Tensor) -> Tensor:
    """Return a tensor of the shape and type of a condition in which no element is given."""
    return torch.full_like(value, missing(value.dtype))


def given(value: Tensor) -> Tensor:
    """Return which elements of a condition are given, as booleans of the same shape."""
    return ~value.isnan() if value.is_floating_point() else value >= 0


def numbers_below(value: Tensor, count: int) -> bool:
    """Return whether the given elements of whole numbers are all from 0 to count - 1."""
    return bool(((value >= missing(value.dtype)) & (value < count)).all())


Source = Literal["words", "array", "task"]


class Kind(ABC):
    """The type of a condition: shape, range and source of its values.

    Attributes:
        dtype: Type of a tensor of values.
        source: How a value is specified. "words": as text or a number. "array": as an array, or as text that the domain
            reads. "task": not by the user, because a task computes it from an example.
        pooled: Whether the mean of its tokens modulates a network, besides attention to them.
    """

    dtype: ClassVar[torch.dtype] = torch.float32
    pooled = False
    source: Source = "words"

    @property
    @abstractmethod
    def words(self) -> str:
        """Short description, such as "10 classes", for messages."""

    @property
    @abstractmethod
    def axes(self) -> tuple[int | str, ...]:
        """Sizes of the axes of a value after B; an axis of variable size is a name such as "N"."""

    @property
    def missing(self) -> float:
        """Value that marks an element as not given."""
        return missing(self.dtype)

    def shape(self, sizes: Sequence[int]) -> tuple[int, ...]:
        """Return the shape, without B, of a value that is not given.

        Arguments:
            sizes: Sizes of a state's axes, without those of batch and channels.
        """
        return tuple(1 if isinstance(size, str) else size for size in self.axes)

    def blank(self, batch: int, sizes: Sequence[int] = (), device: torch.device | str = "cpu") -> Tensor:
        """Return a value (B, *shape(sizes)) in which no element is given.

        Arguments:
            batch: Number of samples B.
            sizes: Sizes of a state's axes, without those of batch and channels.
            device: Device of the result.
        """
        return torch.full((batch, *self.shape(sizes)), self.missing, dtype=self.dtype, device=device)

    def fits(self, shape: Sequence[int]) -> bool:
        """Return whether a value can have this shape, which is without B."""
        fixed = zip(shape, self.axes, strict=False)
        return len(shape) == len(self.axes) and all(isinstance(size, str) or n == size for n, size in fixed)

    def in_range(self, value: Tensor) -> bool:
        """Return whether all given elements of a value (B, ...) are in the range of this kind."""
        return not value.isinf().any()

    def mismatch(self, value: Tensor, batch: int) -> str | None:
        """Return the reason why a tensor cannot hold values of this kind for `batch` samples; None if it can."""
        shape = tuple(value.shape)
        if shape[:1] != (batch,):
            return f"has the shape {shape} in a batch of {batch}"
        if value.is_floating_point() != self.dtype.is_floating_point or not self.fits(shape[1:]):
            layout = f"({', '.join(map(str, ('B', *self.axes)))}{'' if self.axes else ','})"
            return f"is {value.dtype} of shape {shape}, but {self.words} should be {self.dtype} of shape {layout}"
        return None if self.in_range(value) else f"has values that {self.words} cannot have"


@dataclass(frozen=True)
class Classes(Kind):
    """A class label: (B,), whole numbers 0 to count - 1.

    Arguments:
        count: Number of classes.
    """

    count: int
    dtype = torch.int64

    @property
    def words(self) -> str:
        return amount(self.count, "class", "classes")

    @property
    def axes(self) -> tuple[int | str, ...]:
        return ()

    def in_range(self, value: Tensor) -> bool:
        return numbers_below(value, self.count)


@dataclass(frozen=True)
class Number(Kind):
    """A real number, standardised over the data: (B,)."""

    @property
    def words(self) -> str:
        return "number"

    @property
    def axes(self) -> tuple[int | str, ...]:
        return ()


@dataclass(frozen=True)
class Vector(Kind):
    """A vector of `width` numbers: (B, width). It enters a network linearly, so 0 has the effect of "not given".

    Arguments:
        width: Number of numbers.
        source: How a value is specified (`Kind.source`).
    """

    width: int
    source: Source = "task"

    @property
    def words(self) -> str:
        return f"vector of {amount(self.width, 'number')}"

    @property
    def axes(self) -> tuple[int | str, ...]:
        return (self.width,)


@dataclass(frozen=True)
class Tokens(Kind):
    """A sequence of tokens for cross-attention, such as the embedding of a text: (B, N, width), any N.

    Arguments:
        width: Size of a token. A token that holds a NaN is not given.
        pooled: Whether the mean of the tokens modulates a network, besides attention to them.
    """

    width: int
    pooled: bool = False
    source = "array"

    @property
    def words(self) -> str:
        return f"embedding of width {self.width}"

    @property
    def axes(self) -> tuple[int | str, ...]:
        return "N", self.width


@dataclass(frozen=True)
class Text(Kind):
    """A text as the numbers of its tokens: (B, N), whole numbers 0 to size - 1, N at most `longest`.

    Arguments:
        size: Number of different tokens.
        longest: Largest number of tokens of a text.
    """

    size: int
    longest: int
    dtype = torch.int64
    pooled = True

    @property
    def words(self) -> str:
        return f"text of up to {amount(self.longest, 'token')}"

    @property
    def axes(self) -> tuple[int | str, ...]:
        return ("N",)

    def fits(self, shape: Sequence[int]) -> bool:
        return super().fits(shape) and shape[0] <= self.longest

    def in_range(self, value: Tensor) -> bool:
        return numbers_below(value, self.size)


@dataclass(frozen=True)
class Aligned(Kind):
    """A signal that is aligned with the state, such as its mel spectrogram: (B, channels, *ceil(sizes / every)).

    Arguments:
        channels: Size of a position's vector. A position that holds a NaN is not given.
        every: Number of positions of the state, along each axis, for one position of the signal.
    """

    channels: int
    every: int = 1
    source = "task"

    @property
    def words(self) -> str:
        return f"signal of {amount(self.channels, 'channel')}, one value for {self.every}"

    @property
    def axes(self) -> tuple[int | str, ...]:
        return self.channels, "..."

    def shape(self, sizes: Sequence[int]) -> tuple[int, ...]:
        return self.channels, *(-(-size // self.every) for size in sizes)

    def fits(self, shape: Sequence[int]) -> bool:
        return tuple(shape[:1]) == (self.channels,)


Conditions = Mapping[str, Kind]
"""Name of a condition -> kind."""
Declared = Mapping[str, Kind | int]
"""Conditions as a domain may declare them: name -> kind, or n for `Classes(n)`, or 0 for `Number()`."""


def as_kinds(conditions: Declared) -> dict[str, Kind]:
    """Return declared conditions as name -> kind."""
    return {name: as_kind(name, kind) for name, kind in conditions.items()}


def as_kind(name: str, kind: Kind | int) -> Kind:
    """Return a declared kind as a `Kind`; raise TypeError unless it is a `Kind` or a whole number of at least 0."""
    if isinstance(kind, Kind):
        return kind
    if not isinstance(kind, int | np.integer) or isinstance(kind, bool) or kind < 0:
        raise TypeError(
            f"The condition {name} is declared as {kind!r}, which is no kind. Use one of polydiff.core.conditions."
        )
    return Classes(int(kind)) if kind else Number()
