"""The columns of text of a user's data: captions, names of classes, titles."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import numpy as np


class TextColumns:
    """The columns of a data set as text, collected row by row.

    A column is kept as the bytes of its cells until it is complete, since most columns hold numbers and are dropped.
    Line breaks and repeated spaces within a cell become one space.
    """

    def __init__(self) -> None:
        self.cells: dict[str, bytearray] = {}
        self.ends: dict[str, int] = {}
        self.rows = 0

    def add(self, row: Mapping[str, str]) -> None:
        """Add the row of a used molecule."""
        for name, text in row.items():
            cell = " ".join(text.split())
            if not name or not cell:
                continue
            column = self.cells.setdefault(name, bytearray())
            column += b"\n" * (self.rows - self.ends.get(name, 0)) + cell.encode(errors="replace") + b"\n"
            self.ends[name] = self.rows + 1
        self.rows += 1

    def table(self, others: Collection[str]) -> tuple[dict[str, Sequence[str]], np.ndarray]:
        """Return column -> its distinct cells, and the place of each row's cell among them.

        Arguments:
            others: Names of the columns to leave out.

        Returns:
            The distinct cells in order of their first row, and int32 (rows, columns); -1 for an empty cell.
        """
        kept = [name for name in self.cells if name not in others]
        codes = np.full((self.rows, len(kept)), -1, np.int32)
        texts: dict[str, Sequence[str]] = {}
        for i, name in enumerate(kept):
            places: dict[str, int] = {"": -1}
            for row, cell in enumerate(self.cells.pop(name).decode().split("\n")[:-1]):
                codes[row, i] = places.setdefault(cell, len(places) - 1)
            texts[name] = [*places][1:]
        return texts, codes
