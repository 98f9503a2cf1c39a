"""A disk that forgets what was not flushed: the calls that change a folder are recorded, then played until a crash.

Two states are kept of each folder and file: the present one, which processes see, and the flushed one, which survives
a loss of power. What was changed since it was flushed may survive or not, each name and each file for itself; only the
two names of a rename are changed together, as file systems promise.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from crashes import CALLS, WRITES

from polydiff.support import replace

AUDITED = {"os.mkdir": "mkdir", "os.rename": "rename", "os.remove": "unlink", "os.rmdir": "rmdir"}
"""Events that Python reports of itself -> the call."""


@dataclass
class File:
    """Contents of a file; flushed is None if it was never flushed."""

    now: bytes
    flushed: bytes | None = None


@dataclass
class Folder:
    """Names in a folder; renamed: the names of each rename since the last flush."""

    now: dict[str, File | Folder] = field(default_factory=dict)
    flushed: dict[str, File | Folder] = field(default_factory=dict)
    renamed: list[set[str]] = field(default_factory=list)

    def together(self, name: str) -> str:
        """Return the first of the names that are changed together with this one."""
        group = {name}
        for _ in self.renamed:
            group = group.union(*(pair for pair in self.renamed if pair & group))
        return min(group)


@dataclass(frozen=True)
class Call:
    """A call that changes the file system: its name, the paths, and the data of a write."""

    name: str
    paths: tuple[Path, ...]
    data: bytes = b""


def read(path: Path) -> File | Folder:
    """Return what a path holds, all of it flushed."""
    if path.is_dir():
        found = {place.name: read(place) for place in path.iterdir()}
        return Folder(dict(found), dict(found))
    return File(path.read_bytes(), path.read_bytes())


class Disk:
    """The folder of a trial, before the calls.

    Arguments:
        root: The folder.
    """

    def __init__(self, root: Path) -> None:
        self.root, content = root, read(root)
        assert isinstance(content, Folder)
        self.content = content

    def find(self, path: Path) -> File | Folder:
        """Return what is at a path."""
        found: File | Folder = self.content
        for name in path.relative_to(self.root).parts:
            assert isinstance(found, Folder)
            found = found.now[name]
        return found

    def folder(self, path: Path) -> dict[str, File | Folder]:
        """Return the names of the folder in which a path is."""
        return self.parent(path).now

    def parent(self, path: Path) -> Folder:
        """Return the folder in which a path is."""
        found = self.find(path.parent)
        assert isinstance(found, Folder)
        return found

    def play(self, call: Call) -> None:
        """Do what a call did."""
        path = call.paths[0]
        match call.name:
            case "mkdir":
                self.folder(path)[path.name] = Folder()
            case "write":
                found = self.folder(path).get(path.name)
                assert not isinstance(found, Folder)
                self.folder(path)[path.name] = File(call.data, found.flushed if found else None)
            case "fsync":
                self.flush(self.find(path))
            case "unlink" | "rmdir":
                del self.folder(path)[path.name]
            case "rename" | "replace":
                self.folder(call.paths[1])[call.paths[1].name] = self.folder(path).pop(path.name)
                self.parent(path).renamed.append({path.name, call.paths[1].name})
            case "exchange":
                self.parent(path).renamed.append({path.name, call.paths[1].name})
                a, b = self.folder(path), self.folder(call.paths[1])
                a[path.name], b[call.paths[1].name] = b[call.paths[1].name], a[path.name]

    @staticmethod
    def flush(found: File | Folder) -> None:
        """Make the present state of a file, or the names in a folder, the flushed one."""
        if isinstance(found, File):
            found.flushed = found.now
        else:
            found.flushed = dict(found.now)
            found.renamed.clear()


def write(found: File | Folder, path: Path, choose: Callable[[], bool]) -> None:
    """Write what a loss of power leaves to a path that does not exist.

    Arguments:
        found: A file or folder of the disk.
        path: Where to write it.
        choose: Called for each change that was not flushed; returns whether it survives.
    """
    if isinstance(found, File):
        part = found.now[: len(found.now) // 2] if found.flushed is None else found.flushed
        path.write_bytes(found.now if found.now == found.flushed or choose() else part)
        return
    path.mkdir()
    survives: dict[str, bool] = {}
    for name in sorted(found.now.keys() | found.flushed.keys()):
        now, flushed, first = found.now.get(name), found.flushed.get(name), found.together(name)
        survives[first] = survives[first] if first in survives else choose()
        left = now if survives[first] else flushed
        if left is not None:
            write(left, path / name, choose)


_listening: list[list[str]] = []
"""Names of the calls that Python reports, while `recorded` runs."""


def listen(event: str, args: tuple[Any, ...]) -> None:
    """Note an event of Python (`sys.addaudithook`); a hook cannot be removed, so it does nothing at other times."""
    if _listening and event in AUDITED:
        _listening[-1].append(AUDITED[event])


_hooked: list[bool] = []


@contextmanager
def recorded() -> Iterator[list[Call]]:
    """Yield the calls of the `with` block that change the file system; fail if one of them was missed."""
    if not _hooked:
        sys.addaudithook(listen)
        _hooked.append(True)
    found, tried = list[Call](), list[str]()
    with pytest.MonkeyPatch.context() as patch:
        for owner, name in CALLS:
            patch.setattr(owner, name, noting(found, tried, getattr(owner, name), name))
        for owner, name in WRITES:
            patch.setattr(owner, name, noting_write(found, getattr(owner, name)))
        patch.setattr(replace, "exchanged", noting(found, tried, replace.exchanged, "exchange"))
        _listening.append([])
        try:
            yield found
        finally:
            heard = _listening.pop()
    names = [name.replace("replace", "rename") for name in tried]
    assert heard == [name for name in names if name in AUDITED.values()], f"of {heard}, only {names} were seen"


def noting(found: list[Call], tried: list[str], call: Callable[..., Any], name: str) -> Callable[..., Any]:
    """Return a call that is recorded if it succeeds."""

    def noted(*args: Any, **more: Any) -> Any:
        number = 2 if name in ("rename", "replace", "exchange") else 1
        paths = tuple(place(arg, more.get("dir_fd")) for arg in args[:number])
        tried.append(name)
        result = call(*args, **more)
        found.append(Call(name, paths))
        return result

    return noted


def noting_write(found: list[Call], call: Callable[..., Any]) -> Callable[..., Any]:
    """Return a call that writes a file, recorded."""

    def noted(path: Path, data: Any, *args: Any, **more: Any) -> Any:
        result = call(path, data, *args, **more)
        found.append(Call("write", (path,), path.read_bytes()))
        return result

    return noted


def place(arg: Any, folder: int | None) -> Path:
    """Return the path that an argument means: one, the number of an open file, or a name in an open folder."""
    if isinstance(arg, int):
        return Path(f"/proc/self/fd/{arg}").readlink()
    return Path(arg) if folder is None else Path(f"/proc/self/fd/{folder}").readlink() / os.fsdecode(arg)
