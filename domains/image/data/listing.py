"""Which images a path holds, and what is said of them: a tree of files, tables beside them, tar archives.

Columns come from metadata.jsonl, .csv or .tsv (a column `file_name` or `path`, relative to the table), from a.txt (the
caption) and a.json beside a.png, and in an archive from members of one key. Nothing is decoded here.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from polydiff.contract.data.columns import EMBEDDING
from polydiff.contract.data.places import Place
from polydiff.contract.data.quarantine import Quarantine
from polydiff.contract.data.splits import stated_split
from polydiff.contract.data.tables import TABLES, check_cells, filled, lists_files, mapping, named_path, rows_of, stored
from polydiff.contract.data.webdataset import examples_of
from polydiff.contract.text.columns import TEXT
from polydiff.support.errors import UserError, amount
from polydiff.support.files import files_under

ARCHIVES = frozenset({".zip", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".zst", ".7z", ".rar"})
"""Kinds of file that hold other files."""
METADATA = "metadata"
"""Name, without its suffix, of a table that describes the images in its folder."""
LARGEST = 2**24
"""Largest size of a text beside an image, in bytes."""


@dataclass
class Listing:
    """The images under a path.

    Arguments:
        places: Name -> where the bytes are.
        columns: Name -> metadata by column.
        stated: Name -> the split that its columns or the data set state.
    """

    places: dict[str, Place] = field(default_factory=dict)
    columns: dict[str, dict[str, Any]] = field(default_factory=dict)
    stated: dict[str, str] = field(default_factory=dict)

    def add(self, name: str, place: Place, columns: Mapping[str, Any], split: str = "") -> None:
        """Add an image, whose column `split` precedes `split`; raise ValueError if the column names no split."""
        stated, others = stated_split(columns)
        self.places[name], self.columns[name] = place, others
        if stated or split:
            self.stated[name] = stated or split


def list_images(path: Path, quarantine: Quarantine, suffixes: Collection[str], described: bool = True) -> Listing:
    """Return the images under a path, without hidden ones (.name).

    Arguments:
        path: A folder, a table, or a tar archive.
        quarantine: Receives the number of images, unusable names with reasons, and the kinds of all other files.
        suffixes: Suffixes of images.
        described: Whether tables, texts and arrays beside images, and archives, are read.

    Raises:
        UserError: There is no such path, or it holds fewer than two images.
    """
    if described and path.is_file() and path.suffix.lower() == ".tar":
        return archives([path], path.parent, quarantine, suffixes, path)
    if described and path.is_file() and path.suffix.lower() in TABLES:
        listing = Listing()
        add_table(listing, path, path.parent, quarantine, only_listed=True)
        quarantine.found += len(listing.places)
        return at_least_two(path, listing, quarantine, suffixes)
    if path.is_file() and path.suffix.lower() in ARCHIVES:
        raise UserError(f"data.path={path} is not a folder. Unpack it, and set data.path to the new folder.")
    if path.is_file():
        raise UserError(f"data.path={path} is neither a folder, a table ({', '.join(TABLES)}) nor a .tar archive.")
    if not path.is_dir():
        raise UserError(f"data.path={path}: there is no such folder.")
    shards = sorted(one for one in path.glob("*.tar") if not one.name.startswith(".")) if described else []
    if shards:
        return archives(shards, path, quarantine, suffixes, path)
    return at_least_two(path, tree(path, quarantine, suffixes, described), quarantine, suffixes)


def tree(root: Path, quarantine: Quarantine, suffixes: Collection[str], described: bool) -> Listing:
    """Return the images in a folder and the folders below it; arguments as `list_images`."""
    odd: dict[str, str] = {}
    ignored: Counter[str] = Counter()
    listing = Listing()
    paths = files_under(root, suffixes, odd=odd, ignored=ignored)
    for path in paths:
        listing.add(path.relative_to(root).as_posix(), Place(path), {})
    for name, reason in odd.items():
        quarantine.exclude(name, reason)
    quarantine.found += len(paths) + len(odd)
    if described:
        tables = [table for table in files_under(root, TABLES) if lists_files(table)]
        for table in tables:
            add_table(listing, table, root, quarantine)
        note_unread(files_under(root, TABLES), tables, root, quarantine)
        read = {*tables, *(path for name in listing.places for path in read_beside(listing, name, quarantine))}
        ignored.subtract(Counter(path.suffix.lower() for path in read))
    quarantine.ignored = dict((+ignored).most_common())
    return listing


def note_unread(found: Collection[Path], tables: Collection[Path], root: Path, quarantine: Quarantine) -> None:
    """Note tables that are called metadata and name no files, so that their columns are not read.

    Arguments:
        found: All tables in the folder.
        tables: Those that name files.
        root: The folder.
        quarantine: Receives the note.
    """
    unread = [one for one in found if one.stem.lower() == METADATA and one not in tables]
    names = ", ".join(one.relative_to(root).as_posix() for one in unread)
    if unread:
        quarantine.notes["tables"] = f"not read: {names}, without a column file_name in its first line, in UTF-8"


def add_table(listing: Listing, table: Path, root: Path, quarantine: Quarantine, only_listed: bool = False) -> None:
    """Add the columns of a table to the images that its rows name.

    Arguments:
        listing: The images.
        table: The table.
        root: Folder to which names are relative.
        quarantine: Receives rows that cannot be used, with reasons.
        only_listed: Whether the rows are the data set, and each counts as an image; otherwise they only describe images
            that were found, and are counted apart.
    """
    seen: set[str] = set()
    for number, row in rows_of(table):
        quarantine.rows += not only_listed
        line = f"{table.relative_to(root).as_posix()}, line {number}"
        try:
            name, columns = described_by(mapping(row) if isinstance(row, str) else row, table, root)
            if name in seen:
                raise ValueError(f"{name} is already listed in an earlier line")
            if not only_listed and name not in listing.places:
                raise ValueError(f"there is no image {name}" + ("" if name not in quarantine.reasons else " to read"))
            listing.add(name, Place(root / name), listing.columns.get(name, {}) | columns)
        except ValueError as error:
            if only_listed:
                quarantine.found += quarantine.exclude(line, str(error))
            else:
                quarantine.bad_rows[line] = " ".join(str(error).split())
            continue
        seen.add(name)


def described_by(row: Mapping[str, Any], table: Path, root: Path) -> tuple[str, dict[str, Any]]:
    """Return name and columns of a row; raise ValueError if the row is invalid."""
    given = named_path(filled(row))
    check_cells(given, table)
    if not isinstance(given.get("path"), str):
        raise ValueError("it names no file (file_name)")
    path = Path(os.path.normpath(table.parent / given["path"]))
    try:
        name = path.relative_to(root).as_posix()
    except ValueError:
        raise ValueError(f"{given['path']} lies outside of {root}") from None
    columns = {key: value for key, value in given.items() if key != "path"}
    return name, {key: stored(value, table.parent) for key, value in columns.items()}


def read_beside(listing: Listing, name: str, quarantine: Quarantine) -> list[Path]:
    """Add columns from the files beside an image, and return the files that were read.

    An image whose text or JSON cannot be read is excluded.
    """
    path = listing.places[name].path
    read: list[Path] = []
    own: dict[str, Any] = {}
    for one in (path.with_suffix(suffix) for suffix in (".txt", ".json", ".npy")):
        try:
            if one.is_file() and (columns := columns_of(one)):
                split, columns = stated_split(columns)
                own |= columns
                read.append(one)
                if split:
                    listing.stated.setdefault(name, split)  # a table precedes it, as with other columns
        except (OSError, ValueError) as error:
            quarantine.exclude(name, f"its {one.name} cannot be read: {error}")
    listing.columns[name] = filled(own) | listing.columns[name]
    return read


def columns_of(path: Path) -> dict[str, Any]:
    """Return the columns from a file beside an image.

    They are {} for a text without letters, such as the boxes of a detector, and for JSON that is no object. Raise
    ValueError for text that is not UTF-8 or has more than `LARGEST` bytes.
    """
    if path.suffix == ".npy":
        return {EMBEDDING: Place(path)}
    if path.stat().st_size > LARGEST:
        raise ValueError(f"it has more than {LARGEST} bytes")
    text = path.read_text(encoding="utf-8-sig").strip()
    if path.suffix == ".txt":
        return {TEXT: text} if any(map(str.isalpha, text)) else {}
    return mapping(text) if text.startswith("{") else {}


def archives(shards: list[Path], root: Path, quarantine: Quarantine, suffixes: Collection[str], path: Path) -> Listing:
    """Return the images of tar archives.

    Arguments:
        shards: The archives.
        root: Folder to which their names are relative.
        quarantine: As of `list_images`.
        suffixes: Suffixes of images.
        path: The data set: one archive, or a folder, in which other files are counted as ignored.
    """
    listing = Listing()
    ignored: Counter[str] = Counter()
    for shard in shards:
        found, torn = examples_of(shard, shard.relative_to(root).as_posix(), suffixes, ignored)
        quarantine.found += len(found) + len(torn)
        for name, reason in torn.items():
            quarantine.exclude(name, reason)
        for name, place, columns in found:
            try:
                listing.add(name, place, columns)
            except ValueError as error:
                quarantine.exclude(name, str(error))
    if path.is_dir():
        files_under(root, {".tar"}, ignored=ignored)
    quarantine.ignored = dict((+ignored).most_common())
    return at_least_two(path, listing, quarantine, suffixes)


def at_least_two(path: Path, listing: Listing, quarantine: Quarantine, suffixes: Collection[str]) -> Listing:
    """Return the listing; raise UserError if it has fewer than two images."""
    if len(listing.places) < 2:
        quarantine.check()  # if it excludes images or lines, it says why
        listed = ", ".join(sorted(suffixes))
        others = f" Ignored: {quarantine.ignored_text()}." if quarantine.ignored else ""
        raise UserError(
            f"{path} holds {amount(len(listing.places), 'image')} ({listed}); it needs at least two, one to train on "
            f"and one to test.{others}"
        )
    return listing
