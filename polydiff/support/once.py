"""Warnings of a command, each printed once: a command may open the same data or run several times."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from polydiff.support.launched import launched

_printed: list[list[str]] = []
"""Texts of the warnings that the callers of `each_warning_once` have printed, the innermost last."""


@contextmanager
def each_warning_once() -> Iterator[None]:
    """Within this context, print each warning as its message alone, and a repeated message not at all."""
    formatted, warnings.formatwarning = warnings.formatwarning, plain
    _printed.append([])
    try:
        yield
    finally:
        _printed.pop()
        warnings.formatwarning = formatted


def printed() -> str:
    """Return all warnings that the command has printed so far, as one text; "" outside of `each_warning_once`."""
    return "\n".join(_printed[-1]) if _printed else ""


def plain(message: Warning | str, category: type[Warning], filename: str, lineno: int, line: str | None = None) -> str:
    """Format a warning as its message alone, in place of `warnings.formatwarning`.

    It is "" if the message was printed before, and in all but the first of several processes.

    Arguments:
        message: The warning.
        category: Unused, as are the others: the line of code that raised a warning is not shown.
        filename: Unused.
        lineno: Unused.
        line: Unused.
    """
    text = str(message)
    if _printed:
        if text in _printed[-1]:
            return ""
        _printed[-1].append(text)
    return f"polydiff: {text}\n" if launched().rank == 0 else ""
