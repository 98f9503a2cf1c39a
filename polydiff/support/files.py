"""Files: atomic writing, new folders, listing, and reading JSON that people may edit."""

from __future__ import annotations

import filecmp
import math
import os
import shlex
import warnings
from collections import Counter
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from polydiff.support.disk import writing
from polydiff.support.errors import UserError
from polydiff.support.reading import parse_json, read_regular, reason
from polydiff.support.replace import (
    draft_folder,
    draft_of,
    hold,
    make_folders,
    remove,
    remove_drafts,
    replace_folder,
    sync_file,
    sync_folder,
)

HIDDEN, REPEATED = "hidden", "linked twice"
"""Kinds of ignored names: those that begin with a dot, and further links to a file or folder."""


def write_atomic(path: Path, data: bytes | str) -> None:
    """Write a file so that the path holds either the old content or all of the new.

    The content goes to a temporary file in the same folder, is flushed to disk, and is then renamed. If that fails,
    the temporary file is removed.

    Raises:
        WriteError: The disk is full, or the file cannot be written for another reason (`polydiff.support.disk`).
    """
    content, draft = data.encode() if isinstance(data, str) else data, draft_of(path)
    with writing(path, len(content)):
        make_folders(path.parent)
        try:
            with draft.open("wb") as file:
                hold(file.fileno())
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
                draft.replace(path)
        except BaseException:
            remove(draft)
            raise
        sync_folder(path.parent)


def append(path: Path, text: str) -> None:
    """Append text to a file, all of it or nothing.

    Raises:
        WriteError: The disk is full, or the file cannot be written for another reason (`polydiff.support.disk`).
    """
    left = memoryview(text.encode())
    with writing(path, len(left)), path.open("ab", buffering=0) as file:
        size = file.tell()
        try:
            while left:
                left = left[file.write(left) :]
        except BaseException:
            file.truncate(size)
            raise


def delete(path: Path) -> None:
    """Delete a file if it exists.

    Raises:
        WriteError: It cannot be deleted (`polydiff.support.disk`).
    """
    with writing(path):
        path.unlink(missing_ok=True)


def write_cache(path: Path, data: bytes | str) -> None:
    """Write a file of the cache; warn if that is impossible, since the content can be computed again."""
    try:
        write_atomic(path, data)
    except OSError as error:
        warnings.warn(
            f"{path} cannot be written ({error.strerror}), so it is computed again each time. Set POLYDIFF_CACHE to a "
            "folder that can be written.",
            stacklevel=2,
        )


def check_free(path: Path, advice: str) -> None:
    """Raise UserError with this advice if a path exists, unless it is an empty folder."""
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise UserError(f"{path} exists and is not an empty folder. {advice}")


def same_files(a: Path, b: Path) -> bool:
    """Return whether two folders hold the same files, by relative path and content."""
    if not b.is_dir():
        return False
    names = {path.relative_to(a) for path in a.rglob("*")}
    found = 0
    for path in b.rglob("*"):
        found += 1
        if path.relative_to(b) not in names:
            return False
    pairs = ((a / name, b / name) for name in sorted(names))
    return found == len(names) and all(
        one.is_file() == other.is_file() and (one.is_dir() or filecmp.cmp(one, other, shallow=False))
        for one, other in pairs
    )


def quoted(path: Path | str) -> str:
    """Return a path for a command that works from the current folder: relative if it lies there, else absolute; quoted.

    A path that would look like an option begins with "./".
    """
    full, here = Path(path).expanduser().absolute(), Path.cwd()
    if full != here and full.is_relative_to(here):
        inner = str(full.relative_to(here))
        return shlex.quote(f"./{inner}" if inner.startswith("-") else inner)
    return shlex.quote(str(full))


@contextmanager
def folder_atomic(path: Path, need: int = 0, *, new: str = "") -> Iterator[Path]:
    """Yield a temporary folder beside `path`; at the end, flush its files and rename it to `path`.

    A folder that is at `path` already is replaced (`polydiff.support.replace.replace_folder`). If the body raises,
    `path` stays as it was and the temporary folder is removed. Folders that dead processes left of the same path are
    removed first.

    Arguments:
        path: The folder.
        need: Its size in bytes, for messages; 0: not known.
        new: Advice if the path is in use by now (`check_free`), which is then not replaced; "": it is replaced.

    Raises:
        WriteError: The disk is full, or the folder cannot be written for another reason (`polydiff.support.disk`).
    """
    draft = draft_of(path)
    with writing(path, need, draft):
        make_folders(path.parent)
        remove_drafts(path.parent, lambda name: name == path.name)
        with draft_folder(draft):
            yield draft
            if new:
                check_free(path, new)
            complete(draft, path)


def complete(draft: Path, path: Path) -> None:
    """Flush a temporary folder and rename it to its path."""
    for file in draft.rglob("*"):
        sync_file(file) if file.is_file() else sync_folder(file)
    sync_folder(draft)
    replace_folder(draft, path)
    sync_folder(path.parent)


@contextmanager
def new_folder(folder: Path | None) -> Iterator[None]:
    """Create a folder and its missing parents; at the end, remove those created here that are still empty.

    Arguments:
        folder: The folder, which may exist already; None: nothing is created.
    """
    new = [path for path in (folder, *folder.parents) if not path.exists()] if folder else []
    if folder:
        with writing(folder):
            make_folders(folder)
    try:
        yield
    finally:
        for path in new:
            with suppress(OSError):  # only an empty folder can be removed
                path.rmdir()


@contextmanager
def new_numbered_folder(folder: Path, name: str) -> Iterator[Path]:
    """Create and yield the first of folder/NAME-001, -002, ... that does not exist; at the end, remove it if empty.

    Processes that run at the same time get different folders.
    """
    number = 1
    with new_folder(folder):
        while True:
            path = folder / f"{name}-{number:03d}"
            try:
                with writing(path):
                    path.mkdir()
                break
            except FileExistsError:
                number += 1
        try:
            yield path
        finally:
            with suppress(OSError):  # only an empty folder can be removed
                path.rmdir()


WRITTEN = frozenset({"manifest.json", "judge.json"})
"""Files that polydiff writes beside samples; they are not data."""


def files_under(
    root: Path,
    suffixes: Collection[str],
    hidden: tuple[str, ...] = (".",),
    odd: dict[str, str] | None = None,
    ignored: Counter[str] | None = None,
) -> list[Path]:
    """Return the files under a folder that have one of these suffixes, sorted by path, each file once.

    Links are followed. If several paths lead to the same file or folder, only the first path counts. So a link to a
    parent folder does not loop, and one file cannot be in two splits.

    Arguments:
        root: The folder.
        suffixes: Suffixes in lower case, such as ".png".
        hidden: Folders whose names start with one of these are left out. Files whose names start with a dot always are.
        odd: Receives relative path -> reason for each path that has a suffix but is no file (a broken link, a folder),
            and for each folder that cannot be read; None: these are ignored.
        ignored: Receives the numbers of all other files but `WRITTEN` by suffix, of hidden names, and of links to what
            is found already; None: they are not counted.
    """
    seen: set[str] = set()
    found: list[Path] = []
    odd = {} if odd is None else odd
    ignored = Counter() if ignored is None else ignored

    def name_of(path: Path | str) -> str:
        return Path(path).relative_to(root).as_posix()

    def unreadable(error: OSError) -> None:
        odd[name_of(error.filename)] = error.strerror or str(error)

    for place, folders, names in os.walk(root, followlinks=True, onerror=unreadable):
        real = os.path.realpath(place)
        if real in seen:
            folders.clear()
            ignored[REPEATED] += 1
            continue
        seen.add(real)
        ignored[HIDDEN] += sum(name.startswith(hidden) for name in folders)
        folders[:] = sorted(name for name in folders if not name.startswith(hidden))
        odd |= {name_of(Path(place, n)): "it is a folder" for n in folders if Path(n).suffix.lower() in suffixes}
        for name in sorted(names):
            path = Path(place, name)
            if name in WRITTEN:
                continue
            if name.startswith(".") or path.suffix.lower() not in suffixes:
                ignored[HIDDEN if name.startswith(".") else path.suffix.lower() or "without a suffix"] += 1
                continue
            if not path.is_file():
                odd[name_of(path)] = "it is a broken link" if path.is_symlink() else "it is not a file"
            elif (own := os.path.realpath(path) if path.is_symlink() else f"{real}{os.sep}{name}") not in seen:
                seen.add(own)
                found.append(path)
            else:
                ignored[REPEATED] += 1
    ignored += Counter()  # drops counts of 0
    return sorted(found)


def read_json(path: Path | None) -> dict[str, Any]:
    """Return the object that a JSON file holds; {} if `path` is None or no such file exists.

    Raises:
        UserError: It is no regular file, or holds no JSON object.
    """
    if path is None or not os.path.lexists(path):
        return {}
    try:
        value = parse_json(read_regular(path))
    except (OSError, ValueError) as error:
        raise UserError(f"{path} is not valid JSON ({reason(error)}). Correct it, or delete it.") from error
    if not isinstance(value, dict):
        raise UserError(f"{path} holds no JSON object. Correct it, or delete it.")
    return value


def json_number(value: float) -> float | None:
    """Return a number as JSON can hold it: None if it is not finite."""
    return float(value) if math.isfinite(value) else None
