"""Histograms of a number measured on samples and on data, in common bins; pairs of requested and measured values."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from polydiff.metrics.results import Measured

Array = NDArray[np.float64]

BINS = 20
"""Number of bins of real numbers."""
TAIL_SHARE = 0.005
"""Share of the numbers below the inner range of bins, and above it; they count in the first and the last bin."""
MAX_WHOLE_BINS = 40
"""Largest number of bins with one whole number each."""
MAX_PAIRS = 500
"""Largest number of pairs that are kept and drawn."""


def summary(value: Measured, data: Measured) -> dict[str, Any]:
    """Return histograms of samples and of data, and pairs (requested, measured), as values that JSON can hold.

    A number that is not finite is in no bin. In a pair, such a measured value is None.

    Arguments:
        value: Numbers of the samples, with the requested ones.
        data: Numbers of real examples.
    """
    of_value, of_data = (finite(found.values) for found in (value, data))
    edges = common_edges(of_value, of_data)
    pairs = [
        [rounded(requested), rounded(measured) if math.isfinite(measured) else None]
        for requested, measured in zip(value.requested, value.values, strict=False)
        if math.isfinite(requested)
    ]
    return {
        "unit": value.unit,
        "meaning": value.meaning,
        "edges": [rounded(edge) for edge in edges],
        "value": counts(of_value, edges),
        "data": counts(of_data, edges),
        "pairs": pairs[:MAX_PAIRS],
    }


def finite(values: Sequence[float]) -> Array:
    """Return the finite numbers among values, as an array."""
    x = np.asarray(values, np.float64)
    return x[np.isfinite(x)]


def rounded(value: float) -> float:
    """Return a number rounded to five significant digits."""
    return float(f"{value:.5g}")


def common_edges(a: Array, b: Array) -> Array:
    """Return the edges of common bins for two sets of numbers; an empty array if both are empty.

    Whole numbers over a range of less than `MAX_WHOLE_BINS` have a bin each. Otherwise `BINS` bins of equal width cover
    all numbers but a share of `TAIL_SHARE` at each end.
    """
    both = np.concatenate([a, b])
    if not len(both):
        return both
    low, high = both.min(), both.max()
    if (both == both.round()).all() and high - low < MAX_WHOLE_BINS:
        return np.arange(low, high + 2) - 0.5
    low, high = np.quantile(both, [TAIL_SHARE, 1 - TAIL_SHARE])
    if low == high:
        low, high = low - (abs(low) or 1) / 2, high + (abs(high) or 1) / 2
    return np.linspace(low, high, BINS + 1)


def counts(x: Array, edges: Array) -> list[int]:
    """Return the count of numbers in each bin; the first and the last bin also take all numbers outside the edges."""
    if not len(edges):
        return []
    return [int(n) for n in np.histogram(np.clip(x, edges[0], edges[-1]), edges)[0]]
