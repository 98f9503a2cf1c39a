"""Processes that are forked from one which has imported torch and the trainer, so that each costs a moment.

Nothing else has happened in that one: it has loaded no plugin, trained nothing, and has no thread.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cache
from multiprocessing import forkserver, get_context
from multiprocessing.context import ForkServerContext
from pathlib import Path

import cheap
import pytest

JOBS = ("forked", "process_jobs", "divided_jobs", "sharding_jobs")
IMPORTED = [*JOBS, "polydiff.domains.image.domain", "polydiff.domains.molecule.domain", "sklearn.datasets"]
"""Modules that the process imports from which all others are forked."""


@cache
def forks() -> ForkServerContext:
    """Return the context of such processes. Their sys.path is that of this process; see `take_over` for the rest."""
    context = get_context("forkserver")
    context.set_forkserver_preload(IMPORTED)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join(sys.path))  # Python 3.11 does not pass sys.path on to it
        forkserver.ensure_running()
    return context


def take_over(environment: Mapping[str, str]) -> None:
    """In a new process, set the environment, which is else that of the process from which it was forked."""
    os.environ.clear()
    os.environ.update(environment)
    cheap.install()


def run_program(words: Sequence[str], cwd: Path | None, seconds: float) -> subprocess.CompletedProcess[str]:
    """Run the program `polydiff` in such a process, as `python -m polydiff` does.

    Arguments:
        words: Its arguments.
        cwd: Folder in which it runs; None: this process's.
        seconds: Time after which it is killed.
    """
    with tempfile.TemporaryDirectory(prefix="polydiff-program-") as name:
        out, err = Path(name, "out"), Path(name, "err")
        args = (list(words), str(cwd or Path.cwd()), dict(os.environ), (out, err))
        process = forks().Process(target=program, args=args)
        process.start()
        process.join(seconds)
        code = process.exitcode
        if code is None:
            process.kill()
            process.join()  # before the folder of its output is deleted
            raise subprocess.TimeoutExpired(list(words), seconds)
        return subprocess.CompletedProcess(list(words), code, out.read_text(), err.read_text())


def program(words: list[str], cwd: str, environment: dict[str, str], files: tuple[Path, Path]) -> None:
    """Run the program in this process, which is new, and end it; stdout and stderr go to files."""
    take_over(environment)
    os.chdir(cwd)
    sys.path.insert(0, cwd)
    for number, path in enumerate(files, 1):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT), number)
    sys.stdout, sys.stderr = (open(i, "w", buffering=1, closefd=False) for i in (1, 2))  # noqa: SIM115 - they live on
    sys.argv = ["polydiff", *words]
    code = 1
    try:
        from polydiff.__main__ import main

        code = main()
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else int(error.code is not None)
    except BaseException:  # noqa: BLE001 - as Python does
        traceback.print_exc()
    with suppress(OSError, ValueError, AttributeError):  # a plugin may have closed or replaced them
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(code)
