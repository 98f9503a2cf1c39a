"""Lists of SMILES, and tables with a column of SMILES."""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate, chain
from pathlib import Path

from polydiff.contract.data.tables import mapping
from polydiff.domains.molecule.config import MoleculeData
from polydiff.domains.molecule.data.formats.text_files import column_name, kind_of, lines_of
from polydiff.domains.molecule.data.preparation.prepare import Item
from polydiff.support.errors import unknown

TITLE = "title"
"""Column of the rest of each line of a list of SMILES without a header."""
MAX_QUOTED_LINES = 20
"""Largest number of lines of a quoted cell of a table."""


def smi_items(path: Path, _: MoleculeData) -> Iterator[Item]:
    """Yield the first word of each line, with the rest of the line as a column of text.

    A first line that starts with "smiles" is a header, and names this column; without one, it is `TITLE`.
    """
    column = TITLE
    with lines_of(path) as lines:
        for number, line in enumerate(lines, 1):
            word, rest = (*line.split(maxsplit=1), "", "")[:2]
            if number == 1 and word.lower() == "smiles":
                column = column_name(rest) or TITLE
            elif word:
                title = (rest.split() or [""])[0]
                yield Item(f"line {number}", "smiles", word, title=title, texts={column: rest})


def table_items(path: Path, data: MoleculeData) -> Iterator[Item]:
    """Yield the SMILES of each row of a table, with its other columns."""
    csv.field_size_limit(sys.maxsize)
    with lines_of(path) as lines:
        heading = next(lines, "")
        mark = "\t" if kind_of(path) == ".tsv" else max(",;\t|", key=heading.count)
        names = [column_name(name) for name in cells([heading], mark)]
        place = smiles_column(names, data.column, path)
        for number, row in rows(lines, mark):
            if any(row):
                others = {name: text for i, (name, text) in enumerate(zip(names, row, strict=False)) if i != place}
                yield Item(f"line {number}", "smiles", row[place].strip() if place < len(row) else "", others)


def json_items(path: Path, data: MoleculeData) -> Iterator[Item]:
    """Yield the SMILES of each line of a .jsonl, with the texts and numbers of its other columns."""
    column = ""
    with lines_of(path) as lines:
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            try:
                row = {column_name(name): value for name, value in mapping(line).items()}
            except ValueError as error:
                yield Item(f"line {number}", "rejected", f"it is not a JSON object of columns: {error}")
                continue
            if not column:
                column = list(row)[smiles_column(list(row), data.column, path)]
            others = {
                name: str(value)
                for name, value in row.items()
                if name != column and isinstance(value, str | int | float) and not isinstance(value, bool)
            }
            yield Item(f"line {number}", "smiles", str(row.get(column, "")).strip(), others)


def smiles_column(names: Sequence[str], wanted: str, path: Path) -> int:
    """Return the index of a column, ignoring case.

    If "smiles" is wanted and missing, the only column that contains it in its name is used.
    """
    lower = [name.lower() for name in names]
    near = [name for name in lower if "smiles" in name]
    found = near[0] if wanted == "smiles" and wanted not in lower and len(near) == 1 else column_name(wanted).lower()
    if found not in lower:
        raise unknown("column", wanted, lower, f"Set data.column to the column of {path} that contains SMILES.")
    return lower.index(found)


def rows(file: Iterable[str], mark: str) -> Iterator[tuple[int, list[str]]]:
    """Yield the line number and the cells of each row after the header.

    A quoted cell may span up to `MAX_QUOTED_LINES` lines. If it does not end there, its first line becomes a row alone.
    """
    waiting = list[str]()
    number = 2
    for line in chain(file, [None]):
        waiting += [] if line is None else [line]
        while waiting and (
            taken := lines_to_closing_quote(waiting) or int(line is None or len(waiting) > MAX_QUOTED_LINES)
        ):
            yield number, cells(waiting[:taken], mark)
            number += taken
            del waiting[:taken]


def lines_to_closing_quote(lines: Sequence[str]) -> int:
    """Return the number of lines after which all quoted cells are closed; 0 if they never are."""
    quotes = accumulate(line.count('"') for line in lines)
    return next((taken for taken, count in enumerate(quotes, 1) if count % 2 == 0), 0)


def cells(lines: Sequence[str], mark: str) -> list[str]:
    """Return the cells of one row, which may span several lines."""
    return next(csv.reader([line.replace("\0", "�") for line in lines], delimiter=mark), [])
