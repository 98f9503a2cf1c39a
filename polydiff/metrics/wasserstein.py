"""The Wasserstein distance between two sets of numbers."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike


def wasserstein(a: ArrayLike, b: ArrayLike) -> float:
    """Return how far, on average, a number of one set must move for the sets to have one distribution.

    It is the integral of |F_a(x) - F_b(x)| over x, F the shares of numbers up to x: exact, for sets of any sizes. In
    the numbers' unit; NaN where a set is empty.
    """
    x, y = (np.sort(np.asarray(values, np.float64)) for values in (a, b))
    if not (len(x) and len(y)):
        return math.nan
    ends = np.sort(np.concatenate([x, y]))
    of_x, of_y = (np.searchsorted(values, ends[:-1], "right") / len(values) for values in (x, y))
    return float(np.abs(of_x - of_y) @ np.diff(ends))
