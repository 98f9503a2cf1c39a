"""Reading a user's files of molecules item by item: .sdf, .mol, .xyz, .smi, .csv, .tsv, .jsonl, also .gz, or a folder.

Files are read as streams, so large ones need little memory. Workers parse the items (`prepare`).
"""

from __future__ import annotations

import hashlib
import re
import zlib
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

from polydiff.contract.data.splits import SPLIT, folder_at_top, split_folders, stated_split
from polydiff.domains.molecule.config import MoleculeData
from polydiff.domains.molecule.data.formats.frames import pairs
from polydiff.domains.molecule.data.formats.tables import json_items, smi_items, table_items
from polydiff.domains.molecule.data.formats.text_files import check_length, column_name, kind_of, lines_of
from polydiff.domains.molecule.data.further import further_files
from polydiff.domains.molecule.data.preparation.prepare import Item
from polydiff.support.errors import UserError, unknown
from polydiff.support.files import WRITTEN, files_under

WITH_POSITIONS = (".sdf", ".sd", ".mol", ".xyz", ".extxyz")
"""Kinds of file with positions."""
SMILES_ONLY = (".smi", ".csv", ".tsv")
"""Kinds of file with SMILES."""
LINES_OF_JSON = (".jsonl",)
"""Kind of file of JSON with SMILES, which is often something else and is read if there are no others."""
KINDS = (*WITH_POSITIONS, *SMILES_ONLY, *LINES_OF_JSON)
ABOUT = "README.md"
"""Name of a file that describes a data set."""
MARKS = {
    ".sdf": b"$$$$", ".sd": b"$$$$", ".mol": b"M  END",
    ".smi": b"\n", ".csv": b"\n", ".tsv": b"\n", ".jsonl": b"\n",
}  # fmt: skip
"""Kind of file -> bytes that occur once in each item."""
COUNTS = re.compile(r"^[\s\d]{6}.*\bV[23]000\s*$")
"""The counts line of a .sdf record, its fourth: the numbers of atoms and bonds."""
TAG = re.compile(r"^>.*<([^>]+)>")
"""The header line of a data item of a .sdf record."""
COMMENT = re.compile(r"(\w+)=([+-]?(?:\d+\.?|\d*[.,]\d+)(?:[eE][-+]?\d+)?)(?=[\s;|]|,\s|$)")
"""A name=number pair in the comment line of an .xyz."""
QUOTED = re.compile(r"""(\w+)=(?:"([^"]*)"|'([^']*)')""")
"""A name="text" pair there."""
OF_CELLS = ("lattice", "pbc", "origin", "properties")
"""Keys of extended XYZ that describe its cell or its columns."""


def molecule_files(path: Path) -> list[Path]:
    """Return the files of molecules at a path.

    In a folder, the files with positions are returned if there are any, else the files of SMILES. Of a folder with
    splits, such as train/ and test/, only files in these are returned.

    Raises:
        UserError: There are none.
    """
    if path.is_file():
        if kind_of(path) not in KINDS:
            raise unknown("kind of molecule file", kind_of(path), KINDS)
        return [path]
    if not path.is_dir():
        raise UserError(f"data.path={path} does not exist. It must be a folder or a file of kind {', '.join(KINDS)}.")
    for kinds in (WITH_POSITIONS, SMILES_ONLY, LINES_OF_JSON):
        found = [file for file in files_under(path, {*kinds, ".gz"}) if kind_of(file) in kinds]
        if found:
            splits = splits_of(found, path)
            return [file for file in found if splits.get(file, not splits)]
    raise UserError(f"The folder data.path={path} contains no file of molecules ({', '.join(KINDS)}).")


def splits_of(files: Sequence[Path], root: Path) -> dict[Path, str]:
    """Return file -> split by the folder below `root` in which it lies, "" outside of these; {} if no folder is one."""
    tops = {file: folder_at_top(file, root) for file in files}
    folders = split_folders(tops.values())
    return {file: folders.get(top, "") for file, top in tops.items()} if folders else {}


def kinds(files: Iterable[Path]) -> dict[str, int]:
    """Return kind -> number of files, most frequent first."""
    return dict(Counter(map(kind_of, files)).most_common())


def unread_files(path: Path, read: Collection[Path]) -> list[Path]:
    """Return the files of a folder that are not read: those of other kinds, and SMILES beside files with positions.

    The sets that samples are compared with (`further_files`) and descriptions of the data are not among them.
    """
    if path.is_file():
        return []
    known, further = set(read), set(further_files(path))
    return [
        file
        for file in path.rglob("*")
        if file.is_file()
        and file not in known
        and not any(part.startswith(".") for part in file.relative_to(path).parts)
        and file.name not in {ABOUT, *WRITTEN}
        and file not in further
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
        mark = MARKS.get(path.suffix.lower())
        if mark is None:
            return None
        with path.open("rb") as file:
            total += sum(block.count(mark) for block in iter(lambda: file.read(2**24), b""))
    return total


def items(files: Sequence[Path], root: Path, data: MoleculeData) -> Iterator[Item]:
    """Yield the items of files; with several files, their names contain the file's path relative to `root`."""
    splits = splits_of(files, root)
    for path in files:
        own = f"{path.relative_to(root).as_posix()}, " if len(files) > 1 else ""
        with readable(path):
            for item in READERS[kind_of(path)](path, data):
                yield divided_item(item, splits.get(path, ""))._replace(name=own + item.name)


def divided_item(item: Item, folder: str) -> Item:
    """Return an item with the split that its column `split` states, else that of its folder; without that column.

    An item whose column names no split is rejected.
    """
    try:
        (split, columns), (words, texts) = stated_split(item.columns), stated_split(item.texts)
    except ValueError as error:
        return item._replace(kind="rejected", text=str(error))
    return item._replace(columns=columns, texts=texts, stated=words or split or folder)


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """Turn an error from the disk, or that of a truncated .gz, into a UserError that names the file."""
    try:
        yield
    except (OSError, EOFError, zlib.error) as error:
        raise UserError(f"{path} cannot be read: {error}.") from None


def check_text(files: Iterable[Path]) -> None:
    """Raise UserError if the first line of a file is too long for molecules, before all of it is read for a digest."""
    for path in files:
        with readable(path), lines_of(path) as lines:
            next(lines, "")


def sdf_items(path: Path, _: MoleculeData | None = None) -> Iterator[Item]:
    """Yield the records of a .sdf with their data items as columns."""
    for number, lines in enumerate(records(path), 1):
        title = lines[0].strip()[:40]
        name = f"record {number}" + (f" ({title})" if title else "")
        yield Item(name, "record", "\n".join(lines), tags(lines), texts=long_tags(lines))


def records(path: Path) -> Iterator[list[str]]:
    """Yield the lines of each record of a .sdf; a truncated record does not swallow the next one."""
    lines: list[str] = []
    length = 0
    with lines_of(path) as found:
        for line in found:
            if line.startswith("$$$$"):
                yield from split_records(lines)
                lines, length = [], 0
            else:
                lines.append(line.rstrip("\r\n"))
                length = check_length(length + len(line), path, "a record")
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


def long_tags(lines: Sequence[str]) -> dict[str, str]:
    """Return the data items of a record whose values have several lines, name -> value."""
    found: dict[str, list[str]] = {}
    value: list[str] = []
    for line in lines:
        if tag := TAG.match(line):
            value = found.setdefault(column_name(tag[1]), [])
        elif line.strip():
            value.append(line)
        else:
            value = []
    return {name: " ".join(value) for name, value in found.items() if len(value) > 1}


def xyz_items(path: Path, _: MoleculeData) -> Iterator[Item]:
    """Yield the frames of an .xyz: a line with the number of atoms, a comment line, and one line per atom.

    Extra lines before the next number of atoms, as in QM9's own files, are ignored.
    """
    with lines_of(path) as found:
        number, lines, length = 1, list[str](), 0
        for line in found:
            if line.strip().isdigit() and len(lines) != 1 and lines:
                yield frame(number, lines)
                number, lines, length = number + 1, [], 0
            if lines or line.strip():
                lines.append(line)
                length = check_length(length + len(line), path, "a frame")
        if lines:
            yield frame(number, lines)


def frame(number: int, lines: Sequence[str]) -> Item:
    """Return the item of one frame: number of atoms, comment, lines of atoms.

    Numbers in the comment are columns, quoted values are columns of text, and split=test states the split.
    """
    count, comment, *atoms = [line.rstrip("\r\n") for line in (*lines, "")]
    text = "\n".join([count, comment, *(line for line in atoms if line.strip())])
    quoted = {name: one or other for name, one, other in QUOTED.findall(comment) if name.lower() not in OF_CELLS}
    named = {name: value for name, value in pairs(comment).items() if name.lower() == SPLIT}
    return Item(f"frame {number}", "atoms", text, dict(COMMENT.findall(comment)), texts=quoted | named)


READERS = {
    ".sdf": sdf_items, ".sd": sdf_items, ".mol": sdf_items, ".xyz": xyz_items, ".extxyz": xyz_items,
    ".smi": smi_items, ".csv": table_items, ".tsv": table_items, ".jsonl": json_items,
}  # fmt: skip
"""Kind of file -> function that yields its items."""
