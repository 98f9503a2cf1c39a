"""Outcomes of checks."""

from __future__ import annotations

from collections.abc import Callable
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
    except Exception as error:  # noqa: BLE001 - a domain may fail in any way, and each is a failed check
        return Check(name, False, one_line(error))
