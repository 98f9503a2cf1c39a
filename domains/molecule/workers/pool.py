"""Work in processes apart: what hangs, crashes or eats up memory costs one item and not the program.

RDKit is C++: a search in it that does not end cannot be stopped from Python, and a fault ends its whole process. A
worker is a fresh interpreter that imports what its function needs and nothing of its parent's, so it starts in a
fraction of a second, holds no copy of a network, and runs no script twice. A few wait for further work until the
program ends.
"""

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
import time
from collections.abc import Callable, Iterable, Iterator, Sized
from itertools import count, islice
from typing import Any, TypeAlias, TypeVar

from polydiff.domains.molecule.workers.worker import START, Answer, TimedOut, main
from polydiff.machine.environment import cores
from polydiff.support.progress import Counting

SECONDS = 30.0
"""Time after which an item is given up, where nobody said another."""
AHEAD = 64
"""Items a worker that may be done before the oldest that is not."""
KEPT = 4
"""Workers that wait for further work; each holds RDKit in memory."""
PER_WORKER = 4
"""Items for which a further worker is worth its start."""

T = TypeVar("T")
R = TypeVar("R")


def in_processes(
    work: Callable[[T], R],
    items: Iterable[T],
    what: str,
    seconds: float = SECONDS,
    total: int | None = None,
    workers: int | None = None,
    forgiving: bool = False,
    quiet: bool = False,
) -> Iterator[R | TimedOut]:
    """Yield the results of a function, in the order of its arguments, and tell how far it is.

    An exception of the function is raised when its item's turn comes, or costs its item. Ctrl-C ends the workers.

    Arguments:
        work: A function of a module that can be imported. What it imports loads in each worker.
        items: Its arguments; taken as they are needed.
        what: What is being done, such as "geometries of organic".
        seconds: Time for an item, after which its worker is ended.
        total: How many items there are, where they have no length.
        workers: Processes at most; None: one a core.
        forgiving: Whether an exception costs its item only; one that tells of a broken installation never does.
        quiet: Whether nothing is told of how far it is, where other work tells that.
    """
    total = len(items) if isinstance(items, Sized) else total
    useful = cores() if total is None else min(cores(), 1 + total // PER_WORKER)
    crew, source, done = Crew(work, seconds, workers or useful), enumerate(items), dict[int, Answer | TimedOut]()

    def feed(oldest: int) -> None:
        for number, item in islice(source, crew.free if crew.given < oldest + AHEAD * crew.size else 0):
            crew.give(number, item)

    with Counting(what, total) as told, contextlib.closing(crew):
        for number in count():
            while number not in done:
                feed(number)
                if not crew.busy:
                    return
                done.update([crew.take()])
            feed(number)
            if not quiet:
                told(number + 1)
            yield outcome(done.pop(number), forgiving)


def outcome(answer: Answer | TimedOut, forgiving: bool) -> Any:
    """Return the result that a worker sent, or raise its exception where that is not forgiven."""
    if isinstance(answer, TimedOut):
        return answer
    content = pickle.loads(answer.content)  # noqa: S301 (of our own process)
    if answer.kind == "error":
        if not forgiving or isinstance(content, ImportError):
            raise content
        words = " ".join(str(content).split())  # of RDKit some lines, of a traceback many
        brief = words if len(words) < 150 else f"{words[:60]} ... {words[-80:]}"
        return TimedOut(f"{type(content).__name__}: {brief}")
    return content


Inbox: TypeAlias = "queue.SimpleQueue[tuple[Worker, Answer | None]]"


class Worker:
    """A process that waits for work, and a thread here that hears its answers.

    Arguments:
        inbox: Where answers go, and None when the process has died.
    """

    def __init__(self, inbox: Inbox) -> None:
        self.inbox, self.dead = inbox, False
        paths = [path or str(os.getcwd()) for path in sys.path]  # noqa: PTH109
        one = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
        self.process = subprocess.Popen(  # noqa: S603
            [sys.executable, "-P", "-c", f"from {main.__module__} import main; main()"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, **one, "PYTHONPATH": os.pathsep.join(paths)},
        )
        threading.Thread(target=self.hear, name="polydiff-worker", daemon=True).start()

    def hear(self) -> None:
        """Put each answer into the inbox."""
        assert self.process.stdout is not None
        with self.process.stdout as pipe, contextlib.suppress(EOFError, pickle.UnpicklingError, OSError):
            while True:
                answer = pickle.load(pipe)  # noqa: S301 (of our own process)
                self.inbox.put((self, answer))
        self.dead = True
        self.inbox.put((self, None))

    def say(self, *message: Any) -> None:
        """Send a message; that a process is dead is heard, not seen here."""
        assert self.process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            pickle.dump(message, self.process.stdin)
            self.process.stdin.flush()

    def end(self) -> None:
        """End the process."""
        self.process.kill()
        self.process.wait()
        with contextlib.suppress(BrokenPipeError):  # of what was said and not heard
            assert self.process.stdin is not None
            self.process.stdin.close()


IDLE: list[Worker] = []
"""Workers that wait for the next call."""
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=IDLE.clear)  # they are the parent's


@atexit.register
def dismiss() -> None:
    """End the workers that wait."""
    while IDLE:
        IDLE.pop().end()


class Crew:
    """The workers of one call.

    Attributes:
        busy: Worker -> number of the item that it works on.
        given: Items given so far.
        size: Most workers.
    """

    def __init__(self, work: Callable[[Any], Any], seconds: float, size: int) -> None:
        self.work, self.seconds, self.size = pickle.dumps(work), seconds, size
        self.inbox: Inbox = queue.SimpleQueue()
        self.given = 0
        self.idle: list[Worker] = []
        self.busy: dict[Worker, int] = {}
        self.until: dict[Worker, float] = {}
        self.starting: set[Worker] = set()

    @property
    def free(self) -> int:
        """How many items can be given now."""
        return self.size - len(self.busy)

    def give(self, number: int, item: Any) -> None:
        """Let a worker begin with an item."""
        worker = self.idle.pop() if self.idle else self.enlist()
        self.given += 1
        self.busy[worker] = number
        self.until[worker] = time.monotonic() + (START if worker in self.starting else self.seconds)
        worker.say(pickle.dumps(item))

    def enlist(self) -> Worker:
        """Return one more worker, one that waits or a new one, and tell it the function."""
        while IDLE:
            worker = IDLE.pop()
            worker.inbox = self.inbox
            if not worker.dead:
                break
            worker.end()
        else:
            worker = Worker(self.inbox)
        self.starting.add(worker)
        worker.say(self.work, self.seconds)
        return worker

    def take(self) -> tuple[int, Answer | TimedOut]:
        """Wait until an item is done or given up, and return its number and what it gave."""
        while True:
            last = min(self.until[worker] for worker in self.busy)
            try:
                worker, answer = self.inbox.get(timeout=max(0.0, last - time.monotonic()))
            except queue.Empty:
                worker = min(self.busy, key=lambda worker: self.until[worker])
                return self.lose(worker, f"it takes longer than {self.seconds:g} s")
            if worker not in self.busy:  # it was ended, or died at rest
                self.idle = [other for other in self.idle if other is not worker]
                continue
            if answer is None:
                return self.lose(worker, f"its process dies ({last_words(worker.process.wait())})")
            if answer.kind != "ready":
                self.idle.append(worker)
                return self.busy.pop(worker), answer
            self.starting.discard(worker)
            self.until[worker] = time.monotonic() + self.seconds

    def lose(self, worker: Worker, reason: str) -> tuple[int, TimedOut]:
        """End a worker whose item is given up."""
        number = self.busy.pop(worker)
        worker.end()
        if worker in self.starting:
            raise RuntimeError(f"A worker process does not start ({last_words(worker.process.returncode)}).")
        return number, TimedOut(reason)

    def close(self) -> None:
        """Let some of the idle wait for the next call, and end the others."""
        while self.idle and len(IDLE) < KEPT:
            IDLE.append(self.idle.pop())
        for worker in (*self.idle, *self.busy):
            worker.end()
        self.busy.clear()


def last_words(code: int) -> str:
    """Return what a process's exit code says."""
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"exit code {code}"
