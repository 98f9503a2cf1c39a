"""A worker process as its parent sees it, and the list of idle workers."""

from __future__ import annotations

import atexit
import contextlib
import os
import pickle
import queue
import signal
import subprocess
import sys
import threading
from typing import Any, TypeAlias

from polydiff.domains.molecule.workers.worker import Answer, main

Inbox: TypeAlias = "queue.SimpleQueue[tuple[Worker, Answer | None]]"


START = f"import signal; signal.signal(signal.SIGINT, signal.SIG_IGN); from {main.__module__} import main; main()"
"""What a worker runs. Ctrl-C is for the parent; it may come while the worker still imports."""


class Worker:
    """A worker process, and a thread of this process that receives its answers.

    Arguments:
        inbox: Queue for its answers; None is put if the process has died.
    """

    def __init__(self, inbox: Inbox) -> None:
        self.inbox, self.dead = inbox, False
        paths = [path or str(os.getcwd()) for path in sys.path]  # noqa: PTH109
        one = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
        self.process = subprocess.Popen(  # noqa: S603
            [sys.executable, "-P", "-c", START],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, **one, "PYTHONPATH": os.pathsep.join(paths)},
        )
        threading.Thread(target=self.receive, name="polydiff-worker", daemon=True).start()

    def receive(self) -> None:
        """Put each answer into the inbox until the process ends."""
        assert self.process.stdout is not None
        with self.process.stdout as pipe, contextlib.suppress(EOFError, pickle.UnpicklingError, OSError):
            while True:
                answer = pickle.load(pipe)  # noqa: S301 (from our own process)
                self.inbox.put((self, answer))
        self.dead = True
        self.inbox.put((self, None))

    def send(self, *message: Any) -> None:
        """Send a message. A dead process is not noticed here but by `receive`."""
        assert self.process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            pickle.dump(message, self.process.stdin)
            self.process.stdin.flush()

    def end(self) -> None:
        """End the process."""
        self.process.kill()
        self.process.wait()
        with contextlib.suppress(BrokenPipeError):  # from a message that was not read
            assert self.process.stdin is not None
            self.process.stdin.close()


IDLE: list[Worker] = []
"""Idle workers, kept for the next call."""
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=IDLE.clear)  # they belong to the parent


@atexit.register
def end_idle_workers() -> None:
    """End all idle workers."""
    while IDLE:
        IDLE.pop().end()


def exit_reason(code: int) -> str:
    """Return the name of the signal that ended a process, or its exit code, as text."""
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"exit code {code}"
