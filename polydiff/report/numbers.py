"""How a number and its standard error are written, on a page and on a terminal.

An error is written to one or two digits, and its number to as many decimal places: 0.912 ± 0.008. What has no meaning,
such as a share of no samples, is None in JSON, NaN in Python and a dash in a table.
"""

from __future__ import annotations

import math
from typing import Any

DASH = "\N{EN DASH}"
MOST_PLACES = 4
"""Decimal places, beyond those that the digits of the error need, up to which numbers are written out."""


def number(value: Any) -> float:
    """Return a JSON value as a float, NaN if it is none."""
    try:
        return float(value)
    except (TypeError, ValueError):
        return math.nan


def places(error: float, digits: int = 1) -> int:
    """Return how many decimal places show an error above 0 to so many digits."""
    rounded = float(f"{error:.{digits - 1}e}")  # 0.00998 is 0.01
    return max(digits - 1 - math.floor(math.log10(rounded)), 0)


def with_error(value: Any, error: Any = None, digits: int = 1) -> str:
    """Return a number and, where it is known, its standard error.

    Arguments:
        value: The number; None or NaN has no meaning.
        error: Its standard error; None or NaN is not known, and 0 is not shown.
        digits: Digits of the error.
    """
    value, error = number(value), number(error)
    if math.isnan(value) or not error > 0:
        return figures(value)
    shown = places(error, digits)
    if shown > MOST_PLACES + digits:
        return f"{figures(value)} ± {error:.{digits - 1}e}"
    return f"{value:,.{shown}f} ± {error:,.{shown}f}"


def figures(value: float) -> str:
    """Return a number to three digits, or as a whole number from 1000 on; a dash for NaN."""
    if math.isnan(value):
        return DASH
    return f"{value:,.0f}" if 1000 <= abs(value) < 1e7 else f"{value:.3g}"
