"""Fingerprints of files: digests of small ones, and of places spread over large ones, cached.

A file of up to 4 MiB is read whole. Of a larger one, its size and 64 blocks of 64 KiB are read, so that a data set of
hundreds of gigabytes is distinguished from another in minutes. A file whose size and time of change are those of the
cache is not read again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from polydiff.support.disk import cache_dir
from polydiff.support.files import write_cache
from polydiff.support.reading import parse_json, read_regular

WHOLE, BLOCK, BLOCKS = 4 * 2**20, 2**16, 64
THREADS = 8


def fingerprints(paths: Iterable[Path], root: Path) -> dict[Path, str]:
    """Return the fingerprint of each file; "" for one that cannot be read.

    Arguments:
        paths: The files.
        root: Path of the data set, which identifies its cache.
    """
    key = hashlib.blake2b(str(root.resolve()).encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()
    memory = cache_dir() / "fingerprints" / f"{key}.json"
    known, wanted = recall(memory), sorted(set(paths))
    with ThreadPoolExecutor(THREADS, thread_name_prefix="polydiff-fingerprint") as pool:
        found = dict(zip(wanted, pool.map(lambda path: stamped(path, known.get(str(path))), wanted), strict=True))
    now = {str(path): entry for path, entry in found.items() if entry[-1]}
    if now != known:
        write_cache(memory, json.dumps(now))
    return {path: str(entry[-1]) for path, entry in found.items()}


def recall(memory: Path) -> dict[str, list[int | str]]:
    """Return the cached entries, {} if there are none or they are damaged."""
    try:
        entries = parse_json(read_regular(memory, 2**30))
    except (OSError, ValueError):
        return {}
    whole = isinstance(entries, dict) and all(isinstance(e, list) and len(e) == 3 for e in entries.values())
    return entries if whole else {}


def stamped(path: Path, known: list[int | str] | None) -> list[int | str]:
    """Return size, time of change and fingerprint of a file, the last from a cached entry that has the same stamp."""
    try:
        facts = path.stat()
        stamp: list[int | str] = [facts.st_size, facts.st_ctime_ns]
        return known if known and known[:2] == stamp else [*stamp, fingerprint(path, facts.st_size)]
    except OSError:
        return [0, 0, ""]


def fingerprint(path: Path, size: int) -> str:
    """Return the digest of a file of this size in bytes, or of blocks of it."""
    total = hashlib.blake2b(str(size).encode(), digest_size=16)
    with path.open("rb") as file:
        if size <= WHOLE:
            total.update(file.read(WHOLE))
        else:
            for i in range(BLOCKS):
                file.seek((size - BLOCK) * i // (BLOCKS - 1))
                total.update(file.read(BLOCK))
    return total.hexdigest()
