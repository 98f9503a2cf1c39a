"""Reading a user's files of molecules item by item: .sdf, .mol, .xyz, .smi, .csv and .tsv, also with .gz, or a folder.

Files are read as streams, so large ones need little memory. Workers parse the items (`prepare`).
"""

from __future__ import annotations

import codecs
import csv
import gzip
import hashlib
import re
import sys
import zlib
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import accumulate, chain, pairwise
from pathlib import Path
from typing import Any, TextIO, cast

from polydiff.domains.molecule.config import MoleculeData
from polydiff.domains.molecule.data.prepare import Item
from polydiff.support.errors import UserError, unknown
from polydiff.support.files import files_under

WITH_POSITIONS = (".sdf", ".sd", ".mol", ".xyz", ".extxyz")
"""Kinds of file with positions."""
SMILES_ONLY = (".smi", ".csv", ".tsv")
"""Kinds of file with SMILES."""
KINDS = (*WITH_POSITIONS, *SMILES_ONLY)
MARKS = {".sdf": b"$$$$", ".sd": b"$$$$", ".mol": b"M  END", ".smi": b"\n", ".csv": b"\n", ".tsv": b"\n"}
"""Kind of file -> bytes that occur once in each item."""
COUNTS = re.compile(r"^[\s\d]{6}.*\bV[23]000\s*$")
"""The counts line of a .sdf record, its fourth: the numbers of atoms and bonds."""
TAG = re.compile(r"^>.*<([^>]+)>")
"""The header line of a data item of a .sdf record."""
MAX_QUOTED_LINES = 20
"""Largest number of lines of a quoted cell of a table."""
COMMENT = re.compile(r"(\w+)=([+-]?(?:\d+\.?|\d*[.,]\d+)(?:[eE][-+]?\d+)?)(?=[\s;|]|,\s|$)")
"""A name=number pair in the comment line of an .xyz."""


def kind_of(path: Path) -> str:
    """Return the kind of a file: its suffix before .gz, in lower case."""
    name = path.name.lower()
    return Path(name.removesuffix(".gz")).suffix


def molecule_files(path: Path) -> list[Path]:
    """Return the files of molecules at a path.

    In a folder, the files with positions are returned if there are any, else the files of SMILES.

    Raises:
        UserError: There are none.
    """
    if path.is_file():
        if kind_of(path) not in KINDS:
            raise unknown("kind of molecule file", kind_of(path), KINDS)
        return [path]
    if not path.is_dir():
        raise UserError(f"data.path={path} does not exist. It must be a folder or a file of kind {', '.join(KINDS)}.")
    for kinds in (WITH_POSITIONS, SMILES_ONLY):
        found = [file for file in files_under(path, {*kinds, ".gz"}) if kind_of(file) in kinds]
        if found:
            return found
    raise UserError(f"The folder data.path={path} contains no file of molecules ({', '.join(KINDS)}).")


def kinds(files: Iterable[Path]) -> dict[str, int]:
    """Return kind -> number of files, most frequent first."""
    return dict(Counter(map(kind_of, files)).most_common())


def unread_files(path: Path, read: Collection[Path]) -> list[Path]:
    """Return the files of a folder that are not read: those of other kinds, and SMILES beside files with positions."""
    if path.is_file():
        return []
    known = set(read)
    return [
        file
        for file in path.rglob("*")
        if file.is_file()
        and file not in known
        and not any(part.startswith(".") for part in file.relative_to(path).parts)
    ]


def digest_of(files: Iterable[Path]) -> str:
    """Return the SHA-256 of the contents of files, in hexadecimal."""
    total = hashlib.sha256()
    for path in files:
        with path.open("rb") as file:
            total.update(hashlib.file_digest(file, "sha256").digest())
    return total.hexdigest()


def count_items(files: Iterable[Path]) -> int | None:
    """Return the approximate number of items in files, for progress; None if counting is as slow as reading."""
    total = 0
    for path in files:
        mark = {".sdf": b"$$$$", ".sd": b"$$$$", ".mol": b"M  END", ".smi": b"\n", ".csv": b"\n", ".tsv": b"\n"}.get(
            path.suffix.lower()
        )
        if mark is None:
            return None
        with path.open("rb") as file:
            total += sum(block.count(mark) for block in iter(lambda: file.read(2**24), b""))
    return total


def opened(path: Path) -> TextIO:
    """Open a file, which may be compressed, as UTF-8 or, if it starts with its byte order mark, UTF-16.

    Invalid bytes become the replacement character.
    """
    unpack: Any = gzip.open if path.suffix.lower() == ".gz" else Path.open
    with unpack(path, "rb") as file:
        wide = file.read(2) in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
    encoding = "utf-16" if wide else "utf-8-sig"
    return cast("TextIO", unpack(path, mode="rt", encoding=encoding, errors="replace", newline=""))


def items(files: Sequence[Path], root: Path, data: MoleculeData) -> Iterator[Item]:
    """Yield the items of files; with several files, their names contain the file's path relative to `root`."""
    for path in files:
        own = f"{path.relative_to(root).as_posix()}, " if len(files) > 1 else ""
        try:
            for item in READERS[kind_of(path)](path, data):
                yield item._replace(name=own + item.name)
        except (OSError, EOFError, zlib.error) as error:  # from the disk, or a truncated .gz
            raise UserError(f"{path} cannot be read: {error}.") from None


def sdf_items(path: Path, _: MoleculeData | None = None) -> Iterator[Item]:
    """Yield the records of a .sdf with their data items as columns."""
    for number, lines in enumerate(records(path), 1):
        title = lines[0].strip()[:40]
        yield Item(f"record {number}" + (f" ({title})" if title else ""), "record", "\n".join(lines), tags(lines))


def records(path: Path) -> Iterator[list[str]]:
    """Yield the lines of each record of a .sdf; a truncated record does not swallow the next one."""
    lines: list[str] = []
    with opened(path) as file:
        for line in file:
            if line.startswith("$$$$"):
                yield from split_records(lines)
                lines = []
            else:
                lines.append(line.rstrip("\r\n"))
    yield from split_records(lines)


def split_records(lines: Sequence[str]) -> Iterator[list[str]]:
    """Yield the records between two separator lines: one, or several if separators are missing.

    Records are found by their counts lines. Lines between the end of one record and the header of the next form an
    incomplete record of their own.
    """
    counts = [i for i, line in enumerate(lines) if COUNTS.search(line)]
    starts = [record_start(lines, i) for i in counts]
    parts = [list(lines[: starts[0] if starts else None])]
    for i, start, stop in zip(counts, starts, [*starts, len(lines)][1:], strict=True):
        end = start + record_length(lines[start:stop])
        parts += [[""] * (3 - (i - start)) + list(lines[start:end]), list(lines[end:stop])]
    yield from (part for part in parts if any(line.strip() for line in part))


def record_start(lines: Sequence[str], i: int) -> int:
    """Return the first line of the record whose counts line is i: three lines before, or after the previous record."""
    before = range(max(i - 3, 0), i)
    return next((j + 1 for j in reversed(before) if lines[j].startswith("M  END")), before.start)


def record_length(lines: Sequence[str]) -> int:
    """Return the number of lines of a record with its data items; all lines if it has no end mark."""
    end = next((i for i, line in enumerate(lines) if line.startswith("M  END")), None)
    if end is None:
        return len(lines)
    value = False
    for i, line in enumerate(lines[end + 1 :], end + 1):
        value = line.startswith(">") or (value and bool(line.strip()))
        if not value and line.strip():
            return i
    return len(lines)


def tags(lines: Sequence[str]) -> dict[str, str]:
    """Return the data items of a record, name -> first line of the value."""
    named = ((TAG.match(line), value) for line, value in pairwise(lines))
    return {column_name(tag[1]): value.strip() for tag, value in named if tag}


def column_name(text: str) -> str:
    """Return a column name with other characters than letters, digits and _ replaced by _."""
    return re.sub(r"\W+", "_", text.strip()).strip("_")


def smi_items(path: Path, _: MoleculeData) -> Iterator[Item]:
    """Yield the first word of each line, the second as title; a first line that starts with "smiles" is a header."""
    with opened(path) as file:
        for number, line in enumerate(file, 1):
            word, *title = line.split(maxsplit=1) or [""]
            if word and not (number == 1 and word.lower() == "smiles"):
                yield Item(f"line {number}", "smiles", word, title=(title[0].split() or [""])[0] if title else "")


def table_items(path: Path, data: MoleculeData) -> Iterator[Item]:
    """Yield the SMILES of each row of a table, with its other columns."""
    csv.field_size_limit(sys.maxsize)
    with opened(path) as file:
        heading = file.readline()
        mark = "\t" if kind_of(path) == ".tsv" else max(",;\t|", key=heading.count)
        names = [column_name(name) for name in cells([heading], mark)]
        place = smiles_column(names, data.column, path)
        for number, row in rows(file, mark):
            if any(row):
                others = {name: text for i, (name, text) in enumerate(zip(names, row, strict=False)) if i != place}
                yield Item(f"line {number}", "smiles", row[place].strip() if place < len(row) else "", others)


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


def xyz_items(path: Path, _: MoleculeData) -> Iterator[Item]:
    """Yield the frames of an .xyz: a line with the number of atoms, a comment line, and one line per atom.

    Extra lines before the next number of atoms, as in QM9's own files, are ignored.
    """
    with opened(path) as file:
        number, lines = 1, list[str]()
        for line in file:
            if line.strip().isdigit() and len(lines) != 1 and lines:
                yield frame(number, lines)
                number, lines = number + 1, []
            if lines or line.strip():
                lines.append(line)
        if lines:
            yield frame(number, lines)


def frame(number: int, lines: Sequence[str]) -> Item:
    """Return the item of one frame: number of atoms, comment, lines of atoms; numbers in the comment are columns."""
    count, comment, *atoms = [line.rstrip("\r\n") for line in (*lines, "")]
    text = "\n".join([count, comment, *(line for line in atoms if line.strip())])
    return Item(f"frame {number}", "atoms", text, dict(COMMENT.findall(comment)))


READERS = {
    ".sdf": sdf_items, ".sd": sdf_items, ".mol": sdf_items, ".xyz": xyz_items, ".extxyz": xyz_items,
    ".smi": smi_items, ".csv": table_items, ".tsv": table_items,
}  # fmt: skip
"""Kind of file -> function that yields its items."""
