"""The numeric columns of a user's data: cells of tables, data items of records, numbers in comments."""

from __future__ import annotations

import math
import re
from array import array
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

DECIMAL_COMMA = re.compile(r"[+-]?\d*,\d+(?:[eE][-+]?\d+)?")
"""A number with a comma."""
THOUSANDS = re.compile(r"[+-]?[1-9]\d{0,2},\d{3}")
"""A number whose comma may separate thousands."""
FAR = 1000.0
"""Number of interquartile ranges from the median beyond which a number counts as unknown."""


@dataclass
class Cells:
    """A kind of cell of a column.

    Arguments:
        first: The first such cell and its place.
        count: Number of such cells.
    """

    first: str
    count: int = 0

    def __str__(self) -> str:
        return f"{self.count}, such as {self.first}"


class NumericColumns:
    """The numeric columns of a data set, collected row by row.

    A column with a cell of other text is dropped. An empty cell, NaN, an infinite number or one that is far from all
    others counts as unknown. A decimal comma is read unless it may separate thousands.

    Attributes:
        remarks: What a user may not expect: columns that are dropped although they hold numbers, decimal commas, and
            numbers that count as unknown.
    """

    def __init__(self) -> None:
        self.values: dict[str, array[float]] = {}
        self.others: dict[str, Cells] = {}
        self.commas: dict[str, Cells] = {}
        self.rows = 0
        self.remarks: list[str] = []

    def add(self, row: Mapping[str, str], place: str = "") -> None:
        """Add the row of a used molecule, which is at a place such as "line 7"."""
        for name, text in row.items():
            if not name or not text.strip():
                continue
            value, comma = as_number(text)
            for odd, cells in ((value is None, self.others), (comma, self.commas)):
                if odd:
                    cells.setdefault(name, Cells(f"{text.strip()[:40]!r} ({place})")).count += 1
            if value is not None:
                column = self.values.setdefault(name, array("d"))
                column.extend([math.nan] * (self.rows - len(column)))
                column.append(value if math.isfinite(value) else math.nan)
        self.rows += 1

    def table(self) -> tuple[tuple[str, ...], np.ndarray]:
        """Return the names of the columns and their values (rows, columns); NaN if unknown. Complete `remarks`."""
        kept = [name for name in self.values if name not in self.others]
        found = np.full((self.rows, len(kept)), np.nan)
        for i, name in enumerate(kept):
            found[: len(self.values[name]), i] = self.values[name]
            if name in self.commas:
                self.remarks.append(f"column {name}: numbers with a decimal comma: {self.commas[name]}")
            if (far := is_far(found[:, i])).any():
                self.remarks.append(
                    f"column {name}: numbers that are far from all others and count as unknown: {far.sum()}, such as "
                    f"{found[far, i][0]:g}"
                )
                found[far, i] = np.nan
        for name, cells in self.others.items():
            if numbers := int(np.isfinite(self.values.get(name, [])).sum()):
                self.remarks.append(f"column {name} is not read: it has {numbers} numbers; other cells: {cells}")
        return tuple(kept), found


def as_number(text: str) -> tuple[float | None, bool]:
    """Return the number that a text states, None if none, and whether it has a decimal comma."""
    comma = DECIMAL_COMMA.fullmatch(text.strip()) is not None and THOUSANDS.fullmatch(text.strip()) is None
    try:
        return float(text.replace(",", ".") if comma else text), comma
    except ValueError:
        return None, False


def is_far(values: np.ndarray) -> np.ndarray:
    """Return which numbers lie more than `FAR` interquartile ranges from the median, booleans."""
    known = values[~np.isnan(values)]
    low, middle, high = np.quantile(known, [0.25, 0.5, 0.75]) if len(known) else np.zeros(3)
    return np.asarray((high > low) & (np.abs(values - middle) > FAR * (high - low)), bool)
