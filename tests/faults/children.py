"""Processes of trials: forked from this one, which has imported torch already, so that each costs a moment."""

from __future__ import annotations

import mmap
import os
import signal
import struct
import sys
import traceback
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from golden import CASES

from polydiff.__main__ import main
from polydiff.config.merge import resolve
from polydiff.contract.discover import build_domain

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
        err: What it wrote to stderr.
    """

    code: int
    err: str


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


def run_child(work: Callable[[], object], folder: Path) -> Ended:
    """Call a function in a child process; its exit code is the int that it returns, 0, or `BROKEN`.

    Arguments:
        work: The function.
        folder: Receives what it prints.
    """
    pid = os.fork()
    if pid == 0:
        os._exit(child(work, folder))
    try:
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    except BaseException:  # the trial's limit of time
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        raise
    return Ended(code, (folder / "stderr").read_text(errors="replace"))


def child(work: Callable[[], object], folder: Path) -> int:
    """Do the work of a child and return its exit code."""
    code = BROKEN
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for name, number in (("stdout", 1), ("stderr", 2)):
        descriptor = os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(descriptor, number)
    sys.stdout, sys.stderr = open(1, "w", closefd=False), open(2, "w", closefd=False)  # noqa: SIM115 - they live on
    try:
        found = work()
        code = found if isinstance(found, int) else 0
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else BROKEN
    except BaseException:  # noqa: BLE001 - the parent reads it
        traceback.print_exc()
    sys.stdout.flush()
    sys.stderr.flush()
    return code


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
