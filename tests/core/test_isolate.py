"""Work of third parties that is isolated: whatever it does, the program goes on."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import pytest

from polydiff.core.isolate import Failed, isolated


def exit_with(code: int) -> None:
    sys.exit(code)


def interrupt() -> None:
    raise KeyboardInterrupt


class Odd(BaseException):
    """An exception of no common kind."""


def odd() -> None:
    raise Odd("odd")


@pytest.mark.parametrize(
    ("work", "reason"),
    [
        (lambda: exit_with(0), "SystemExit: 0"),
        (lambda: exit_with(3), "SystemExit: 3"),
        (interrupt, "KeyboardInterrupt"),
        (odd, "Odd: odd"),
        (lambda: 1 / 0, "ZeroDivisionError: division by zero"),
    ],
)
def test_whatever_is_raised_becomes_one_failure_with_its_reason(work: Callable[[], Any], reason: str) -> None:
    with pytest.raises(Failed, match=reason):
        isolated(work)


def test_the_result_is_returned() -> None:
    assert isolated(lambda: 3, 5.0) == 3


def test_work_that_takes_too_long_fails_after_its_time() -> None:
    began = time.monotonic()
    with pytest.raises(Failed, match=r"did not finish within 0\.2 s"):
        isolated(lambda: time.sleep(5), 0.2)
    assert time.monotonic() - began < 3


@pytest.mark.parametrize(
    "harm",
    [
        "sys.stdout.close()",
        "sys.stderr.close()",
        "os.close(1)",
        "os.close(2)",
        "sys.stdout = None; sys.stderr = None",
        "sys.stdout = open(os.devnull, 'w')",
        "print('noise')",
        "sys.stdout.write('noise')",
    ],
)
def test_standard_streams_stay_open_and_stdout_stays_clean(harm: str) -> None:
    code = (
        "import os, sys\nfrom polydiff.core.isolate import isolated\n"
        f"def work():\n    {harm}\n"
        "isolated(work)\nprint('alive')\nprint('alive too', file=sys.stderr)\nos.write(1, b'')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, env=os.environ)
    assert (done.returncode, done.stdout) == (0, "alive\n")
    assert "alive too" in done.stderr
    assert "Traceback" not in done.stderr
