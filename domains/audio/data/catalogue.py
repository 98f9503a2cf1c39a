"""List the sounds under a path: a tree of files, LJSpeech, NSynth, a table, tar archives or an array.

Each layout has a function that returns entries and records invalid ones in a `Quarantine`. Nothing is decoded here.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from polydiff.contract.data.arrays import load_array
from polydiff.contract.data.columns import EMBEDDING
from polydiff.contract.data.places import Place
from polydiff.contract.data.quarantine import Quarantine
from polydiff.contract.data.splits import outside_of, split_folders, stated_split
from polydiff.contract.data.tables import (
    TABLES,
    check_cells,
    filled,
    lines_of,
    lists_files,
    mapping,
    named_path,
    rows_of,
    stored,
)
from polydiff.contract.data.webdataset import examples_of
from polydiff.domains.audio.data.formats import nsynth
from polydiff.support.errors import UserError, one_line
from polydiff.support.files import files_under

PLAIN = (".wav", ".wave", ".w64", ".rf64", ".aif", ".aiff", ".aifc", ".au", ".caf")
SUFFIXES = frozenset({*PLAIN, ".flac", ".ogg", ".oga", ".opus", ".mp3"})
LISTS = {"testing_list.txt": "test", "validation_list.txt": "validation"}
"""File lists of Speech Commands -> their split."""


class Entry(NamedTuple):
    """A sound that a path lists, not opened yet.

    Attributes:
        name: Name in messages and lists, unique.
        place: Place of its bytes.
        columns: Metadata by column: text, numbers, and the `Place` of an array.
        split: "train", "test", "validation", or "" if the data does not specify it.
        start: Start in the file, in seconds.
        end: End in the file, in seconds; None: the end of the file.
    """

    name: str
    place: Place
    columns: Mapping[str, Any]
    split: str = ""
    start: float = 0.0
    end: float | None = None

    @property
    def file(self) -> str:
        """The name without the time range, equal for all parts of a file."""
        return self.name.rsplit(" ", 2)[0] if self.start or self.end is not None else self.name


def catalogue(path: Path, aside: Quarantine, rules: int = 2) -> list[Entry]:
    """Return the sounds under a path, in order.

    Invalid entries are excluded; `aside.found` counts all sounds, valid or not. `rules` are `data.rules`.

    Raises:
        UserError: The path does not exist, has no known layout, or contains no sound.
    """
    if path.is_file():
        entries = in_file(path, aside)
    elif not path.is_dir():
        raise UserError(f"data.path={path}: no such file or folder.")
    elif (path / "wavs").is_dir() and (path / "metadata.csv").is_file():
        entries = ljspeech(path, aside)
    elif listed := nsynth.lists(path):
        entries = [Entry(*note) for note in nsynth.notes(path, listed)]
    elif shards := sorted(p for p in path.glob("*.tar") if not p.name.startswith(".")):
        entries = archives(path, shards, aside)
    else:
        entries = tree(path, aside, rules)
    aside.found += len(entries)
    if not aside.found:
        others = f" Ignored: {aside.ignored_text()}." if aside.ignored else ""
        none = f"contains no sound file ({', '.join(sorted(SUFFIXES))})" if path.is_dir() else "lists no sound"
        raise UserError(f"{path} {none}.{others}")
    return entries


def in_file(path: Path, aside: Quarantine) -> list[Entry]:
    """Return the sounds that a single file contains or lists."""
    match path.suffix.lower():
        case ".npy":
            return array(path)
        case ".tar":
            return list(archive(path, path.parent, aside))
        case suffix if suffix in TABLES:
            return manifest(path, aside)
        case suffix if suffix in SUFFIXES:
            raise UserError(f"data.path={path} is a single sound. Set data.path to its folder.")
        case ".gz" | ".tgz" | ".zst" | ".zip":
            raise UserError(f"data.path={path} is compressed, so no crop can be read from its middle. Unpack it.")
    raise UserError(
        f"data.path={path} is neither a folder, a table ({', '.join(TABLES)}), a .tar archive nor a .npy array."
    )


def tree(root: Path, aside: Quarantine, rules: int = 2) -> list[Entry]:
    """Return the sound files under a folder.

    Names that start with a dot, and folders that start with _ such as _background_noise_, are ignored. The top-level
    folder becomes the column "label"; if the folders at the top are splits, such as train/ and test/, it is the folder
    below. Sounds beside the splits' folders are left out. clip.json beside clip.wav adds columns; clip.npy is the
    column "embedding".

    Arguments:
        root: The folder.
        aside: Receives unusable sounds with reasons.
        rules: `data.rules`; by the first, folders at the top are never splits.
    """
    odd: dict[str, str] = {}
    ignored: Counter[str] = Counter()
    paths = files_under(root, SUFFIXES, hidden=(".", "_"), odd=odd, ignored=ignored)
    exclude_unlisted(aside, odd)
    ignore(aside, ignored, read_beside(paths) | {root / name for name in LISTS})
    if tables := [name for name in sorted(root.iterdir()) if lists_files(name)]:
        aside.notes["tables"] = f"{tables[0].name} is not read; data.path={tables[0]} uses its rows and columns"
    lists = {line.strip(): split for name, split in LISTS.items() for line in lines_of(root / name)}
    tops = {parts[0] for path in paths if len(parts := path.relative_to(root).parts) > 1}
    folders = split_folders(tops) if rules > 1 and not lists else {}
    entries, outside = [], 0
    for path in paths:
        name = path.relative_to(root).as_posix()
        folder, slash, rest = name.partition("/")
        side = folders.get(folder, "") if slash else ""
        if folders and not side:
            outside += 1
            continue
        if side:
            folder, slash, _ = rest.partition("/")
        try:
            stated, columns = stated_split(({"label": folder} if slash else {}) | beside(path))
        except (OSError, ValueError) as error:
            exclude_unlisted(aside, {name: f"its {path.stem}.json cannot be read: {error}"})
            continue
        entries.append(Entry(name, Place(path), columns, stated or lists.get(name, "train" if lists else side)))
    if outside:
        aside.found, aside.left_out = aside.found + outside, aside.left_out + outside
        aside.notes["outside"] = outside_of(folders, outside)
    if lists and entries and lists.keys().isdisjoint(entry.name for entry in entries):
        raise UserError(
            f"{root} contains none of the files that {' and '.join(LISTS)} list. Correct or remove these lists."
        )
    return entries


def exclude_unlisted(aside: Quarantine, reasons: Mapping[str, str]) -> None:
    """Record sounds that were found but become no entry, with reasons."""
    for name, reason in reasons.items():
        aside.found += aside.exclude(name, reason)


def ignore(aside: Quarantine, ignored: Counter[str], read: Collection[Path] = ()) -> None:
    """Count files that are not used by kind, except for those in `read`, which describe sounds."""
    ignored.subtract(Counter(path.suffix.lower() for path in read if path.is_file()))
    aside.ignored = dict((+ignored).most_common())


def read_beside(paths: Sequence[Path]) -> set[Path]:
    """Return the files beside sounds from which `beside` reads columns, whether they exist or not."""
    return {path.with_suffix(suffix) for path in paths for suffix in (".json", ".npy")}


def beside(path: Path) -> dict[str, Any]:
    """Return the columns from the files beside a sound."""
    columns, vectors = path.with_suffix(".json"), path.with_suffix(".npy")
    metadata = mapping(columns.read_text(encoding="utf-8")) if columns.is_file() else {}
    return metadata | ({EMBEDDING: Place(vectors)} if vectors.is_file() else {})


def ljspeech(root: Path, aside: Quarantine) -> list[Entry]:
    """Return the sounds of wavs/ that metadata.csv lists as id|text|normalised text."""
    entries: dict[str, Entry] = {}
    for number, line in enumerate(lines_of(root / "metadata.csv"), 1):
        name, _, rest = line.partition("|")
        text, _, normalised = rest.partition("|")
        if name.strip():
            columns = {"text": text, "normalised": normalised or text}
            entry = Entry(f"wavs/{name}.wav", Place(root / "wavs" / f"{name}.wav"), columns)
            add_entry(entries, entry, f"metadata.csv, line {number}", aside)
    ignored: Counter[str] = Counter()
    paths = files_under(root, SUFFIXES, ignored=ignored)
    ignored["sounds not in metadata.csv"] = sum(path.relative_to(root).as_posix() not in entries for path in paths)
    ignore(aside, ignored, [root / "metadata.csv"])
    return list(entries.values())


def add_entry(entries: dict[str, Entry], entry: Entry, line: str, aside: Quarantine) -> None:
    """Add an entry, or exclude its line if an earlier line has the same name."""
    if entry.name in entries:
        exclude_unlisted(aside, {line: f"{entry.name} is already listed in an earlier line"})
    entries.setdefault(entry.name, entry)


def manifest(path: Path, aside: Quarantine) -> list[Entry]:
    """Return the sounds of a table, one per row: path, optional start and end in seconds, split, other columns.

    The column of the path may also be called file_name, as in Hugging Face's metadata.csv.

    Paths of sounds and of arrays (.npy) are relative to the table.
    """
    entries: dict[str, Entry] = {}
    for number, row in rows_of(path):
        try:
            entry = entry_of(mapping(row) if isinstance(row, str) else row, path)
        except ValueError as error:
            exclude_unlisted(aside, {f"{path.name}, line {number}": str(error)})
            continue
        add_entry(entries, entry, f"{path.name}, line {number}", aside)
    return list(entries.values())


def entry_of(row: Mapping[str, Any], table: Path) -> Entry:
    """Return the sound of a row; raise ValueError if the row is invalid."""
    given = named_path(filled(row))
    check_cells(given, table)
    if not isinstance(given.get("path"), str):
        raise ValueError("it has no `path`")
    start, end = (seconds(name, given.get(name)) for name in ("start", "end"))
    split, given = stated_split(given)
    part = f" {start or 0:g}:{'' if end is None else f'{end:g}'} s" if start or end is not None else ""
    columns = {name: value for name, value in given.items() if name not in ("path", "start", "end")}
    return Entry(
        f"{given['path']}{part}",
        Place(table.parent / given["path"]),
        {name: stored(value, table.parent) for name, value in columns.items()},
        split,
        start or 0.0,
        end,
    )


def seconds(name: str, cell: Any) -> float | None:
    """Return the time in a cell, None for an empty cell; raise ValueError for anything that is not a finite number."""
    try:
        time = None if cell is None else math.nan if isinstance(cell, bool) else float(cell)
    except (TypeError, ValueError):
        time = math.nan
    if time is not None and not math.isfinite(time):
        raise ValueError(f"{name}={cell} is not a time in seconds")
    return time


def array(path: Path) -> list[Entry]:
    """Return the rows of an array (N, T) or (N, C, T), whose sample rate is data.sample_rate."""
    try:
        sounds = load_array(path, mmap_mode="r")
    except Exception as error:
        raise UserError(f"data.path={path} cannot be read as an array: {one_line(error)}.") from error
    if not isinstance(sounds, np.ndarray):
        raise UserError(f"data.path={path} holds several arrays (.npz); save the one of the sounds as .npy.")
    if sounds.ndim not in (2, 3) or 0 in sounds.shape or sounds.dtype.kind not in "iuf" or sounds.dtype.kind == "u":
        raise UserError(
            f"data.path={path} must contain sounds of shape (N, T) or (N, C, T) in floating point or signed integers, "
            f"not {sounds.dtype} {sounds.shape}."
        )
    return [Entry(f"{path.name}[{i}]", Place(path, row=i), {}) for i in range(len(sounds))]


def archives(root: Path, shards: Sequence[Path], aside: Quarantine) -> list[Entry]:
    """Return the sounds of a folder of tar archives; raise UserError if sound files lie beside them."""
    ignored: Counter[str] = Counter()
    if loose := files_under(root, SUFFIXES, hidden=(".", "_"), ignored=ignored):
        raise UserError(
            f"{root} contains archives, such as {shards[0].name}, and sound files, such as "
            f"{loose[0].relative_to(root)}. Move one kind elsewhere."
        )
    ignore(aside, ignored, shards)
    return [entry for shard in shards for entry in archive(shard, root, aside)]


def archive(path: Path, root: Path, aside: Quarantine) -> Iterator[Entry]:
    """Yield the sounds of a tar archive (`polydiff.contract.data.webdataset`)."""
    ignored = Counter(aside.ignored)
    found, torn = examples_of(path, path.relative_to(root).as_posix(), SUFFIXES, ignored)
    exclude_unlisted(aside, torn)
    ignore(aside, ignored)
    for name, place, columns in found:
        try:
            split, others = stated_split(columns)
        except ValueError as error:
            exclude_unlisted(aside, {name: str(error)})
        else:
            yield Entry(name, place, others, split)
