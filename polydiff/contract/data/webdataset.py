"""WebDataset archives: key.flac or key.png with key.json, key.npy, key.cls and key.txt, read without unpacking."""

from __future__ import annotations

import tarfile
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from polydiff.contract.data.columns import EMBEDDING
from polydiff.contract.data.places import Place
from polydiff.contract.data.tables import mapping
from polydiff.support.errors import UserError

COLUMNS = ("npy", "json", "cls", "txt")
"""Kinds of members with columns of the example of their key."""


class Member(NamedTuple):
    """An example of an archive: its name, the place of its bytes, and its columns."""

    name: str
    place: Place
    columns: Mapping[str, Any]


def examples_of(
    path: Path, shard: str, suffixes: Collection[str], ignored: Counter[str] | None = None
) -> tuple[list[Member], dict[str, str]]:
    """Return the examples of an archive, and its damaged members with reasons.

    Members of one key belong together, at any place in the archive. The key is the name up to the first dot after the
    last slash.

    Arguments:
        path: The archive.
        shard: Its name in messages.
        suffixes: Suffixes of examples, in small letters, with the dot.
        ignored: Receives the number of members that are not used, by suffix; None: they are not counted.
    """
    torn: dict[str, str] = {}
    members = dict(members_of(path, shard, torn))  # the last of several members of one name, as in unpacking
    columns: dict[str, dict[str, Any]] = {}
    for name, place in members.items():
        key, kind = split_key(name)
        try:
            columns.setdefault(key, {}).update(columns_of(kind, place))
        except ValueError as error:
            torn[f"{shard}/{name}"] = f"it cannot be read: {error}"
    examples = [(name, place) for name, place in members.items() if PurePosixPath(name).suffix.lower() in suffixes]
    if ignored is not None:
        keys = {split_key(name)[0] for name, _ in examples}
        others = (name for name in members if PurePosixPath(name).suffix.lower() not in suffixes)
        unused = (name for name in others if split_key(name)[0] not in keys or split_key(name)[1] not in COLUMNS)
        ignored.update(PurePosixPath(name).suffix.lower() or "without a suffix" for name in unused)
    return [Member(f"{shard}/{name}", place, columns[split_key(name)[0]]) for name, place in examples], torn


def members_of(path: Path, shard: str, torn: dict[str, str]) -> Iterator[tuple[str, Place]]:
    """Yield name and place of each complete file, and add incomplete ones and damage to `torn`, with reasons."""
    size = path.stat().st_size
    try:
        archive = tarfile.open(path, "r:")  # noqa: SIM115 - entered below
    except (tarfile.TarError, OSError) as error:
        torn[shard] = f"it is not a tar archive: {error}"
        return
    with archive:
        while (member := next_member(archive, torn, shard)) is not None:
            if member.isreg() and member.offset_data + member.size > size:
                torn[f"{shard}/{member.name}"] = "the archive ends in the middle of it"
            elif member.isreg():
                yield member.name, Place(path, member.offset_data, member.size)
        if (at := archive.offset) < size and shard not in torn and bytes_at(path, at).strip(b"\0"):
            torn[shard] = f"it is damaged at byte {at}; what follows is not read"


def next_member(archive: tarfile.TarFile, torn: dict[str, str], shard: str) -> tarfile.TarInfo | None:
    """Return the next member; None at the end of the archive, or if the archive is truncated."""
    try:
        return archive.next()
    except (tarfile.TarError, OSError) as error:
        if not any(name.startswith(f"{shard}/") for name in torn):
            torn[shard] = f"it ends too early: {error}"
        return None


def bytes_at(path: Path, offset: int) -> bytes:
    """Return the tar block of a file at an offset."""
    with path.open("rb") as file:
        file.seek(offset)
        return file.read(tarfile.BLOCKSIZE)


def split_key(name: str) -> tuple[str, str]:
    """Return (key, kind) of a member: ("a/0001", "flac") of a/0001.flac."""
    folder, slash, last = name.rpartition("/")
    key, _, kind = last.partition(".")
    return f"{folder}{slash}{key}", kind.lower()


def columns_of(kind: str, place: Place) -> dict[str, Any]:
    """Return the columns that a member adds to the example of its key; raise ValueError for invalid JSON or UTF-8."""
    match kind:
        case "npy":
            return {EMBEDDING: place}
        case "json":
            return mapping(content(place))
        case "cls":
            return {"label": content(place).decode().strip()}
        case "txt":
            return {"text": content(place).decode().strip()}
    return {}


def content(place: Place) -> bytes:
    """Return the bytes of a member; raise UserError if it is larger than 16 MiB."""
    if place.size > 2**24:
        raise UserError(
            f"{place.path} contains a text file of {place.size} bytes at byte {place.offset}; at most 16 MiB are read."
        )
    with place.path.open("rb") as file:
        file.seek(place.offset)
        return file.read(place.size)
