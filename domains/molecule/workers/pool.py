"""A pool of worker processes: an item that hangs, crashes or exhausts memory fails alone, and the program continues.

RDKit is C++. Python cannot stop an endless search in it, and a segmentation fault ends the whole process. A worker is a
fresh interpreter that imports only the modules of its function. So it starts in a fraction of a second, holds no copy
of a network, and does not run the main script again. A few idle workers are kept for the next call until the program
ends.
"""

from __future__ import annotations

import contextlib
import pickle
import queue
import time
from collections.abc import Callable, Iterable, Iterator, Sized
from itertools import count, islice
from typing import Any, TypeVar

from polydiff.domains.molecule.workers.handle import IDLE, Inbox, Worker, exit_reason
from polydiff.domains.molecule.workers.worker import START_SECONDS, Answer, TimedOut
from polydiff.machine.environment import cores
from polydiff.support.progress import Counting

SECONDS = 30.0
"""Default time limit of an item."""
MAX_AHEAD = 64
"""Largest number of items per worker that may finish before the oldest unfinished one."""
MAX_IDLE = 4
"""Largest number of idle workers that are kept; each holds RDKit in memory."""
ITEMS_PER_WORKER = 4
"""Number of items that justify the start of one more worker."""

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
    """Yield the results of a function in the order of its arguments, and print progress.

    A result is `TimedOut` if its item failed. Ctrl-C ends the workers.

    Arguments:
        work: A picklable function of an importable module. Each worker imports that module.
        items: Arguments of the function; consumed as they are needed.
        what: Description for progress, such as "geometries of organic".
        seconds: Time limit of an item, after which its worker is ended.
        total: Number of items if they have no length; None: unknown.
        workers: Largest number of processes; None: one per core.
        forgiving: Whether an exception of the function becomes `TimedOut`. An ImportError is always raised.
        quiet: Whether no progress is printed.

    Raises:
        Exception: One of the function, if not `forgiving`, at the turn of its item.
        RuntimeError: A worker does not start.
    """
    total = len(items) if isinstance(items, Sized) else total
    useful = cores() if total is None else min(cores(), 1 + total // ITEMS_PER_WORKER)
    pool, source, done = WorkerPool(work, seconds, workers or useful), enumerate(items), dict[int, Answer | TimedOut]()

    def submit_items(oldest: int) -> None:
        for number, item in islice(source, pool.free if pool.submitted < oldest + MAX_AHEAD * pool.size else 0):
            pool.submit(number, item)

    with Counting(what, total) as show_count, contextlib.closing(pool):
        for number in count():
            while number not in done:
                submit_items(number)
                if not pool.busy:
                    return
                done.update([pool.next_answer()])
            submit_items(number)
            if not quiet:
                show_count(number + 1)
            yield to_result(done.pop(number), forgiving)


def to_result(answer: Answer | TimedOut, forgiving: bool) -> Any:
    """Return the result of a worker's answer; raise its exception or, if `forgiving`, convert it to `TimedOut`."""
    if isinstance(answer, TimedOut):
        return answer
    content = pickle.loads(answer.content)  # noqa: S301 (from our own process)
    if answer.kind == "error":
        if not forgiving or isinstance(content, ImportError):
            raise content
        text = " ".join(str(content).split())  # one line; messages of RDKit and tracebacks have several
        brief = text if len(text) < 150 else f"{text[:60]} ... {text[-80:]}"
        return TimedOut(f"{type(content).__name__}: {brief}")
    return content


class WorkerPool:
    """The workers of one call of `in_processes`.

    Arguments:
        work: The function.
        seconds: Time limit of an item.
        size: Largest number of workers.

    Attributes:
        submitted: Number of items submitted so far.
        idle: Workers of this call without an item.
        busy: Worker -> number of its item.
        until: Worker -> time at which its item fails.
        starting: Workers that have not reported to be ready.
    """

    def __init__(self, work: Callable[[Any], Any], seconds: float, size: int) -> None:
        self.work, self.seconds, self.size = pickle.dumps(work), seconds, size
        self.inbox: Inbox = queue.SimpleQueue()
        self.submitted = 0
        self.idle: list[Worker] = []
        self.busy: dict[Worker, int] = {}
        self.until: dict[Worker, float] = {}
        self.starting: set[Worker] = set()

    @property
    def free(self) -> int:
        """Number of items that can be submitted now."""
        return self.size - len(self.busy)

    def submit(self, number: int, item: Any) -> None:
        """Send an item to a worker."""
        worker = self.idle.pop() if self.idle else self.add_worker()
        self.submitted += 1
        self.busy[worker] = number
        self.until[worker] = time.monotonic() + (START_SECONDS if worker in self.starting else self.seconds)
        worker.send(pickle.dumps(item))

    def add_worker(self) -> Worker:
        """Return an idle worker of an earlier call or a new one, and send it the function."""
        while IDLE:
            worker = IDLE.pop()
            worker.inbox = self.inbox
            if not worker.dead:
                break
            worker.end()
        else:
            worker = Worker(self.inbox)
        self.starting.add(worker)
        worker.send(self.work, self.seconds)
        return worker

    def next_answer(self) -> tuple[int, Answer | TimedOut]:
        """Wait until an item is done or fails, and return its number and the answer."""
        while True:
            deadline = min(self.until[worker] for worker in self.busy)
            try:
                worker, answer = self.inbox.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                worker = min(self.busy, key=lambda worker: self.until[worker])
                return self.abandon(worker, f"it takes longer than {self.seconds:g} s")
            if worker not in self.busy:  # it was ended, or died while idle
                self.idle = [other for other in self.idle if other is not worker]
                continue
            if answer is None:
                return self.abandon(worker, f"its process dies ({exit_reason(worker.process.wait())})")
            if answer.kind != "ready":
                self.idle.append(worker)
                return self.busy.pop(worker), answer
            self.starting.discard(worker)
            self.until[worker] = time.monotonic() + self.seconds

    def abandon(self, worker: Worker, reason: str) -> tuple[int, TimedOut]:
        """End a worker, and return the number of its item and the reason that it failed."""
        number = self.busy.pop(worker)
        worker.end()
        if worker in self.starting:
            raise RuntimeError(f"A worker process does not start ({exit_reason(worker.process.returncode)}).")
        return number, TimedOut(reason)

    def close(self) -> None:
        """Keep up to `MAX_IDLE` idle workers for the next call, and end the others."""
        while self.idle and len(IDLE) < MAX_IDLE:
            IDLE.append(self.idle.pop())
        for worker in (*self.idle, *self.busy):
            worker.end()
        self.busy.clear()
