"""WebDataset archives: key.flac with key.json, key.npy, key.cls, key.txt, read by seeking and never unpacked."""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from polydiff.domains.audio.data.catalogue import EMBEDDING, SUFFIXES, Entry, mapping
from polydiff.domains.audio.data.crops import Place
from polydiff.support.errors import UserError


def entries_of(path: Path, shard: str) -> tuple[list[Entry], dict[str, str]]:
    """Return the sounds of an archive and what is torn in it, with reasons.

    Members of one key (the name up to the first dot of its last part) belong together, wherever they are.
    """
    torn: dict[str, str] = {}
    members = dict(members_of(path, shard, torn))  # of several of one name the last, as where it is unpacked
    columns: dict[str, dict[str, Any]] = {}
    for name, place in members.items():
        key, kind = split_key(name)
        try:
            columns.setdefault(key, {}).update(columns_of(kind, place))
        except ValueError as error:
            torn[f"{shard}/{name}"] = f"it cannot be read: {error}"
    sounds = [(name, place) for name, place in members.items() if PurePosixPath(name).suffix.lower() in SUFFIXES]
    return [Entry(f"{shard}/{name}", place, columns[split_key(name)[0]]) for name, place in sounds], torn


def members_of(path: Path, shard: str, torn: dict[str, str]) -> Iterator[tuple[str, Place]]:
    """Yield name and place of each file that is whole; one that is not, and where reading ended, are told in `torn`."""
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
    """Return the next member; None at the end, also where that comes too early."""
    try:
        return archive.next()
    except (tarfile.TarError, OSError) as error:
        if not any(name.startswith(f"{shard}/") for name in torn):
            torn[shard] = f"it ends too early: {error}"
        return None


def bytes_at(path: Path, offset: int) -> bytes:
    """Return a block of a file."""
    with path.open("rb") as file:
        file.seek(offset)
        return file.read(tarfile.BLOCKSIZE)


def split_key(name: str) -> tuple[str, str]:
    """Return (key, kind) of a member: ("a/0001", "flac") of a/0001.flac."""
    folder, slash, last = name.rpartition("/")
    key, _, kind = last.partition(".")
    return f"{folder}{slash}{key}", kind.lower()


def columns_of(kind: str, place: Place) -> dict[str, Any]:
    """Return what a member says of the sound of its key; text that is no JSON or no UTF-8 is a `ValueError`."""
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
    """Return the bytes of a small member."""
    if place.size > 2**24:
        raise UserError(
            f"{place.path} contains a text file of {place.size} bytes at byte {place.offset}; at most 16 MiB are read."
        )
    with place.path.open("rb") as file:
        file.seek(place.offset)
        return file.read(place.size)
