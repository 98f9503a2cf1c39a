"""Numbers measured of samples and of data, counted in common bins, and pairs of what was asked for and measured."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from polydiff.metrics.results import Measured

Array = NDArray[np.float64]

BINS = 20
TAILS = 0.005
"""Share of the numbers at each end that fall into the outermost bins, however far out they are."""
WHOLE = 40
"""Most bins of whole numbers, one each."""
PAIRS = 500
"""Most pairs that are kept and drawn."""


def summary(value: Measured, data: Measured) -> dict[str, Any]:
    """Return samples' numbers beside real ones' as JSON: counts of common bins, and pairs of asked and measured.

    A number that a sample does not have is in no bin, and None in its pair.
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
        "pairs": pairs[:PAIRS],
    }


def finite(values: Sequence[float]) -> Array:
    """Return the finite ones of numbers."""
    x = np.asarray(values, np.float64)
    return x[np.isfinite(x)]


def rounded(value: float) -> float:
    """Return a number to five digits."""
    return float(f"{value:.5g}")


def common_edges(a: Array, b: Array) -> Array:
    """Return edges of bins for two sets of numbers: one a whole number where all are such and few; none of nothing."""
    both = np.concatenate([a, b])
    if not len(both):
        return both
    low, high = both.min(), both.max()
    if (both == both.round()).all() and high - low < WHOLE:
        return np.arange(low, high + 2) - 0.5
    low, high = np.quantile(both, [TAILS, 1 - TAILS])
    if low == high:
        low, high = low - (abs(low) or 1) / 2, high + (abs(high) or 1) / 2
    return np.linspace(low, high, BINS + 1)


def counts(x: Array, edges: Array) -> list[int]:
    """Return how many numbers are in each bin, the outermost open to the outside."""
    if not len(edges):
        return []
    return [int(n) for n in np.histogram(np.clip(x, edges[0], edges[-1]), edges)[0]]
