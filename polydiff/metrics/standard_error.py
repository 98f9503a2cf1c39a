"""How sure a number is that was measured on n samples: its standard error, in closed form, the same each time.

A standard error is the standard deviation that a number would have if n other samples were drawn and judged anew, by
the same model; it holds nothing of what another training would change. Two thirds of such numbers lie within one of
the expected value, 95 % within two.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike


class Number(NamedTuple):
    """A number and its standard error; NaN for what has no meaning."""

    value: float
    error: float = math.nan


def share(part: int, whole: int) -> Number:
    """Return p = part / whole of independent samples, NaN of nothing.

    Its error is half the width of Wilson's interval at one standard deviation (Wilson, 1927,
    https://doi.org/10.2307/2276774), sqrt(p (1 - p) / n + 1 / 4n^2) / (1 + 1 / n), which is not 0 where all samples
    agree.
    """
    if not whole:
        return Number(math.nan)
    p, n = part / whole, whole
    return Number(p, math.sqrt(p * (1 - p) / n + 1 / (4 * n * n)) / (1 + 1 / n))


def mean(values: Sequence[float]) -> Number:
    """Return the mean of independent values and s / sqrt(n), NaN of nothing; of a single value no error."""
    if not len(values):
        return Number(math.nan)
    x = np.asarray(values, np.float64)
    return Number(float(x.mean()), float(x.std(ddof=1)) / math.sqrt(len(x)) if len(x) > 1 else math.nan)


def median(values: Sequence[float]) -> Number:
    """Return the median of independent values, NaN of nothing.

    Its error is half the distance of the order statistics sqrt(n) / 2 ranks below and above it, whatever their law.
    """
    n = len(values)
    if not n:
        return Number(math.nan)
    ranks = np.clip((n - 1) / 2 + np.array([-0.5, 0.5]) * math.sqrt(n), 0, n - 1)
    low, high = np.quantile(np.asarray(values, np.float64), ranks / max(n - 1, 1))
    return Number(float(np.median(values)), float(high - low) / 2 if n > 1 else math.nan)


def ratio(parts: ArrayLike, wholes: ArrayLike) -> Number:
    """Return sum_i a_i / sum_i b_i over independent samples, such as stable atoms over atoms; its error by jackknife.

    Arguments:
        parts: a (n,).
        wholes: b (n,).
    """
    a, b = np.asarray(parts, np.float64), np.asarray(wholes, np.float64)
    if not b.sum():
        return Number(math.nan)
    rest = b.sum() - b
    known = rest > 0  # else nothing is left without that sample
    without = (a.sum() - a[known]) / rest[known]
    return Number(float(a.sum() / b.sum()), jackknife(without) if known.all() else math.nan)


def jackknife(without: ArrayLike) -> float:
    """Return the standard error sqrt((m - 1) / m sum_i (v_i - mean v)^2) of a statistic; NaN of less than two values.

    It needs no law of the samples, and holds for counts of distinct ones too (Efron & Stein, 1981,
    https://doi.org/10.1214/aos/1176345462).

    Arguments:
        without: v (m,), the statistic without sample i, or without group i of m groups of like sizes.
    """
    v = np.asarray(without, np.float64)
    return math.sqrt((len(v) - 1) / len(v) * float(((v - v.mean()) ** 2).sum())) if len(v) > 1 else math.nan
