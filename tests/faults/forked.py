"""A call in a forked child: what it returned or raised, its time, and how far its memory rose.

Starting Python and importing torch take seconds; a fork of a process that has both takes milliseconds.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import resource
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trial import workplace

from polydiff.machine.memory import CLEAR, process_peak


@dataclass(frozen=True)
class Outcome:
    """What became of a child.

    Arguments:
        result: What the call returned; None if it raised or died.
        error: Type and message of what it raised; "" if it returned.
        code: Exit code; negative: number of the signal that ended it.
        seconds: Processor time of the call.
        risen: MiB that the peak of memory rose.
        stdout: What it printed.
        stderr: The same on stderr.
    """

    result: Any
    error: str
    code: int
    seconds: float
    risen: float
    stdout: str
    stderr: str


def forked(work: Callable[[], Any], wait: float = 60.0, memory: int | None = None) -> Outcome:
    """Return the outcome of a call in a child of this process.

    Arguments:
        work: The call; its result must be a value of JSON.
        wait: Seconds after which the child is killed.
        memory: Bytes of address space that it may take beyond what it has; None: any.
    """
    with workplace() as folder:
        child = os.fork()
        if child == 0:
            report(work, folder, memory)
        code = waited(child, wait)
        texts = [(folder / name).read_text(errors="replace") for name in ("stdout", "stderr")]
        found = folder / "result"
        values = pickle.loads(found.read_bytes()) if found.exists() else (None, f"it died with code {code}", 0.0, 0.0)
        return Outcome(values[0], values[1], code, values[2], values[3], *texts)


def report(work: Callable[[], Any], folder: Path, memory: int | None) -> None:
    """Call `work` in this process, which is a child, write what became of it to files, and end."""
    try:
        for number, name in ((1, "stdout"), (2, "stderr")):
            os.dup2(os.open(folder / name, os.O_WRONLY | os.O_CREAT), number)
        sys.stdout, sys.stderr = (os.fdopen(os.dup(number), "w", buffering=1) for number in (1, 2))
        signal.setitimer(signal.ITIMER_REAL, 0)  # the parent's
        if memory is not None:
            limit = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGESIZE") + memory
            resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
        with contextlib.suppress(OSError):
            CLEAR.write_text("5")
        before, start = process_peak(), time.process_time()
        result, error = None, ""
        try:
            result = work()
        except BaseException as raised:  # noqa: BLE001 - it is told to the parent
            error = f"{type(raised).__name__}: {raised}"
        values = (result, error, time.process_time() - start, process_peak() - before)
        with contextlib.suppress(OSError, ValueError, AttributeError):  # the call may have closed or replaced them
            sys.stdout.flush()
            sys.stderr.flush()
        (folder / "part").write_bytes(pickle.dumps(values))
        (folder / "part").rename(folder / "result")
    finally:
        os._exit(0)


def waited(child: int, wait: float) -> int:
    """Return the exit code of a child, which is killed after some seconds."""
    end = time.monotonic() + wait
    while time.monotonic() < end:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.005)
    os.kill(child, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
