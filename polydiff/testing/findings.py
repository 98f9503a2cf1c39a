"""How a check's outcome is written down."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from polydiff.support.errors import one_line


class Check(NamedTuple):
    """One promise.

    Attributes:
        name: What was checked.
        passed: Whether it is kept.
        detail: What was found, or a sentence about the violated rule.
    """

    name: str
    passed: bool
    detail: str


def attempt(name: str, work: Callable[[], str]) -> Check:
    """Run one check; an error that it raises becomes its finding."""
    try:
        return Check(name, True, work())
    except AssertionError as error:
        return Check(name, False, str(error))
    except Exception as error:  # noqa: BLE001 - a domain may fail in any way, and each way is a finding
        return Check(name, False, one_line(error))
