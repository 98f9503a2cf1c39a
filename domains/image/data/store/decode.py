"""Decode images, each once, on several threads.

As long as the pixels take no more than `MEMORY` bytes, they stay in memory. Beyond, they go to a folder of the cache
(`cached` beside this), and so they do not limit the size of a data set.
"""

from __future__ import annotations

import hashlib
import os
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import Any

from torch import Tensor

from polydiff.contract.data.places import Place
from polydiff.domains.image.data.store.cached import folder_of, stored, write
from polydiff.domains.image.data.store.images import Decoded, Store
from polydiff.support.errors import UserError
from polydiff.support.progress import announce, counted

MEMORY = 2 * 2**30
"""Bytes of decoded images that are kept in memory; more are kept on disk."""

AHEAD = 4
"""Images for each thread that may be decoded and not yet stored."""


def decode(places: Mapping[str, Place], read: Callable[[Place], Decoded], settings: Mapping[str, Any]) -> Store:
    """Return the images at these places: from the cache, or decoded now.

    Arguments:
        places: Name -> place of a file's bytes.
        read: Decodes one image; an exception is the reason why it cannot be used.
        settings: What else decides the pixels, as JSON.

    Raises:
        UserError: The images exceed `MEMORY` and the cache cannot hold them.
    """
    folder = folder_of(places, settings)
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


def digest(image: Tensor) -> bytes:
    """Return a digest of the shape and the pixels of an image (C, H, W)."""
    return hashlib.blake2b(f"{tuple(image.shape)}".encode() + image.numpy().tobytes()).digest()


def can_open(place: Place) -> bool:
    """Return whether a file can be opened and read now."""
    try:
        with place.path.open("rb") as file:
            file.read(1)
    except OSError:
        return False
    return True


def vanished(folder: Path) -> Store:
    """Raise UserError: a folder that was written cannot be read."""
    raise UserError(f"{folder} was written and cannot be read, or its files changed meanwhile. Start again.")
