"""The Wasserstein distance between two sets of numbers."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

QUANTILES = (np.arange(1000) + 0.5) / 1000


def wasserstein(a: ArrayLike, b: ArrayLike) -> float:
    """Return how far, on average, a number of one set must move for the sets to have one distribution.

    It is the mean over 1000 quantiles q of |F_a^-1(q) - F_b^-1(q)|, in the numbers' unit; NaN where a set is empty.
    """
    x, y = np.asarray(a, np.float64), np.asarray(b, np.float64)
    if not (len(x) and len(y)):
        return math.nan
    return float(np.abs(np.quantile(x, QUANTILES) - np.quantile(y, QUANTILES)).mean())
