r"""The kernel distance between two sets of features, or kernel inception distance on features of such a network.

It is the squared maximum mean discrepancy with the polynomial kernel

$$ k(x, y) = \left( \frac{x \cdot y}{D} + 1 \right)^3 $$

(Binkowski et al., 2018, https://arxiv.org/abs/1801.01401). Unlike the Frechet distance it has no bias on small sets,
so values of different numbers of examples can be compared, and it may be below 0 for sets of one distribution.

Symbols: N and M numbers of examples, D number of features, S number of subsets.
"""

from __future__ import annotations

import math

from torch import Tensor

from polydiff.metrics.standard_error import Number, mean

SUBSETS = 10
"""Number of subsets."""


def kernel(x: Tensor, y: Tensor) -> Tensor:
    """Return the kernel of all pairs of features (N, D) and (M, D), shape (N, M)."""
    return (x @ y.T / x.shape[1] + 1) ** 3


def squared_mmd(x: Tensor, y: Tensor) -> float:
    """Return the unbiased estimate of the squared maximum mean discrepancy of features (N, D) and (M, D), N, M > 1."""

    def among(a: Tensor) -> Tensor:
        """Return the mean of the kernel over pairs of different examples of a set."""
        values = kernel(a, a)
        return (values.sum() - values.trace()) / (len(a) * (len(a) - 1))

    return float(among(x) + among(y) - 2 * kernel(x, y).mean())


def kernel_distance(first: Tensor, second: Tensor) -> Number:
    """Return the kernel distance between two sets of features, (N, D) and (M, D), with its standard error.

    Both sets are dealt out to S = 10 subsets like cards, and the distance is the mean of those of the S pairs. The
    pairs share no example, so the distances are independent and their standard error is that of a mean. NaN if a set
    has fewer than 2 S examples or holds a number that is not finite.
    """
    if min(len(first), len(second)) < 2 * SUBSETS or not all(bool(x.isfinite().all()) for x in (first, second)):
        return Number(math.nan)
    x, y = first.double(), second.double()
    return mean([squared_mmd(x[i::SUBSETS], y[i::SUBSETS]) for i in range(SUBSETS)])
