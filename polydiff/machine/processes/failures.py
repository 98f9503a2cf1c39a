"""What processes that work together say when one of them fails: one message, which names the process and the reason.

A process that fails leaves a note in the store of torchrun's agent before it ends. The others lose their connection to
it: where there is a note they are silent, and where there is none one of them says which process was lost.
"""

from __future__ import annotations

import hashlib
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Self

from torch import distributed as dist

from polydiff.support.errors import UserError
from polydiff.support.launched import Launched

GRACE = 3.0
"""Seconds that a process which lost another one waits for what the others know."""
ALIKE = 0.5
"""Seconds that a process with an error of the user waits for others with the same one."""


class PeerLostError(UserError):
    """Another process has ended or hangs, so that this one cannot go on.

    Attributes:
        late: Whether it did not answer in time; else it has ended.
    """

    late: bool = False

    @classmethod
    def of(cls, which: str, late: bool) -> Self:
        """Return the error that a process, such as "Process 1", is lost."""
        reason = (
            "does not answer within launch.timeout: it hangs, was stopped, or is far slower than the others."
            if late
            else "has ended without a message: it may have been killed, as for want of memory."
        )
        error = cls(f"{which} {reason}")
        error.late = late
        return error


class PeerFailedError(UserError):
    """Another process has failed at what it did for all, and says so itself."""

    silent = True


@contextmanager
def announced(place: Launched) -> Iterator[None]:
    """Leave notes of an exception that leaves this context, so that one process alone says what went wrong.

    Arguments:
        place: This process among all.
    """
    try:
        yield
    except UserError as error:
        with undisturbed():
            found = account(error, place) if isinstance(error, PeerLostError) else claimed(error, place)
            error.silent, error.args = found
        raise
    except BaseException:
        if notes := Notes.of(place):
            notes.add("failed", 1)
        raise


class Notes:
    """Notes in the store of torchrun's agent, which outlives the processes; those of one start of all.

    Arguments:
        store: The store.
        place: This process among all.
    """

    def __init__(self, store: dist.Store, place: Launched) -> None:
        self.store, self.place = store, place

    @classmethod
    def of(cls, place: Launched) -> Self | None:
        """Return the notes of these processes; None if no agent of torchrun keeps a store, or it is gone."""
        try:
            store = agent_store(place, timedelta(seconds=10))
        except dist.DistError:
            return None
        return None if store is None else cls(store, place)

    def add(self, key: str, amount: int = 0) -> int:
        """Add to a number, 0 at first, and return it."""
        return self.store.add(f"notes/{key}", amount)

    def lost(self) -> list[int]:
        """Return the processes that have lost another one."""
        return [rank for rank in range(self.place.world) if self.add(f"lost/{rank}")]


def agent_store(place: Launched, timeout: timedelta) -> dist.Store | None:
    """Return the part of the store of torchrun's agent for one start of all processes; None if it has no store.

    Arguments:
        place: This process among all.
        timeout: Time that it waits for another process to write a value.
    """
    if os.environ.get("TORCHELASTIC_USE_AGENT_STORE") != "True":
        return None
    store = dist.TCPStore(os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"]), timeout=timeout)
    return dist.PrefixStore(f"polydiff/{place.restarts}", store)


def claimed(error: UserError, place: Launched) -> tuple[bool, tuple[str, ...]]:
    """Return whether another process prints an error, and its message, with the process if it is one's alone."""
    notes = Notes.of(place)
    if notes is None or isinstance(error, PeerFailedError):
        return error.silent, (str(error),)
    key = f"error/{hashlib.sha256(str(error).encode()).hexdigest()}"
    alike = notes.add(key, 1)
    notes.add("failed", 1)
    if alike > 1:
        return True, (str(error),)
    wait(lambda: notes.add(key) > 1, ALIKE)
    return error.silent, (str(error) if notes.add(key) > 1 else f"Process {place.rank}: {error}",)


def account(error: PeerLostError, place: Launched) -> tuple[bool, tuple[str, ...]]:
    """Return whether another process says why processes were lost, and the message, which names them."""
    notes = Notes.of(place)
    if notes is None:
        return place.rank > 0, (str(error),)
    notes.add(f"lost/{place.rank}", 1)
    wait(lambda: bool(notes.add("failed")) or len(notes.lost()) >= place.world - 1, GRACE)
    lost = notes.lost()
    if notes.add("failed") or notes.add("said", 1) > 1:
        return True, (str(error),)
    missing = [f"process {rank}" for rank in range(place.world) if rank not in lost]
    which = f"One of {', '.join(missing)}" if len(missing) > 1 else "".join(missing) or "another process"
    return False, (str(PeerLostError.of(which[0].upper() + which[1:], error.late)),)


def wait(until: Callable[[], bool], seconds: float) -> None:
    """Wait until something holds, at most for some seconds."""
    end = time.monotonic() + seconds
    while not until() and time.monotonic() < end:
        time.sleep(0.05)


@contextmanager
def undisturbed() -> Iterator[None]:
    """Within this context, ignore SIGTERM, which torchrun's agent sends to the others when a process has failed."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
