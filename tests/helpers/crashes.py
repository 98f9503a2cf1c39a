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


REMOVALS = ("unlink", "rmdir")
"""Calls that a full disk does not refuse."""
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class Faults:
    """Counts the calls that change the file system and fails at one of them.

    Arguments:
        at: Number of the call that fails, counted from 0; -1: none.
        error: Number of the error of the system that it raises; None: the process dies, so all further calls fail.
        lasting: Whether all further calls raise the error, too, but for removals from a full disk.
    """

    def __init__(self, at: int, error: int | None, lasting: bool) -> None:
        self.at, self.error, self.lasting, self.calls = at, error, lasting, 0

    def fails(self, name: str) -> bool:
        """Count a call and return whether it fails."""
        self.calls += 1
        if self.at < 0 or self.calls <= self.at:
            return False
        if self.calls - 1 == self.at or self.error is None:
            return True
        return self.lasting and not (name in REMOVALS and self.error in FULL)

    def fail(self) -> None:
        raise Killed if self.error is None else OSError(self.error, os.strerror(self.error))

    def around(self, call: Callable[..., Any], name: str) -> Callable[..., Any]:
        def counted(*args: Any, **more: Any) -> Any:
            if self.fails(name):
                self.fail()
            return call(*args, **more)

        return counted

    def around_write(self, call: Callable[..., Any]) -> Callable[..., Any]:
        """Of the first write that fails, half of the data reach the disk."""

        def counted(path: Path, data: Any, *args: Any, **more: Any) -> Any:
            fails = self.fails("write")
            if fails and self.calls - 1 > self.at:
                self.fail()
            written = call(path, data[: len(data) // 2] if fails else data, *args, **more)
            if fails:
                self.fail()
            return written

        return counted


@contextmanager
def faults(at: int, error: int | None = None, exchange: bool = True, lasting: bool = False) -> Iterator[Faults]:
    """Fail in the `with` block at a call.

    Arguments:
        at: Number of the call; -1: none fails, they are counted only.
        error: As in `Faults`.
        exchange: Whether the file system can exchange two names.
        lasting: As in `Faults`.
    """
    found = Faults(at, error, lasting)
    with pytest.MonkeyPatch.context() as patch:
        for owner, name in CALLS:
            patch.setattr(owner, name, found.around(getattr(owner, name), name))
        for owner, name in WRITES:
            patch.setattr(owner, name, found.around_write(getattr(owner, name)))
        swap = found.around(replace.exchanged, "exchange") if exchange else lambda a, b: False
        patch.setattr(replace, "exchanged", swap)
        yield found
