"""The worker's side of `workers`: a process that calls a function for one item after another.

It loads little, so that it starts quickly.
"""

from __future__ import annotations

import contextlib
import faulthandler
import os
import pickle
import signal
import sys
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal, NamedTuple

START = 120.0
"""Seconds in which a worker must be ready; and after an item's time, by which it ends if no parent has ended it."""
MEMORY = 4 * 2**30
"""Bytes of address space of a worker, where the system can limit it."""


@dataclass(frozen=True)
class TimedOut:
    """What an item gives that was given up: it took too long or too much memory, its process died, or RDKit failed.

    Arguments:
        reason: Which of them, in words that follow "left out: ".
    """

    reason: str


class Answer(NamedTuple):
    """What a worker says.

    Attributes:
        kind: "ready" for items, "done" with one, or "error" in one.
        content: Pickled: the item's result or exception.
    """

    kind: Literal["ready", "done", "error"]
    content: bytes = b""


def serve(orders: BinaryIO, answers: BinaryIO) -> None:
    """Work until the parent ends or closes the pipe: messages are (function, seconds) and (item,), pickled inside."""
    order, seconds = b"", START
    with Path(os.devnull).open("w") as nowhere, contextlib.suppress(EOFError):
        while True:
            message = pickle.load(orders)  # noqa: S301 (of our parent)
            if len(message) == 2:
                (order, seconds), answer = message, Answer("ready")
                load(order)
            else:
                faulthandler.dump_traceback_later(seconds + START, exit=True, file=nowhere)  # if the parent is gone
                answer = attempt(order, message[0])
                faulthandler.cancel_dump_traceback_later()
            pickle.dump(answer, answers)
            answers.flush()


def load(order: bytes) -> None:
    """Import what a function needs; why that fails is told with the first item."""
    with contextlib.suppress(Exception):
        pickle.loads(order)  # noqa: S301


def attempt(order: bytes, item: bytes) -> Answer:
    """Return what a function gives for an item, or its exception."""
    try:
        return Answer("done", pickle.dumps(pickle.loads(order)(pickle.loads(item))))  # noqa: S301
    except MemoryError:
        return Answer("done", pickle.dumps(TimedOut(f"it takes more than {MEMORY / 2**30:g} GiB of memory")))
    except Exception as error:  # noqa: BLE001 (raised in the parent)
        return Answer("error", portable(error))


def portable(error: Exception) -> bytes:
    """Return an exception, pickled; of one that cannot be, its text."""
    try:
        content = pickle.dumps(error)
        pickle.loads(content)  # noqa: S301
    except Exception:  # noqa: BLE001 (of whatever class)
        return pickle.dumps(RuntimeError("".join(traceback.format_exception(error))))
    return content


def limit_memory() -> None:
    """Let what asks for too much memory fail, rather than the machine."""
    try:
        import resource
    except ImportError:  # no POSIX
        return
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    with contextlib.suppress(ValueError, OSError):  # of systems that know the limit and do not let it be set
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY if hard < 0 else min(MEMORY, hard), hard))


def main() -> None:
    """Be a worker."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent's to handle
    limit_memory()
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what is printed must not come between answers
    serve(sys.stdin.buffer, answers)
