"""Outcomes of checks."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from polydiff.support.errors import one_line


class Check(NamedTuple):
    """The outcome of one check.

    Attributes:
        name: Name of the check.
        passed: Whether the rule holds.
        detail: What was found, or a sentence about the broken rule.
    """

    name: str
    passed: bool
    detail: str


def attempt(name: str, work: Callable[[], str]) -> Check:
    """Return the outcome of a check; any error that it raises is a failure with the error as its detail."""
    try:
        return Check(name, True, work())
    except AssertionError as error:
        return Check(name, False, str(error))
    except (Exception, SystemExit) as error:  # noqa: BLE001 - a domain may fail in any way, and each is a failed check
        return Check(name, False, f"{one_line(error)}{place(error)}")


def place(error: BaseException) -> str:
    """Return where an error was raised, and which call of a check led there; "" if it is unknown."""
    frames = traceback.extract_tb(error.__traceback__)
    calls = [i for i, frame in enumerate(frames) if Path(frame.filename).parent == Path(__file__).parent]
    if not calls or calls[-1] + 1 == len(frames):
        return ""
    called, last = frames[calls[-1]], frames[-1]
    return f", raised in {last.name} ({Path(last.filename).name}, line {last.lineno}); the check called: {called.line}"
