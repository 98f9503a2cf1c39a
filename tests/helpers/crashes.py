"""A process that dies, or a disk that is full, at the k-th call that changes the file system."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from polydiff.support import replace

CALLS = [(os, name) for name in ("rename", "replace", "mkdir", "unlink", "rmdir", "fsync", "ftruncate")]
WRITES = [(Path, "write_bytes"), (Path, "write_text")]


def names(folder: Path) -> list[str]:
    """Return the names in a folder, sorted."""
    return sorted(path.name for path in folder.iterdir())


class Killed(BaseException):
    """Raised in place of the death of the process: every later change of the file system raises it, too."""


class Faults:
    """Counts the calls that change the file system and fails at one of them.

    Arguments:
        at: Number of the call that fails, counted from 0; -1: none.
        full: Whether the call fails alone, with "No space left on device", instead of all from there on.
    """

    def __init__(self, at: int, full: bool) -> None:
        self.at, self.full, self.calls = at, full, 0

    def step(self) -> bool:
        """Count a call; return whether it is the first that fails, and raise Killed if a former one was."""
        self.calls += 1
        if 0 <= self.at < self.calls - 1 and not self.full:
            raise Killed
        return self.calls - 1 == self.at

    def fail(self) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)) if self.full else Killed

    def around(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*args: Any, **more: Any) -> Any:
            if self.step():
                self.fail()
            return call(*args, **more)

        return counted

    def around_write(self, call: Callable[..., Any]) -> Callable[..., Any]:
        """Of a write that fails, half of the data reach the disk."""

        def counted(path: Path, data: Any, *args: Any, **more: Any) -> Any:
            fails = self.step()
            written = call(path, data[: len(data) // 2] if fails else data, *args, **more)
            if fails:
                self.fail()
            return written

        return counted


@contextmanager
def faults(at: int, full: bool = False, exchange: bool = True) -> Iterator[Faults]:
    """Fail in the `with` block at a call.

    Arguments:
        at: Number of the call; -1: none fails, they are counted only.
        full: As in `Faults`.
        exchange: Whether the file system can exchange two names.
    """
    found = Faults(at, full)
    with pytest.MonkeyPatch.context() as patch:
        for owner, name in CALLS:
            patch.setattr(owner, name, found.around(getattr(owner, name)))
        for owner, name in WRITES:
            patch.setattr(owner, name, found.around_write(getattr(owner, name)))
        swap = found.around(replace.exchanged) if exchange else lambda a, b: False
        patch.setattr(replace, "exchanged", swap)
        yield found
