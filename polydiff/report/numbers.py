"""Formatting of a number with its standard error, on the report page and on the terminal.

A standard error has one or two digits, and its number as many decimal places: 0.912 ± 0.008. A number without an error
has four significant figures. An undefined number, such as a share of no samples, is None in JSON, NaN in Python and a
dash in a table.
"""

from __future__ import annotations

import math
from typing import Any

DASH = "\N{EN DASH}"
MAX_PLACES = 4
"""Decimal places, beyond the digits of the error after its first, above which a smaller error has an exponent."""
FIGURES = 4
"""Significant figures of a number without a standard error."""


def number(value: Any) -> float:
    """Return a JSON value as a float; NaN if it is not a number."""
    try:
        return float(value)
    except (TypeError, ValueError):
        return math.nan


def places(error: float, digits: int = 1) -> int:
    """Return the number of decimal places that show an error above 0 to `digits` digits."""
    rounded = float(f"{error:.{digits - 1}e}")  # 0.00998 is 0.01
    return max(digits - 1 - math.floor(math.log10(rounded)), 0)


def with_error(value: Any, error: Any = None, digits: int = 1) -> str:
    """Return a number and, if known, its standard error as text.

    Arguments:
        value: The number; None or NaN if undefined.
        error: Its standard error; None or NaN if unknown. An error of 0 is not shown.
        digits: Number of digits of the error.
    """
    value, error = number(value), number(error)
    if math.isnan(value) or not error > 0:
        return figures(value)
    shown = places(error, digits)
    if shown > MAX_PLACES + digits:
        return f"{figures(value)} ± {error:.{digits - 1}e}"
    return f"{value:,.{shown}f} ± {error:,.{shown}f}"


def figures(value: float) -> str:
    """Return a number to four significant figures, or as a whole number from 1000 on; a dash for NaN."""
    if math.isnan(value):
        return DASH
    return f"{value:,.0f}" if 1000 <= abs(value) < 1e7 else f"{value:.{FIGURES}g}"
