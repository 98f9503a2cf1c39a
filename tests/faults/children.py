"""Processes of trials: forked from this one, which has imported torch already, so that each costs a moment."""

from __future__ import annotations

import json
import mmap
import os
import resource
import signal
import struct
import sys
import time
import traceback
from collections.abc import Callable, Collection
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from golden import CASES

from polydiff.__main__ import main
from polydiff.config.merge import resolve
from polydiff.contract.discover import build_domain
from polydiff.machine.memory import CLEAR, process_peak

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as in background jobs, whose children would ignore Ctrl-C
    signal.signal(signal.SIGINT, signal.default_int_handler)

TINY: dict[str, Any] = {
    "device": "cpu",
    "train.batch_size": 4,
    "train.precision": "float32",
    "train.log_every": 1,
    "train.sample_every": 1000,
    "sample.steps": 2,
}
"""Settings of a run whose states have about half a megabyte, and of `CASES` for its domain."""
BROKEN = 70
"""Exit code of a child that ended with a traceback."""


class Ended(NamedTuple):
    """How a child ended.

    Attributes:
        code: Exit code; minus the number of the signal that killed it.
        result: What its call returned; None if it raised or died.
        out: What it wrote to stdout.
        err: What it wrote to stderr.
        seconds: Processor time of the call.
        risen: MiB that the peak of memory rose.
    """

    code: int
    result: Any
    out: str
    err: str
    seconds: float
    risen: float


class Shared:
    """Numbers that a child writes and its parent reads, also after it was killed.

    Arguments:
        n: How many.
    """

    def __init__(self, n: int) -> None:
        self.memory = mmap.mmap(-1, 8 * n)

    def __getitem__(self, i: int) -> int:
        return int(struct.unpack_from("q", self.memory, 8 * i)[0])

    def __setitem__(self, i: int, value: int) -> None:
        struct.pack_into("q", self.memory, 8 * i, value)


def run_child(work: Callable[[], Any], wait: float | None = None, memory: int | None = None) -> Ended:
    """Call a function in a child process; its exit code is the int that it returns, 0, or `BROKEN`.

    Arguments:
        work: The function; it returns a value of JSON.
        wait: Seconds after which the child is killed; None: never.
        memory: Bytes of address space that it may take beyond what it has; None: any.
    """
    out, err, answer = (os.memfd_create(name) for name in ("stdout", "stderr", "answer"))
    pid = os.fork()
    if pid == 0:
        os._exit(child(work, (out, err, answer), memory))
    try:
        code = os.waitstatus_to_exitcode(waited(pid, wait))
    except BaseException:  # the trial's limit of time
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        raise
    finally:
        texts = [content(descriptor) for descriptor in (out, err, answer)]
    result, seconds, risen = json.loads(texts[2]) if texts[2] else (None, 0.0, 0.0)
    return Ended(code, result, texts[0], texts[1], seconds, risen)


def waited(pid: int, wait: float | None) -> int:
    """Return the status with which a child ended; it is killed after some seconds."""
    end = None if wait is None else time.monotonic() + wait
    while end is not None and time.monotonic() < end:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return status
        time.sleep(0.005)
    if end is not None:
        os.kill(pid, signal.SIGKILL)
    return os.waitpid(pid, 0)[1]


def content(descriptor: int) -> str:
    """Return the text of a file in memory, and close it."""
    os.lseek(descriptor, 0, os.SEEK_SET)
    with os.fdopen(descriptor, errors="replace") as file:
        return file.read()


def child(work: Callable[[], Any], files: tuple[int, int, int], memory: int | None) -> int:
    """Do the work of a child and return its exit code; `files` receive stdout, stderr, and what the work returned."""
    code = BROKEN
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number, descriptor in enumerate(files[:2], 1):
        os.dup2(descriptor, number)
    sys.stdout, sys.stderr = (open(i, "w", buffering=1, closefd=False) for i in (1, 2))  # noqa: SIM115 - they live on
    if memory is not None:
        limit = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGESIZE") + memory
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    with suppress(OSError):
        CLEAR.write_text("5")
    before, start = process_peak(), time.process_time()
    try:
        found = work()
        code = found if isinstance(found, int) else 0
        answer = json.dumps([found, time.process_time() - start, process_peak() - before])
        os.write(files[2], answer.encode())
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else BROKEN
    except BaseException:  # noqa: BLE001 - the parent reads it
        traceback.print_exc()
    with suppress(OSError, ValueError, AttributeError):  # the call may have closed or replaced them
        sys.stdout.flush()
        sys.stderr.flush()
    return code


def check_refused(ended: Ended, *named: str, codes: Collection[int] = (2,)) -> None:
    """A command ended with a message, without a traceback.

    Arguments:
        ended: How it ended.
        named: What the message must name.
        codes: Exit codes that are right.
    """
    assert ended.result in codes, f"it returned {ended.result}, code {ended.code}: {ended.err[-300:]}"
    assert "Traceback" not in ended.err, f"a traceback: {ended.err[-300:]}"
    for word in named:
        assert word in ended.err, f"the message does not name {word}: {ended.err[-300:]}"


@cache
def warm(domain: str) -> None:
    """Import what a domain needs and prepare its data, so that no child has to."""
    config = resolve(domain, values=settings(domain)).config
    build_domain(config).backbone()


def settings(domain: str, **more: Any) -> dict[str, Any]:
    """Return the settings of a tiny run of a domain."""
    return {**TINY, **CASES[domain], **more}


def words(domain: str, run: Path, **more: Any) -> list[str]:
    """Return the command line that trains a tiny run of a domain."""
    keys = [f"{key}={str(value).replace(' ', '')}" for key, value in settings(domain, **more).items()]
    return ["train", "--domain", domain, "-o", str(run), *keys]


def run_main(argv: list[str]) -> int:
    """Run the command line in this process and return its exit code."""
    sys.argv = ["polydiff", *argv]
    return main()


def files_under(folder: Path) -> list[str]:
    """Return the files under a folder by their relative paths, sorted."""
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
