"""Files: writing that leaves either the old or the new behind, never half of it; and reading what people may edit."""

from __future__ import annotations

import json
import math
import os
import shutil
import uuid
import warnings
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from polydiff.support.errors import UserError


def write_atomic(path: Path, data: bytes | str) -> None:
    """Write a whole file beside its place, flush it, then rename it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{uuid.uuid4().hex[:12]}.tmp")
    with draft.open("wb") as file:
        file.write(data.encode() if isinstance(data, str) else data)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
    sync_folder(path.parent)


def remember(path: Path, data: bytes | str) -> None:
    """Write what only saves time, in the cache; where none can be written, that is said and all goes on without."""
    try:
        write_atomic(path, data)
    except OSError as error:
        warnings.warn(
            f"{path} cannot be written ({error.strerror}), so it is computed again each time. POLYDIFF_CACHE names "
            "another folder.",
            stacklevel=2,
        )


@contextmanager
def folder_atomic(path: Path) -> Iterator[Path]:
    """Give a draft folder beside `path`; at the end flush all in it and rename it to `path`, replacing an older one.

    If the body raises, `path` is left as it was and the draft is removed.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{uuid.uuid4().hex[:12]}.tmp")
    draft.mkdir()
    try:
        yield draft
        for file in draft.rglob("*"):
            sync_file(file) if file.is_file() else sync_folder(file)
        sync_folder(draft)
        if path.exists():
            aside = draft.with_suffix(".old")
            path.rename(aside)
            draft.rename(path)
            shutil.rmtree(aside)
        else:
            draft.rename(path)
        sync_folder(path.parent)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


@contextmanager
def made(folder: Path | None) -> Iterator[None]:
    """Make a folder and those above it; at the end remove those that were made here and hold nothing still."""
    new = [path for path in (folder, *folder.parents) if not path.exists()] if folder else []
    if folder:
        folder.mkdir(parents=True, exist_ok=True)
    try:
        yield
    finally:
        for path in new:
            with suppress(OSError):  # only an empty folder can be removed
                path.rmdir()


@contextmanager
def claimed(folder: Path, name: str) -> Iterator[Path]:
    """Make the first of folder/NAME-001, -002, ... that does not exist, for nobody else; empty at the end, it goes."""
    number = 1
    with made(folder):
        while True:
            path = folder / f"{name}-{number:03d}"
            try:
                path.mkdir()
                break
            except FileExistsError:
                number += 1
        try:
            yield path
        finally:
            with suppress(OSError):  # only an empty folder can be removed
                path.rmdir()


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


def files_under(
    root: Path, suffixes: Collection[str], hidden: tuple[str, ...] = (".",), odd: dict[str, str] | None = None
) -> list[Path]:
    """Return the files under a folder with one of these suffixes, sorted by name, each file once.

    Links are followed, but a file or folder that several paths lead to counts at the first of them, so that a link to
    a folder above neither loops nor puts copies of a file on both sides of a split.

    Arguments:
        root: The folder.
        suffixes: In lower case, such as ".png".
        hidden: Beginnings of the names of folders that are left out; files that begin with a dot are, too.
        odd: Is given what looks like one of them and is none (a broken link, a folder), or cannot be opened: name ->
            reason.
    """
    seen: set[str] = set()
    found: list[Path] = []
    odd = {} if odd is None else odd

    def name_of(path: Path | str) -> str:
        return Path(path).relative_to(root).as_posix()

    def unreadable(error: OSError) -> None:
        odd[name_of(error.filename)] = error.strerror or str(error)

    for place, folders, names in os.walk(root, followlinks=True, onerror=unreadable):
        real = os.path.realpath(place)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(name for name in folders if not name.startswith(hidden))
        odd |= {name_of(Path(place, n)): "it is a folder" for n in folders if Path(n).suffix.lower() in suffixes}
        for name in sorted(names):
            path = Path(place, name)
            if name.startswith(".") or path.suffix.lower() not in suffixes:
                continue
            if not path.is_file():
                odd[name_of(path)] = "it is a broken link" if path.is_symlink() else "it is no file"
            elif (own := os.path.realpath(path) if path.is_symlink() else f"{real}{os.sep}{name}") not in seen:
                seen.add(own)
                found.append(path)
    return sorted(found)


def read_json(path: Path | None) -> dict[str, Any]:
    """Return the object of a JSON file, {} where there is no such file.

    Raises:
        UserError: The file holds something else.
    """
    if path is None or not path.is_file():
        return {}
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UserError(f"{path} is not JSON ({error}). Write it again, or delete it.") from error
    if not isinstance(value, dict):
        raise UserError(f"{path} holds no JSON object. Write it again, or delete it.")
    return value


def json_number(value: float) -> float | None:
    """Return a number that JSON can hold: None for one that is not finite."""
    return float(value) if math.isfinite(value) else None


def cache_dir() -> Path:
    """Return the folder of data that can be computed again: $POLYDIFF_CACHE, or ~/.cache/polydiff."""
    root = (
        os.environ.get("POLYDIFF_CACHE")
        or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "polydiff"
    )
    return Path(root)
