"""Text that describes files: lists, tables, and JSON objects."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from polydiff.contract.data.places import Place
from polydiff.contract.text.tokenizers import HALF
from polydiff.support.errors import UserError

TABLES = (".jsonl", ".csv", ".tsv")
FILE_NAME = "file_name"
"""Name of the column `path` in the metadata files of Hugging Face's datasets."""
BEYOND = "beyond"
"""Name of the cells of a row for which the first line has no column."""
LINE = 2**16
"""Upper bound of the characters of a first line."""


def lines_of(path: Path) -> list[str]:
    """Return the lines of a text file, [] if it does not exist."""
    if not path.is_file():
        return []
    try:
        return path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise not_text(path, error) from error


def rows_of(path: Path) -> Iterator[tuple[int, str | dict[str, Any]]]:
    """Yield (line number, row) of a table; rows of a .jsonl file are JSON text."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            if path.suffix.lower() == ".jsonl":
                yield from ((number, line) for number, line in enumerate(file, 1) if line.strip())
                return
            between = "\t" if path.suffix.lower() == ".tsv" else ","
            reader = csv.DictReader(file, delimiter=between, restkey=BEYOND, skipinitialspace=True)
            check_columns(reader.fieldnames or (), path)
            yield from ((reader.line_num, row) for row in reader)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise not_text(path, error) from error


def not_text(path: Path, error: Exception) -> UserError:
    """Return the error for a list or table that cannot be read."""
    if isinstance(error, UnicodeDecodeError):
        byte = error.object[error.start]
        return UserError(f"{path} is not text in UTF-8: it holds the byte 0x{byte:02x}. Save it as UTF-8.")
    return UserError(f"{path} is not {'readable' if isinstance(error, OSError) else 'a table'}: {error}.")


def check_columns(names: Sequence[str], table: Path) -> None:
    """Raise UserError if the column `path` (or file_name) is missing or a column name occurs twice."""
    if not {"path", FILE_NAME} & {*names}:
        odd = len(names) == 1 and next((mark for mark in ";\t|," if mark in names[0]), None)
        between = "a tab" if table.suffix.lower() == ".tsv" else "a comma"
        advice = f" Write {between} between columns, not {odd!r}." if odd else ""
        raise UserError(
            f"{table} has no column `path` or `{FILE_NAME}`. The columns in its first line: "
            f"{', '.join(names) or 'none'}.{advice}"
        )
    for name in names:
        if names.count(name) > 1:
            raise UserError(f"{table} has several columns `{name}`. Rename them.")


def check_cells(row: Mapping[str, Any], table: Path) -> None:
    """Raise ValueError if a row of a table has more cells than the first line has column names."""
    if BEYOND in row and table.suffix.lower() != ".jsonl":
        mark = "tab" if table.suffix.lower() == ".tsv" else "comma"
        raise ValueError(
            "it has more cells than the first line has column names; put a cell that holds a "
            + (f"{mark} in double quotes" if mark == "tab" else f'{mark} in double quotes, such as "red, round"')
        )


def mapping(text: str | bytes) -> dict[str, Any]:
    """Return the object in JSON text without its empty cells; raise ValueError for any other value.

    JSON can escape half of a character beyond 16 bits, such as an emoji that was cut. No file could be written with it.
    """
    try:
        value = json.loads(text)
        escaped = json.dumps(value, ensure_ascii=False) if "\\u" in str(text) else ""
    except RecursionError:
        raise ValueError("it contains JSON that is nested too deeply") from None
    if not isinstance(value, dict):
        raise ValueError(f"it contains a JSON {type(value).__name__}, not an object of columns")
    if HALF.search(escaped):
        raise ValueError("it contains half of a character, such as \\ud83d, from text that was cut")
    return filled(value)


def filled(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row without the cells that are empty, null or NaN, the only value unequal to itself."""
    return {name: value for name, value in row.items() if value not in (None, "") and value == value}


def named_path(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row whose column file_name is called path, unless it has a path."""
    return {("path" if name == FILE_NAME and "path" not in row else name): value for name, value in row.items()}


def stored(value: Any, folder: Path) -> Any:
    """Return the place of the array if a cell is the name of a .npy file, otherwise the cell itself."""
    named = isinstance(value, str) and value.lower().endswith(".npy")
    return Place(folder / value) if named else value


def lists_files(path: Path) -> bool:
    """Return whether a file is a table with a column `path` or file_name, by its first line."""
    if path.suffix.lower() not in TABLES or path.name.startswith(".") or not path.is_file():
        return False
    try:
        with path.open(encoding="utf-8-sig", errors="replace") as file:
            words = file.readline(LINE)
    except OSError:  # it is counted among the ignored files in any case
        return False
    return any(re.search(rf"\b{name}\b", words) for name in ("path", FILE_NAME))
