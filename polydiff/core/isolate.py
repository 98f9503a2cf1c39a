"""Imports of third parties' modules that cannot harm the program, whatever they do at import."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, TypeVar

from polydiff.support.errors import one_line

T = TypeVar("T")


class Failed(Exception):
    """Isolated work failed; the message is the reason, on one line."""


class Unclosable:
    """A stream without `close`, for code that is not to close it.

    Arguments:
        stream: Everything else is forwarded to it.
    """

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def close(self) -> None:
        """Do nothing."""


CHILD = """
import json, os, sys
answer = os.dup(1)
sys.path[:] = json.loads(sys.argv[1])
try:
    __import__(sys.argv[2])
except BaseException:
    pass
os.write(answer, b"survived")
os._exit(0)
"""
"""Program that imports a module and reports that the process survived; whether the import raised does not matter."""


def check_survives(module: str, seconds: float) -> None:
    """Import a module in a process of its own, before it is imported here; do nothing if it is imported here already.

    Arguments:
        module: Name of the module, such as "package.module".
        seconds: Time limit.

    Raises:
        Failed: The import ended that process, as a crash of a library or `os._exit` does, or did not finish in time.
    """
    if module in sys.modules:
        return
    words = [sys.executable, "-P", "-c", CHILD, json.dumps(sys.path), module]
    try:
        done = subprocess.run(  # noqa: S603 - our own interpreter and a module that is imported next
            words,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=seconds,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise Failed(f"it did not finish within {seconds:g} s") from None
    if not done.stdout.endswith(b"survived"):
        code = done.returncode
        how = f"exit code {code}" if code >= 0 else signal.Signals(-code).name
        raise Failed(f"its import ends the process ({how})")


def isolated(work: Callable[[], T], seconds: float | None = None) -> T:
    """Return what `work` returns. It runs in a thread, so that Ctrl-C and an exception of `work` are distinguished.

    What it prints goes to stderr, and the standard streams stay open.

    Arguments:
        work: A call without arguments.
        seconds: Time limit; None: none. Work that does not finish goes on in the background until the program ends.

    Raises:
        Failed: The work raised anything, SystemExit and KeyboardInterrupt included, or did not finish in time.
    """
    results: list[T] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            results.append(work())
        except BaseException as error:  # noqa: BLE001 - third parties' code may fail in any way; it fails alone
            errors.append(error)

    thread = threading.Thread(target=run, name="polydiff-import", daemon=True)
    with kept_streams():
        thread.start()
        thread.join(seconds)
    if thread.is_alive():
        raise Failed(f"it did not finish within {seconds:g} s")
    if errors:
        raise Failed(one_line(errors[0])) from errors[0]
    return results[0]


@contextmanager
def kept_streams() -> Iterator[None]:
    """Restore stdout and stderr afterwards if they were closed or replaced; meanwhile, stdout is stderr."""
    before, copies = (sys.stdout, sys.stderr), {}
    for number in (1, 2):
        with suppress(OSError):  # a program may run without this stream
            copies[number] = os.dup(number)
    sys.stdout = sys.stderr = Unclosable(sys.stderr)
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before
        for number, copy in copies.items():
            if closed(number):
                os.dup2(copy, number)
            os.close(copy)


def closed(number: int) -> bool:
    """Return whether a file descriptor is closed."""
    try:
        os.fstat(number)
    except OSError:
        return True
    return False
