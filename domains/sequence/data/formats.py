"""The user's files of texts: lines, lists of SMILES, tables, FASTA records, all in UTF-8."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from polydiff.contract.data.tables import BEYOND, check_cells, filled, mapping, not_text
from polydiff.support.errors import UserError, unknown

TITLE = "title"
"""Column of what follows a SMILES on its line, and of the heading of a FASTA record."""
COLUMNS = ("text", "sequence", "smiles", "name")
"""Columns that hold the texts with data.column=auto: the first that a table has."""


class Entry(NamedTuple):
    """A text of a file.

    Attributes:
        place: Where it stands, such as "line 7".
        text: The text; "" if there is none.
        columns: Its metadata by column.
        reason: Why it cannot be used; "" if it can.
    """

    place: str
    text: str
    columns: Mapping[str, Any] = {}
    reason: str = ""


def line_entries(path: Path, column: str = "auto") -> Iterator[Entry]:
    """Yield each line that holds more than white space, as it is."""
    for number, line in enumerate(content(path).split("\n"), 1):
        if line.strip():
            yield Entry(f"line {number}", line)


def smi_entries(path: Path, column: str = "auto") -> Iterator[Entry]:
    """Yield the first word of each line; the rest is the column `TITLE`. A first line "smiles ..." is a heading."""
    for number, line in enumerate(content(path).split("\n"), 1):
        word, rest = (*line.split(maxsplit=1), "", "")[:2]
        if word and not (number == 1 and word.lower() == "smiles"):
            yield Entry(f"line {number}", word, filled({TITLE: rest.strip()}))


def fasta_entries(path: Path, column: str = "auto") -> Iterator[Entry]:
    """Yield the records of a FASTA file: after a line ">heading" lines of letters, without the white space in them.

    Lines that begin with ";" are comments. The first word of the heading is the column name, the rest `TITLE`.

    Raises:
        UserError: Letters stand before the first heading.
    """
    place, heading, parts = "", "", list[str]()
    for number, line in enumerate([*content(path).split("\n"), ">"], 1):
        if line.startswith(">"):
            if place:
                name, rest = (*heading.split(maxsplit=1), "", "")[:2]
                text = "".join(parts)
                yield Entry(
                    place, text, filled({"name": name, TITLE: rest}), "" if text else "the record has no letters"
                )
            place, heading, parts = f"line {number}", line[1:].strip(), []
        elif line.strip() and not line.startswith(";"):
            if not place:
                raise UserError(f"{path}, line {number}: letters before the first heading. A record begins with >.")
            parts.append("".join(line.split()))


def table_entries(path: Path, column: str = "auto") -> Iterator[Entry]:
    """Yield the cells of one column of a table, each with the other columns.

    Arguments:
        path: A .csv with commas, a .tsv with tabs, or a .jsonl of objects.
        column: Value of `data.column`.

    Raises:
        UserError: There is no such column, or a column name occurs twice.
    """
    chosen = ""
    for number, row in table_rows(path):
        place = f"line {number}"
        try:
            cells = mapping(row) if isinstance(row, str) else filled(row)
            check_cells(cells, path)
        except ValueError as error:
            yield Entry(place, "", {}, str(error))
            continue
        chosen = chosen or text_column(list(row) if isinstance(row, dict) else list(cells), column, path)
        text = cells.get(chosen, "")
        others = {name: value for name, value in cells.items() if name != chosen}
        if isinstance(text, str) and text:
            yield Entry(place, text, others)
        else:
            yield Entry(place, "", others, f"its {chosen} is " + (f"{json.dumps(text)}, no text" if text else "empty"))


def table_rows(path: Path) -> Iterator[tuple[int, str | dict[str, Any]]]:
    """Yield (line number, row) of a table; rows of a .jsonl are JSON text."""
    if path.suffix.lower() == ".jsonl":
        yield from ((n, line) for n, line in enumerate(content(path).split("\n"), 1) if line.strip())
        return
    between = "\t" if path.suffix.lower() == ".tsv" else ","
    reader = csv.DictReader(io.StringIO(content(path)), delimiter=between, restkey=BEYOND)
    try:
        names = [name.strip() for name in reader.fieldnames or ()]
        if repeated := [name for name in names if names.count(name) > 1]:
            raise UserError(f"{path} has several columns `{repeated[0]}`. Rename them.")
        reader.fieldnames = names
        yield from ((reader.line_num, row) for row in reader)
    except csv.Error as error:
        raise not_text(path, error) from error


def text_column(names: Collection[str], wanted: str, path: Path) -> str:
    """Return the column that holds the texts; case is ignored.

    Raises:
        UserError: There is no such column, or auto finds none.
    """
    lower = {name.lower(): name for name in names}
    if wanted != "auto":
        if wanted.lower() not in lower:
            raise unknown("column", wanted, names, f"data.column is the column of {path} that holds the texts.")
        return lower[wanted.lower()]
    found = next((lower[name] for name in COLUMNS if name in lower), None)
    if found is None and len(names) != 1:
        raise UserError(
            f"{path} has the columns {', '.join(names) or 'none'}. Set data.column to the one that holds the texts."
        )
    return found or next(iter(names))


def holds_smiles(path: Path, column: str) -> bool:
    """Return whether a file's texts are called SMILES: a list of SMILES, or a table whose column of texts is smiles."""
    kind = path.suffix.lower()
    if kind not in (".csv", ".tsv"):
        return kind == ".smi"
    first = next((row for _, row in table_rows(path) if isinstance(row, dict)), {})
    return bool(first) and text_column(list(first), column, path).lower() == "smiles"


READERS: dict[str, Callable[[Path, str], Iterator[Entry]]] = {
    ".txt": line_entries,
    ".smi": smi_entries,
    **dict.fromkeys((".csv", ".tsv", ".jsonl"), table_entries),
    **dict.fromkeys((".fasta", ".fa", ".faa", ".fna"), fasta_entries),
}
"""Kind of file -> reader of its texts, called as reader(path, column)."""


def reader_of(path: Path) -> Callable[[Path, str], Iterator[Entry]]:
    """Return the reader of a file; raise UserError if its kind is not read."""
    if path.suffix.lower() not in READERS:
        raise unknown("kind of file", path.suffix or path.name, READERS, f"{path} should hold texts.")
    return READERS[path.suffix.lower()]


def content(path: Path) -> str:
    r"""Return a file as text, without a byte order mark and with \n at the end of each line.

    Raises:
        UserError: The file is not text in UTF-8, or cannot be read.
    """
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise not_text(path, error) from error
