"""Ctrl-C, SIGTERM and its like: they end work by an exception, so that it cleans up. Imports nothing that takes time.

Like SIGTERM, SIGHUP ends work, which a terminal sends when it is closed, and SIGUSR1, by which a batch system announces
the end of a job.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

ENDING = ("SIGTERM", "SIGHUP", "SIGUSR1")
"""Signals that end work as SIGTERM does, where the system has them."""


class Terminated(KeyboardInterrupt):
    """SIGTERM or its like was received. It ends work as Ctrl-C does.

    Arguments:
        number: The signal.
    """

    def __init__(self, number: int = signal.SIGTERM) -> None:
        super().__init__()
        self.number = number


def end_signals() -> list[signal.Signals]:
    """Return the signals of `ENDING` that have no other use in this process.

    One that is ignored stays so, as nohup wants it, and so does SIGHUP or SIGUSR1 with a handler of the program that
    calls polydiff.
    """
    found = [getattr(signal, name) for name in ENDING if hasattr(signal, name)]
    return [number for number in found if number == signal.SIGTERM or is_free(signal.getsignal(number))]


def is_free(handler: Any) -> bool:
    """Return whether a signal has the system's own handler, or one of this module."""
    return handler is signal.SIG_DFL or getattr(handler, "__module__", "") == __name__


def stop_by(number: int) -> KeyboardInterrupt:
    """Return the exception of a stop that a signal requests."""
    return KeyboardInterrupt() if number == signal.SIGINT else Terminated(number)


def exit_code(error: KeyboardInterrupt) -> int:
    """Return the exit code of a program that a signal ended: 130 for Ctrl-C, 143 for SIGTERM."""
    return 128 + (error.number if isinstance(error, Terminated) else signal.SIGINT)


def word(error: KeyboardInterrupt) -> str:
    """Return what happened to a program: "stopped" or "terminated"."""
    return "terminated" if isinstance(error, Terminated) else "stopped"


_ending: list[bool] = []
"""Not empty from `ending` on."""


def ending() -> None:
    """Note that the program is about to end with an error, so that no signal raises `Terminated` any more.

    The program that started several processes sends it to the others as soon as one has ended.
    """
    _ending.append(True)


@contextmanager
def terminable() -> Iterator[None]:
    """Within this context, SIGTERM and its like raise `Terminated`. Without effect outside the main thread."""

    def end(number: int, frame: object) -> None:
        if not _ending:
            raise Terminated(number)

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, end) for number in end_signals()}
    try:
        yield
    finally:
        for number, handler in before.items():
            if handler is not None:  # None: it was not set from Python
                signal.signal(number, handler)


def end_at_once() -> None:
    """Let Ctrl-C, SIGTERM and its like end the process in the system's own way from here on: its work is done.

    An exception would have nobody to catch it while Python shuts down, and would be printed as a traceback.
    """
    for number in (signal.SIGINT, *end_signals()):
        signal.signal(number, signal.SIG_DFL)


class Interrupts:
    """Turn the first Ctrl-C, SIGTERM or its like into a request to stop after the step; a second one stops at once.

    Attributes:
        number: The signal; 0: none.
    """

    def __init__(self) -> None:
        self.number = 0
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Interrupts:
        if threading.current_thread() is threading.main_thread():  # elsewhere Python allows no handlers
            self._before = {s: signal.signal(s, self._request) for s in (signal.SIGINT, *end_signals())}
        return self

    def __exit__(self, *error: object) -> None:
        for number, handler in self._before.items():
            if handler is not None:  # None: it was not set from Python
                signal.signal(number, handler)

    @property
    def requested(self) -> bool:
        """Whether a stop is requested."""
        return bool(self.number)

    def _request(self, number: int, frame: object) -> None:
        self.number = number
        self.__exit__()
