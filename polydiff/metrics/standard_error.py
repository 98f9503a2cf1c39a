"""Standard errors of numbers measured on n samples, in closed form and without random numbers.

The standard error of a number is its standard deviation over repetitions, in which the same model draws n other
samples. It does not include the variation between trainings. About two thirds of such numbers are within one standard
error of the expected value, and 95 % are within two.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike


class Number(NamedTuple):
    """A number and its standard error; NaN marks a value or an error that has no meaning."""

    value: float
    error: float = math.nan


def share(part: int, whole: int) -> Number:
    """Return the share p = part / whole of n = whole independent samples; NaN if n = 0.

    Its error is half the width of Wilson's interval at one standard deviation (Wilson, 1927,
    https://doi.org/10.2307/2276774), sqrt(p (1 - p) / n + 1 / 4n^2) / (1 + 1 / n). It is not 0 if all samples agree.
    """
    if not whole:
        return Number(math.nan)
    p, n = part / whole, whole
    return Number(p, math.sqrt(p * (1 - p) / n + 1 / (4 * n * n)) / (1 + 1 / n))


def mean(values: Sequence[float]) -> Number:
    """Return the mean of n independent values, with the error s / sqrt(n); NaN if n = 0, error NaN if n = 1."""
    if not len(values):
        return Number(math.nan)
    x = np.asarray(values, np.float64)
    return Number(float(x.mean()), float(x.std(ddof=1)) / math.sqrt(len(x)) if len(x) > 1 else math.nan)


def median(values: Sequence[float]) -> Number:
    """Return the median of n independent values; NaN if n = 0, error NaN if n = 1.

    Its error is half the distance between the order statistics sqrt(n) / 2 ranks below and above it. This holds for
    every distribution of the values.
    """
    n = len(values)
    if not n:
        return Number(math.nan)
    ranks = np.clip((n - 1) / 2 + np.array([-0.5, 0.5]) * math.sqrt(n), 0, n - 1)
    low, high = np.quantile(np.asarray(values, np.float64), ranks / max(n - 1, 1))
    return Number(float(np.median(values)), float(high - low) / 2 if n > 1 else math.nan)


def ratio(parts: ArrayLike, wholes: ArrayLike) -> Number:
    """Return sum_i a_i / sum_i b_i over n independent samples, such as stable atoms over atoms, with a jackknife error.

    Arguments:
        parts: a, shape (n,).
        wholes: b, shape (n,). If its sum is 0, the number is NaN.
    """
    a, b = np.asarray(parts, np.float64), np.asarray(wholes, np.float64)
    if not b.sum():
        return Number(math.nan)
    rest = b.sum() - b
    known = rest > 0  # without any other sample, nothing would be left to divide by
    without = (a.sum() - a[known]) / rest[known]
    return Number(float(a.sum() / b.sum()), jackknife(without) if known.all() else math.nan)


def jackknife(without: ArrayLike) -> float:
    """Return the standard error sqrt((m - 1) / m sum_i (v_i - mean v)^2) of a statistic; NaN if m < 2.

    It assumes no distribution of the samples, and also holds for the number of distinct samples (Efron & Stein, 1981,
    https://doi.org/10.1214/aos/1176345462).

    Arguments:
        without: v, shape (m,): v_i is the statistic without sample i, or without group i of m groups of similar sizes.
    """
    v = np.asarray(without, np.float64)
    return math.sqrt((len(v) - 1) / len(v) * float(((v - v.mean()) ** 2).sum())) if len(v) > 1 else math.nan
