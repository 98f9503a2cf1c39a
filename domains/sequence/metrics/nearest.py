r"""The search for the training text nearest to another, by the Levenshtein distance.

The distance is the least number of letters to insert, delete or replace that turns one text into the other
(Levenshtein, 1966). A row of its table follows from the row before,

$$ d_{ij} = \min(d_{i-1,j} + 1,\; d_{i,j-1} + 1,\; d_{i-1,j-1} + [a_i \ne b_j]), $$

and the second term is a running minimum, $d_{ij} = j + \min_{k \le j} (t_k - k)$, with t the minimum of the two others.
So one row is computed for all M training texts at once.

Symbols: M training texts, L letters of the longest.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from polydiff.domains.sequence.alphabet import code_points

KNOWN, ROOM = 20_000, 2_000_000
"""Largest number of training texts that are compared, and of their letters together."""
HELD_OUT = 64
"""Largest number of held-out texts whose distance to training is measured."""


@dataclass(frozen=True)
class Search:
    """The search among training texts.

    Arguments:
        places: Numbers of the M training texts that are compared.
        known: The texts.
        held_out: Held-out texts, for the typical distance.
    """

    places: Sequence[int]
    known: Sequence[str]
    held_out: Sequence[str] = ()

    @cached_property
    def table(self) -> tuple[NDArray[np.int32], NDArray[np.intp]]:
        """Code points of the known texts (L, M), -1 behind their ends, and their lengths (M,)."""
        sizes = np.array([len(text) for text in self.known], np.intp)
        codes = np.full((len(self.known), max(int(sizes.max()), 1)), -1, np.int32)
        codes[np.arange(codes.shape[1]) < sizes[:, None]] = code_points("".join(self.known))
        return np.ascontiguousarray(codes.T), sizes

    @cached_property
    def typical(self) -> float:
        """Median distance of held-out texts to the nearest training text; NaN without any."""
        return float(np.median([self.find(text)[1] for text in self.held_out])) if self.held_out else math.nan

    def find(self, text: str) -> tuple[int, float]:
        """Return the number of the nearest training text, and its distance in letters."""
        codes, sizes = self.table
        distances = edits(code_points(text), codes)[sizes, np.arange(len(sizes))]
        best = int(distances.argmin())
        return self.places[best], float(distances[best])


def edits(text: NDArray[np.uint32], others: NDArray[np.int32]) -> NDArray[np.int32]:
    """Return the Levenshtein distance of a text to every beginning of other texts, (L + 1, M).

    Arguments:
        text: Code points of the text.
        others: Code points of the other texts, (L, M).
    """
    column = np.arange(len(others) + 1, dtype=np.int32)[:, None]
    row = np.repeat(column, others.shape[1], axis=1)
    for i, letter in enumerate(text.astype(np.int32), 1):
        least = np.full_like(row, i)
        np.minimum(row[1:] + 1, row[:-1] + (others != letter), out=least[1:])
        row = np.minimum.accumulate(least - column, axis=0) + column
    return row
