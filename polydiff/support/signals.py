"""Ctrl-C and SIGTERM: both end work by an exception, so that it cleans up. Imports nothing that takes time."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


class Terminated(KeyboardInterrupt):
    """SIGTERM was received. It ends work as Ctrl-C does."""


def exit_code(error: KeyboardInterrupt) -> int:
    """Return the exit code of a program that Ctrl-C (130) or SIGTERM (143) ended."""
    return 128 + (signal.SIGTERM if isinstance(error, Terminated) else signal.SIGINT)


def word(error: KeyboardInterrupt) -> str:
    """Return what happened to a program: "stopped" or "terminated"."""
    return "terminated" if isinstance(error, Terminated) else "stopped"


_ending: list[bool] = []
"""Not empty from `ending` on."""


def ending() -> None:
    """Note that the program is about to end with an error, so that SIGTERM does not raise `Terminated` any more.

    The program that started several processes sends it to the others as soon as one has ended.
    """
    _ending.append(True)


@contextmanager
def terminable() -> Iterator[None]:
    """Within this context, SIGTERM raises `Terminated`. Without effect outside the main thread."""

    def end(number: int, frame: object) -> None:
        if not _ending:
            raise Terminated

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def end_at_once() -> None:
    """Let Ctrl-C and SIGTERM end the process in the system's own way from here on: its work is done.

    An exception would have nobody to catch it while Python shuts down, and would be printed as a traceback.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)


class Interrupts:
    """Turn the first Ctrl-C or SIGTERM into a request to stop after the step; a second one stops at once.

    Attributes:
        requested: Whether a stop is requested.
        error: The exception of this stop.
    """

    def __init__(self) -> None:
        self.requested = False
        self.error: type[KeyboardInterrupt] = KeyboardInterrupt
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Interrupts:
        if threading.current_thread() is threading.main_thread():  # elsewhere Python allows no handlers
            self._before = {s: signal.signal(s, self._request) for s in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, *error: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _request(self, number: int, frame: object) -> None:
        self.requested = True
        self.error = Terminated if number == signal.SIGTERM else KeyboardInterrupt
        self.__exit__()
