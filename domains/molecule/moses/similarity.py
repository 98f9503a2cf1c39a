r"""Tanimoto similarities of fingerprints: means over all pairs, and the nearest.

The similarity of two fingerprints is the number of bits that both have, divided by the number that either has:
$T(a, b) = a \cdot b / (|a| + |b| - a \cdot b)$; it is 1 if neither has any.

Symbols: n and m molecules, K bits. Fingerprints are packed, uint8 (n, K / 8).
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

ROWS = 2000
"""Number of fingerprints of each set that are compared at once."""


def blocks(a: np.ndarray, b: np.ndarray) -> Iterator[tuple[slice, np.ndarray]]:
    """Yield the similarities of some rows of `a` to some of `b`, float64 (rows, columns), after these rows' place."""
    for j in range(0, len(b), ROWS):
        y = np.unpackbits(b[j : j + ROWS], axis=1).astype(np.float32)
        for i in range(0, len(a), ROWS):
            x = np.unpackbits(a[i : i + ROWS], axis=1).astype(np.float32)
            both = (x @ y.T).astype(np.float64)  # whole numbers, exact in float32
            either = x.sum(1, dtype=np.float64)[:, None] + y.sum(1, dtype=np.float64) - both
            yield slice(i, i + len(x)), np.where(either > 0, both / np.maximum(either, 1), 1.0)


def nearest(made: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Return the similarity of each fingerprint to the nearest of a reference, float64 (n,); NaN without reference."""
    found = np.full(len(made), np.nan)
    for rows, similar in blocks(made, reference):
        found[rows] = np.fmax(found[rows], similar.max(1))
    return found


def diversity(made: np.ndarray, p: int = 1) -> float:
    r"""Return $1 - \frac{1}{n} \sum_a \bigl(\frac{1}{n} \sum_b T(a, b)^p\bigr)^{1/p}$; NaN without molecules.

    The paper takes the root of the mean of all pairs. Its package, as this function, takes that of each row.
    """
    if not len(made):
        return float("nan")
    total = np.zeros(len(made))
    for rows, similar in blocks(made, made):
        total[rows] += (similar**p).sum(1)
    return float(1 - ((total / len(made)) ** (1 / p)).mean())
