"""The worker process of `workers.pool`, which calls a function for one item after another.

This module imports little, so that a worker starts quickly.
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

START_SECONDS = 120.0
"""Time limit for the start of a worker.

A worker whose parent has died ends itself this long after the time limit of its item.
"""
MEMORY_BYTES = 4 * 2**30
"""Limit of the address space of a worker, on systems that support one."""


@dataclass(frozen=True)
class TimedOut:
    """The result of a failed item: it took too long or too much memory, its process died, or RDKit failed.

    Arguments:
        reason: The cause, as a clause: "it takes longer than 30 s".
    """

    reason: str


class Answer(NamedTuple):
    """A message of a worker.

    Attributes:
        kind: "ready" for items, "done" with an item, or "error" if the function raised an exception.
        content: The pickled result or exception.
    """

    kind: Literal["ready", "done", "error"]
    content: bytes = b""


def serve(messages: BinaryIO, answers: BinaryIO) -> None:
    """Answer messages until the parent ends or closes the pipe.

    Arguments:
        messages: Pickled tuples: (pickled function, time limit in seconds) or (pickled item,).
        answers: Stream for pickled `Answer`s.
    """
    function, seconds = b"", START_SECONDS
    with Path(os.devnull).open("w") as null:
        while True:
            try:
                message = pickle.load(messages)  # noqa: S301 (from our parent)
            except (EOFError, pickle.UnpicklingError):  # the parent has ended, perhaps in the middle of a message
                return
            if len(message) == 2:
                (function, seconds), answer = message, Answer("ready")
                import_function(function)
            else:
                faulthandler.dump_traceback_later(
                    seconds + START_SECONDS, exit=True, file=null
                )  # if the parent is gone
                answer = call(function, message[0])
                faulthandler.cancel_dump_traceback_later()
            pickle.dump(answer, answers)
            answers.flush()


def import_function(function: bytes) -> None:
    """Import the module of a pickled function. If that fails, the first item reports the error."""
    with contextlib.suppress(Exception):
        pickle.loads(function)  # noqa: S301


def call(function: bytes, item: bytes) -> Answer:
    """Return the answer with the result of a pickled function for a pickled item, or with its exception."""
    try:
        return Answer("done", pickle.dumps(pickle.loads(function)(pickle.loads(item))))  # noqa: S301
    except MemoryError:
        return Answer("done", pickle.dumps(TimedOut(f"it takes more than {MEMORY_BYTES / 2**30:g} GiB of memory")))
    except Exception as error:  # noqa: BLE001 (raised in the parent)
        return Answer("error", pickled(error))


def pickled(error: Exception) -> bytes:
    """Return a pickled exception; if it cannot be pickled, a RuntimeError with its traceback."""
    try:
        content = pickle.dumps(error)
        pickle.loads(content)  # noqa: S301
    except Exception:  # noqa: BLE001 (any class)
        return pickle.dumps(RuntimeError("".join(traceback.format_exception(error))))
    return content


def limit_memory() -> None:
    """Limit the address space, so that a large allocation fails instead of exhausting the machine."""
    try:
        import resource
    except ImportError:  # not a POSIX system
        return
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    with contextlib.suppress(ValueError, OSError):  # the system has the limit but does not allow to set it
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES if hard < 0 else min(MEMORY_BYTES, hard), hard))


def main() -> None:
    """Run as a worker process: read messages from stdin, write answers to stdout."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent handles it
    limit_memory()
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # printed text must not mix with answers
    try:
        serve(sys.stdin.buffer, answers)
    except BrokenPipeError:  # the parent has ended while an item was computed
        os._exit(0)  # without another attempt to write the answer
