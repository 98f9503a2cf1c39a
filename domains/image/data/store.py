"""Decoded images: in memory, or, if they are many, in one file of the cache that is read as it is needed.

`decode` decodes each image once, on several threads. As long as the pixels take no more than `MEMORY` bytes, they stay
in memory. Beyond, they go to a folder of the cache, one byte a number, one image after the other, and so they do not
limit the size of a data set. The folder's name is a digest of the names, sizes and times of the files and of the
settings, so the next start with the same files decodes nothing.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from itertools import islice
from math import prod
from pathlib import Path
from typing import IO, Any, NamedTuple, overload

import numpy as np
import PIL
import torch
from numpy.typing import NDArray
from torch import Tensor

from polydiff.contract.data.places import Place
from polydiff.domains.image.data.files import Facts
from polydiff.support.errors import UserError
from polydiff.support.files import cache_dir, folder_atomic
from polydiff.support.progress import announce, counted
from polydiff.support.replace import remove_drafts

MEMORY = 2 * 2**30
"""Bytes of decoded images that are kept in memory; more are kept on disk."""
AHEAD = 4
"""Images for each thread that may be decoded and not yet stored."""
VERSION = 1
"""Number of the rules by which images are decoded and stored; another one makes all stored images invalid."""
PREFIX, PIXELS, INDEX = "decoded-", "pixels", "index.json"
ABANDONED = 7 * 86_400.0
"""Age in seconds of an unfinished folder from which on nobody is writing it."""
SAFETY = 1.1
"""Factor by which the free disk space must exceed the estimated need."""


class Decoded(NamedTuple):
    """An image as it was read: uint8 (C, H, W), what its file says, and a digest of its pixels."""

    image: Tensor
    facts: Facts
    digest: bytes


class Entry(NamedTuple):
    """A stored image.

    Attributes:
        row: Its place among the stored images.
        shape: (C, H, W).
        facts: What its file says of itself.
        digest: Digest of shape and pixels.
    """

    row: int
    shape: tuple[int, int, int]
    facts: Facts
    digest: bytes


@dataclass(frozen=True)
class OnDisk(Sequence[Tensor]):
    """Images in a file, uint8 (C, H, W) each, copied to memory on access.

    Arguments:
        pixels: All bytes of the file, mapped to memory.
        offsets: First byte of each image, (N,).
        shapes: Shape of each image, (N, 3).
    """

    pixels: NDArray[np.uint8]
    offsets: NDArray[np.int64]
    shapes: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.offsets)

    @overload
    def __getitem__(self, index: int) -> Tensor: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Tensor]: ...
    def __getitem__(self, index: int | slice) -> Tensor | Sequence[Tensor]:
        if isinstance(index, slice):
            return self.rows(range(*index.indices(len(self))))
        start, shape = int(self.offsets[index]), tuple(self.shapes[index].tolist())
        return torch.from_numpy(np.array(self.pixels[start : start + prod(shape)])).reshape(shape)

    def rows(self, rows: Sequence[int]) -> OnDisk:
        """Return some of the images, in this order."""
        return OnDisk(self.pixels, self.offsets[list(rows)], self.shapes[list(rows)])


@dataclass
class Store:
    """All images of a data set that could be decoded.

    Arguments:
        images: The images.
        entries: Name -> stored image.
        reasons: Name -> why an image could not be read.
        unopened: Names in `reasons` whose files could not be opened, which may succeed later.
    """

    images: Sequence[Tensor] = ()
    entries: dict[str, Entry] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)
    unopened: list[str] = field(default_factory=list)

    def add(self, name: str, result: Decoded | Exception) -> None:
        """Record the next image, or the error that it raised."""
        if isinstance(result, Decoded):
            channels, height, width = result.image.shape
            self.entries[name] = Entry(len(self.entries), (channels, height, width), result.facts, result.digest)
            return
        self.reasons[name] = f"{type(result).__name__}: {result}"
        if isinstance(result, OSError) and result.errno is not None:
            self.unopened.append(name)

    def select(self, names: Iterable[str]) -> Sequence[Tensor]:
        """Return the images of these names."""
        rows = [self.entries[name].row for name in names]
        return self.images.rows(rows) if isinstance(self.images, OnDisk) else [self.images[row] for row in rows]


def decode(places: Mapping[str, Place], read: Callable[[Place], Decoded], settings: Mapping[str, Any]) -> Store:
    """Return the images at these places: from the cache, or decoded now.

    Arguments:
        places: Name -> place of a file's bytes.
        read: Decodes one image; an exception is the reason why it cannot be used.
        settings: What else decides the pixels, as JSON.

    Raises:
        UserError: The images exceed `MEMORY` and the cache cannot hold them.
    """
    folder = cache_dir() / "image" / f"{PREFIX}{key_of(places, settings)}"
    store = stored(folder, places)
    if store and not any(can_open(places[name]) for name in store.unopened):
        announce(f"Decoded images are read from {folder}.")
        return store

    results = attempts(list(places), lambda name: read(places[name]))
    store, kept, size = Store(), list[Tensor](), 0
    for name, result in results:
        store.add(name, result)
        if isinstance(result, Decoded):
            kept.append(result.image)
            size += result.image.numel()
        if size > MEMORY:
            write(folder, store, kept, results, len(places))
            return stored(folder, places) or vanished(folder)
    store.images = kept
    return store


def decode_in_memory(names: Sequence[str], read: Callable[[str], Decoded]) -> Store:
    """Return the images of these names, in memory; an exception of `read` is the reason why one cannot be used."""
    store, kept = Store(), list[Tensor]()
    for name, result in attempts(names, read):
        store.add(name, result)
        if isinstance(result, Decoded):
            kept.append(result.image)
    store.images = kept
    return store


def attempts(names: Sequence[str], read: Callable[[str], Decoded]) -> Iterator[tuple[str, Decoded | Exception]]:
    """Yield each name with its image or the error of `read`, in order, and show progress."""

    def attempt(name: str) -> Decoded | Exception:
        try:
            return read(name)
        except Exception as error:  # noqa: BLE001 - a decoder may fail in any way; the file is listed with its reason
            return error

    return zip(names, counted("images read", len(names), in_order(attempt, names)), strict=True)


def digest(image: Tensor) -> bytes:
    """Return a digest of the shape and the pixels of an image (C, H, W)."""
    return hashlib.blake2b(f"{tuple(image.shape)}".encode() + image.numpy().tobytes()).digest()


def in_order(function: Callable[[str], Decoded | Exception], names: Sequence[str]) -> Iterator[Decoded | Exception]:
    """Yield the results of a function of names, in order, computed on threads that are only a little ahead."""
    pool = ThreadPoolExecutor(thread_name_prefix="polydiff-images")
    rest, ahead = iter(names), AHEAD * (os.cpu_count() or 1)
    try:
        coming: deque[Future[Decoded | Exception]] = deque(pool.submit(function, name) for name in islice(rest, ahead))
        while coming:
            yield coming.popleft().result()
            coming.extend(pool.submit(function, name) for name in islice(rest, 1))
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


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


def can_open(place: Place) -> bool:
    """Return whether a file can be opened and read now."""
    try:
        with place.path.open("rb") as file:
            file.read(1)
    except OSError:
        return False
    return True


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
        remove_drafts(folder.parent, lambda name: name.startswith(PREFIX), older=ABANDONED)
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


def vanished(folder: Path) -> Store:
    """Raise UserError: a folder that was written cannot be read."""
    raise UserError(f"{folder} was written and cannot be read, or its files changed meanwhile. Start again.")
