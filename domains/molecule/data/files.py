"""Your own molecules as files say them, place by place: .sdf, .xyz, .smi, .csv and .tsv, also within .gz, or a folder.

Files are read as streams, so that large ones take no memory. What stands at a place is made a molecule in a worker.
"""

from __future__ import annotations

import codecs
import csv
import gzip
import hashlib
import re
import sys
import zlib
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate, chain, pairwise
from pathlib import Path
from typing import Any, TextIO, cast

from polydiff.domains.molecule.config import MoleculeData
from polydiff.domains.molecule.data.prepare import Item
from polydiff.support.errors import UserError, unknown
from polydiff.support.files import files_under

PLACED = (".sdf", ".xyz")
"""Kinds of file whose molecules have positions."""
WRITTEN = (".smi", ".csv", ".tsv")
"""Kinds of file of SMILES."""
KINDS = (*PLACED, *WRITTEN)
COUNTS = re.compile(r"^[\s\d]{6}.*\bV[23]000\s*$")
"""A record's fourth line, which counts its atoms and bonds."""
TAG = re.compile(r"^>.*<([^>]+)>")
"""The line before a value that is said of a record."""
QUOTED = 20
"""Lines over which a quoted cell of a table may run."""
COMMENT = re.compile(r"(\w+)=(-?[\d.]+(?:[eE][-+]?\d+)?)(?=\s|$)")
"""A number that the second line of an .xyz gives."""


def kind_of(path: Path) -> str:
    """Return the kind of a file, its suffix without .gz."""
    name = path.name.lower()
    return Path(name.removesuffix(".gz")).suffix


def molecule_files(path: Path) -> list[Path]:
    """Return the files of molecules that a path stands for; in a folder, those with positions before all others."""
    if path.is_file():
        if kind_of(path) not in KINDS:
            raise unknown("kind of molecule file", kind_of(path), KINDS)
        return [path]
    if not path.is_dir():
        raise UserError(f"There is no data.path={path}; it must be a folder, or one of {', '.join(KINDS)}.")
    for kinds in (PLACED, WRITTEN):
        found = [file for file in files_under(path, {*kinds, ".gz"}) if kind_of(file) in kinds]
        if found:
            return found
    raise UserError(f"The folder data.path={path} holds no file of molecules: {', '.join(KINDS)}.")


def digest_of(files: Iterable[Path]) -> str:
    """Return the SHA-256 of what files hold, in hexadecimal."""
    total = hashlib.sha256()
    for path in files:
        with path.open("rb") as file:
            total.update(hashlib.file_digest(file, "sha256").digest())
    return total.hexdigest()


def places_in(files: Iterable[Path]) -> int | None:
    """Return about how many places files have, to tell how far their reading is; None where that takes as long."""
    total = 0
    for path in files:
        mark = {".sdf": b"$$$$", ".smi": b"\n", ".csv": b"\n", ".tsv": b"\n"}.get(path.suffix.lower())
        if mark is None:
            return None
        with path.open("rb") as file:
            total += sum(block.count(mark) for block in iter(lambda: file.read(2**24), b""))
    return total


def opened(path: Path) -> TextIO:
    """Return a file as text, UTF-8 or, where it begins with its mark, UTF-16; others read as a mark of that."""
    unpack: Any = gzip.open if path.suffix.lower() == ".gz" else Path.open
    with unpack(path, "rb") as file:
        wide = file.read(2) in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
    encoding = "utf-16" if wide else "utf-8-sig"
    return cast("TextIO", unpack(path, mode="rt", encoding=encoding, errors="replace", newline=""))


def items(files: Sequence[Path], root: Path, data: MoleculeData) -> Iterator[Item]:
    """Yield what stands at each place of files; a file of several says its name."""
    for path in files:
        own = f"{path.relative_to(root).as_posix()}, " if len(files) > 1 else ""
        try:
            for item in READERS[kind_of(path)](path, data):
                yield item._replace(name=own + item.name)
        except (OSError, EOFError, zlib.error) as error:  # of the disk, or of a .gz that is cut off
            raise UserError(f"{path} cannot be read: {error}.") from None


def sdf_items(path: Path, _: MoleculeData | None = None) -> Iterator[Item]:
    """Yield the records of a .sdf with the values that are said of them."""
    for number, lines in enumerate(records(path), 1):
        title = lines[0].strip()[:40]
        yield Item(f"record {number}" + (f" ({title})" if title else ""), "record", "\n".join(lines), tags(lines))


def records(path: Path) -> Iterator[list[str]]:
    """Yield the lines of each record of a .sdf; one that was cut off does not take the next with it."""
    lines: list[str] = []
    with opened(path) as file:
        for line in file:
            if line.startswith("$$$$"):
                yield from whole(lines)
                lines = []
            else:
                lines.append(line.rstrip("\r\n"))
    yield from whole(lines)


def whole(lines: Sequence[str]) -> Iterator[list[str]]:
    """Yield the records in the lines between two separators: one, or more where a separator is missing.

    Records are told by their counts; what stands between the end of one and the heading of the next is one that is not
    whole.
    """
    counts = [i for i, line in enumerate(lines) if COUNTS.search(line)]
    starts = [heading(lines, i) for i in counts]
    parts = [list(lines[: starts[0] if starts else None])]
    for i, start, stop in zip(counts, starts, [*starts, len(lines)][1:], strict=True):
        end = start + length(lines[start:stop])
        parts += [[""] * (3 - (i - start)) + list(lines[start:end]), list(lines[end:stop])]
    yield from (part for part in parts if any(line.strip() for line in part))


def heading(lines: Sequence[str], i: int) -> int:
    """Return where the record begins whose counts are in line i: three lines before, or less after another's end."""
    before = range(max(i - 3, 0), i)
    return next((j + 1 for j in reversed(before) if lines[j].startswith("M  END")), before.start)


def length(lines: Sequence[str]) -> int:
    """Return how many lines a record has with the values that are said of it: all where its end is not marked."""
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
    """Return the values of one line that are said of a record, name -> text."""
    named = ((TAG.match(line), value) for line, value in pairwise(lines))
    return {column_name(tag[1]): value.strip() for tag, value in named if tag}


def column_name(text: str) -> str:
    """Return the name of a column as one word."""
    return re.sub(r"\W+", "_", text.strip()).strip("_")


def smi_items(path: Path, _: MoleculeData) -> Iterator[Item]:
    """Yield the first word of each line; a first line that begins with "smiles" is a heading."""
    with opened(path) as file:
        for number, line in enumerate(file, 1):
            word = line.split(maxsplit=1)[0] if line.strip() else ""
            if word and not (number == 1 and word.lower() == "smiles"):
                yield Item(f"line {number}", "smiles", word)


def table_items(path: Path, data: MoleculeData) -> Iterator[Item]:
    """Yield the column of SMILES with all others."""
    csv.field_size_limit(sys.maxsize)
    with opened(path) as file:
        heading = file.readline()
        mark = "\t" if kind_of(path) == ".tsv" else max(",;\t|", key=heading.count)
        names = [column_name(name) for name in cells([heading], mark)]
        place = smiles_column(names, data.column, path)
        for number, row in rows(file, mark):
            if any(row):
                said = {name: text for i, (name, text) in enumerate(zip(names, row, strict=False)) if i != place}
                yield Item(f"line {number}", "smiles", row[place].strip() if place < len(row) else "", said)


def smiles_column(names: Sequence[str], wanted: str, path: Path) -> int:
    """Return the place of a column, in capitals or not; of "smiles" also the only one with that in its name."""
    lower = [name.lower() for name in names]
    near = [name for name in lower if "smiles" in name]
    found = near[0] if wanted == "smiles" and wanted not in lower and len(near) == 1 else column_name(wanted).lower()
    if found not in lower:
        raise unknown("column", wanted, lower, f"Say data.column=NAME for another column of {path}.")
    return lower.index(found)


def rows(file: Iterable[str], mark: str) -> Iterator[tuple[int, list[str]]]:
    """Yield the number of the line and the cells of each row after the heading.

    A quoted cell may run over a few lines; one that does not end takes no further lines with it.
    """
    waiting = list[str]()
    number = 2
    for line in chain(file, [None]):
        waiting += [] if line is None else [line]
        while waiting and (taken := closed(waiting) or int(line is None or len(waiting) > QUOTED)):
            yield number, cells(waiting[:taken], mark)
            number += taken
            del waiting[:taken]


def closed(lines: Sequence[str]) -> int:
    """Return how many lines it takes until each quoted cell has ended, 0 where there are too few."""
    quotes = accumulate(line.count('"') for line in lines)
    return next((taken for taken, count in enumerate(quotes, 1) if count % 2 == 0), 0)


def cells(lines: Sequence[str], mark: str) -> list[str]:
    """Return the cells of one row, which may be several lines."""
    return next(csv.reader([line.replace("\0", "�") for line in lines], delimiter=mark), [])


def xyz_items(path: Path, _: MoleculeData) -> Iterator[Item]:
    """Yield the frames of an .xyz: a line with the number of atoms, a comment, and a line of each atom.

    Lines before the next number of atoms are passed over, as those that QM9's own files end with.
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
    """Return one frame of an .xyz: the number of atoms and their lines, without the comment, and its numbers."""
    text = "".join([lines[0], *(line for line in lines[2:] if line.strip())])
    return Item(f"frame {number}", "atoms", text, dict(COMMENT.findall(lines[1])) if len(lines) > 1 else {})


READERS = {
    ".sdf": sdf_items, ".xyz": xyz_items, ".smi": smi_items, ".csv": table_items, ".tsv": table_items
}  # fmt: skip
"""Kind of file -> what yields what stands at its places."""
