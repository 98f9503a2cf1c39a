"""Decoded images in a folder of the cache: one byte a number, one image after the other, and an index of them.

The folder's name is a digest of the names, sizes and times of the files and of the settings, so the next start with the
same files decodes nothing.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import IO, Any

import numpy as np
import PIL
from torch import Tensor

from polydiff.contract.data.places import Place
from polydiff.domains.image.data.files import Facts
from polydiff.domains.image.data.store.images import Decoded, Entry, OnDisk, Store
from polydiff.support.disk import cache_dir
from polydiff.support.errors import UserError
from polydiff.support.files import folder_atomic
from polydiff.support.progress import announce
from polydiff.support.replace import remove_drafts

VERSION = 1
"""Number of the rules by which images are decoded and stored; another one makes all stored images invalid."""
PREFIX, PIXELS, INDEX = "decoded-", "pixels", "index.json"
SAFETY = 1.1
"""Factor by which the free disk space must exceed the estimated need."""


def folder_of(places: Mapping[str, Place], settings: Mapping[str, Any]) -> Path:
    """Return the folder of the cache that these images have, or will have; arguments as of `key_of`."""
    return cache_dir() / "image" / f"{PREFIX}{key_of(places, settings)}"


def key_of(places: Mapping[str, Place], settings: Mapping[str, Any]) -> str:
    """Return a digest of the names, sizes and times of files, and of the settings with which they are decoded."""
    total = hashlib.blake2b(digest_size=16)
    total.update(json.dumps([VERSION, PIL.__version__, settings], sort_keys=True).encode())
    times: dict[Path, tuple[int, int]] = {}
    for name, place in places.items():
        if place.path not in times:
            state: os.stat_result | None = None
            with suppress(OSError):  # a file that is gone gets its reason when it is decoded
                state = place.path.stat()
            times[place.path] = (state.st_size, state.st_mtime_ns) if state else (-1, -1)
        about = [name, str(place.path.absolute()), place.offset, place.size, *times[place.path]]
        total.update(json.dumps(about).encode())
    return total.hexdigest()


def stored(folder: Path, places: Mapping[str, Place]) -> Store | None:
    """Return the images in a folder of the cache; None if there is no such folder, or if it is damaged."""
    try:
        index = json.loads((folder / INDEX).read_bytes())
        pixels = np.memmap(folder / PIXELS, np.uint8, mode="r")
        entries = {
            name: Entry(i, (shape[0], shape[1], shape[2]), Facts(*facts), bytes.fromhex(digest))
            for i, (name, (shape, facts, digest)) in enumerate(index["images"].items())
        }
        shapes = np.array([entry.shape for entry in entries.values()], np.int64)
        ends = shapes.prod(1).cumsum()
        store = Store(OnDisk(pixels, ends - shapes.prod(1), shapes), entries, index["reasons"], index["unopened"])
        complete = entries.keys() | store.reasons.keys() == places.keys() and ends[-1] == len(pixels)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, IndexError):
        return None
    return store if complete else None


def write(
    folder: Path,
    store: Store,
    first: list[Tensor],
    results: Iterator[tuple[str, Decoded | Exception]],
    total: int,
) -> None:
    """Write the images that were decoded so far, and all further ones, to a folder of the cache.

    Arguments:
        folder: The folder; it appears when it is complete.
        store: Receives the further images.
        first: Images that are in memory; the list is emptied.
        results: Name and result of the further images.
        total: Number of all images, for the estimate of the space that they need.

    Raises:
        UserError: The folder cannot be written, or the disk has not enough space.
    """
    done = len(first)
    need = sum(image.numel() for image in first) * total // max(len(store.entries) + len(store.reasons), 1)
    announce(f"The decoded images need about {need / 2**30:.3g} GiB and are stored in {folder}.")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        remove_drafts(folder.parent, lambda name: name.startswith(PREFIX))
        check_space(folder.parent, need)
        with ExitStack() as stack:
            draft = stack.enter_context(folder_atomic(folder))
            with (draft / PIXELS).open("wb") as file:
                for image in first:
                    put(image, file)
                first.clear()
                for name, result in results:
                    store.add(name, result)
                    if isinstance(result, Decoded):
                        put(result.image, file)
            (draft / INDEX).write_text(json.dumps(index_of(store)))
    except OSError as error:
        raise UserError(
            f"{folder} cannot hold the decoded images ({error.strerror or error}; {done} of {total} were decoded). "
            "Free space there, or set POLYDIFF_CACHE to a folder on a larger disk."
        ) from error


def check_space(folder: Path, need: int) -> None:
    """Raise OSError if a disk has less free space than `need` bytes, with some reserve."""
    free = shutil.disk_usage(folder).free
    if free < SAFETY * need:
        raise OSError(f"about {need / 2**30:.3g} GiB are needed, {free / 2**30:.3g} GiB are free")


def put(image: Tensor, file: IO[bytes]) -> None:
    """Append the bytes of an image to a file."""
    file.write(image.contiguous().numpy().data)


def index_of(store: Store) -> dict[str, Any]:
    """Return what a folder of the cache says of its images, as JSON."""
    images = {name: [one.shape, one.facts, one.digest.hex()] for name, one in store.entries.items()}
    return {"images": images, "reasons": store.reasons, "unopened": store.unopened}
