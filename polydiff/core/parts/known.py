"""Conditions that hold the known values of a state, for inpainting by networks that are conditioned on them.

A state of one part has the condition `KNOWN`, a state of several parts one for each, such as known.atoms. Values are
those of a clean state, in its shape; those that are unknown are not given: NaN, or -1 for letters.

Symbols: B number of samples, N number of places, C channels, K letters.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from polydiff.core.conditions import KNOWN, Kind, numbers_below
from polydiff.core.parts.product import WHOLE
from polydiff.support.errors import amount


def known_name(part: str) -> str:
    """Return the name of the condition that holds the known values of a part of a state."""
    return KNOWN if part == WHOLE else f"{KNOWN}.{part}"


@dataclass(frozen=True)
class KnownRows(Kind):
    """Known numbers of the places of a set, such as atoms: (B, N, width), any N.

    Arguments:
        width: Numbers of a place.
    """

    width: int
    source = "task"

    @property
    def words(self) -> str:
        return f"known rows of {amount(self.width, 'number')}"

    @property
    def axes(self) -> tuple[int | str, ...]:
        return "N", self.width

    def shape(self, sizes: Sequence[int]) -> tuple[int, ...]:
        return (*(sizes or (1,)), self.width)


@dataclass(frozen=True)
class KnownLetters(Kind):
    """Known letters 0 .. K - 1 of a state: (B, N, ...) or (B, C, N, ...). The state shows them to the network.

    Arguments:
        letters: K.
        grid: Number of axes without those of samples and channels: 1 for texts, 2 for images and for pairs of nodes.
        channels: C; 0: the state has no axis of channels.
    """

    letters: int
    grid: int = 1
    channels: int = 0
    dtype = torch.int64
    source = "task"

    @property
    def words(self) -> str:
        return f"known letters of {self.letters}"

    @property
    def axes(self) -> tuple[int | str, ...]:
        return (*((self.channels,) if self.channels else ()), *("N",) * self.grid)

    def shape(self, sizes: Sequence[int]) -> tuple[int, ...]:
        """Return the shape, without B, of a value that is not given; of pairs, one size is that of both axes."""
        own = tuple(sizes or (1,)) * self.grid
        return (*((self.channels,) if self.channels else ()), *own[: self.grid])

    def in_range(self, value: torch.Tensor) -> bool:
        return numbers_below(value, self.letters)
