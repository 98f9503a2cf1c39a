"""The Wasserstein distance between two sets of numbers."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike


def wasserstein(a: ArrayLike, b: ArrayLike) -> float:
    """Return the Wasserstein-1 distance between two sets of numbers, shapes (n,) and (m,), in the numbers' unit.

    It is the average distance that the numbers of one set must move to get the distribution of the other, which is the
    integral of |F_a(x) - F_b(x)| over x with F(x) the share of numbers up to x. The result is exact. NaN if a set is
    empty.
    """
    x, y = (np.sort(np.asarray(values, np.float64)) for values in (a, b))
    if not (len(x) and len(y)):
        return math.nan
    ends = np.sort(np.concatenate([x, y]))
    of_x, of_y = (np.searchsorted(values, ends[:-1], "right") / len(values) for values in (x, y))
    return float(np.abs(of_x - of_y) @ np.diff(ends))
