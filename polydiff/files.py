"""Writing that leaves either the old or the new behind, never half of it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def write_atomic(path: Path, data: bytes | str) -> None:
    """Write a whole file beside its place, flush it, then rename it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with draft.open("wb") as file:
        file.write(data.encode() if isinstance(data, str) else data)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
    sync_folder(path.parent)


@contextmanager
def folder_atomic(path: Path) -> Iterator[Path]:
    """Give a draft folder beside `path`; at the end flush all in it and rename it to `path`, replacing an older one.

    If the body raises, `path` is left as it was and the draft is removed.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir()
    try:
        yield draft
        for file in draft.rglob("*"):
            sync_file(file) if file.is_file() else sync_folder(file)
        sync_folder(draft)
        if path.exists():
            aside = path.with_name(f".{path.name}.{os.getpid()}.old")
            path.rename(aside)
            draft.rename(path)
            shutil.rmtree(aside)
        else:
            draft.rename(path)
        sync_folder(path.parent)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def sync_file(path: Path) -> None:
    """Flush a file to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_folder(path: Path) -> None:
    """Flush a folder's list of names to the disk, where the system can."""
    if os.name == "posix":
        sync_file(path)
