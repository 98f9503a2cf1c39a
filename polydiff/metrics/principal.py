r"""The largest standard deviation of data along any direction.

Networks of sets of points know no order of the points and no orientation, and neither does the noise. So what counts is
the distribution in which every order and every rotation is equally likely. Features f_i of the N points of a set then
have the second moments

- of $g = \sum_i f_i / \sqrt N$, along the directions that all points share. They grow with N, as those of the
  brightness of a picture grow with its pixels;
- of differences between points, $(\mathrm E \sum_i f_i f_i^T - \mathrm E g g^T) / (N - 1)$.

Positions and features are uncorrelated, because every rotation is equally likely.

Symbols: n sets, K features, N points of a set.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from polydiff.core.streams import stream

LARGEST = 0.1
"""Share of the sets, those with the most points, that is also measured alone."""
STEPS = 20
"""Steps of the power iteration. The result is a lower bound, within a percent unless many directions are alike."""


def principal_std(x: Tensor) -> float:
    """Return the standard deviation of examples (N, D) along their first principal component, 0 for one example.

    It is the root of the largest eigenvalue of the covariance, by power iteration from a fixed start. With fewer
    examples than dimensions, noise in the data raises it.
    """
    x = x.float() - x.float().mean(0)
    v = torch.rand(x.shape[1], generator=stream(0, "principal")) - 0.5
    for _ in range(STEPS):
        v = x.T @ (x @ (v / v.norm().clamp_min(1e-30)))
    along = x @ (v / v.norm().clamp_min(1e-30))
    return float(along.double().square().mean().sqrt())


def principal_std_of_sets(positions: Tensor, sums: Tensor, products: Tensor, sizes: Tensor) -> float:
    """Return the largest root mean square of sets of points along any direction, of all sets or of the largest ones.

    Arguments:
        positions: Mean square of each set's positions along their directions (n,).
        sums: Sum of the features of each set (n, K).
        products: Sum of the products of the features of each point, for each set (n, K, K).
        sizes: Number of points of each set (n,).
    """
    largest = largest_sets(sizes)
    found = [
        max(float(r.mean()), *feature_moments(*features))
        for r, features in (
            (positions, (sums, products, sizes)),
            (positions[largest], (sums[largest], products[largest], sizes[largest])),
        )
    ]
    return math.sqrt(max(found))


def largest_sets(sizes: Tensor) -> Tensor:
    """Return the indices of the share `LARGEST` of sets that have the most points, from their sizes (n,)."""
    order = torch.argsort(-sizes, stable=True)
    return order[: max(1, round(LARGEST * len(sizes)))]


def feature_moments(sums: Tensor, products: Tensor, sizes: Tensor) -> list[float]:
    """Return the largest second moments of features: along directions that all points share, and of differences.

    Arguments: as in `principal_std_of_sets`.
    """
    sums, products, sizes = sums.double(), products.double(), sizes.double()
    n = len(sums)
    shared = sums / sizes.sqrt()[:, None]
    found = [shared.T @ shared / n]
    if (several := sizes > 1).any():
        between = shared[several, :, None] * shared[several, None]
        found.append(((products[several] - between) / (sizes[several] - 1)[:, None, None]).sum(0) / int(several.sum()))
    return [float(torch.linalg.eigvalsh(moments)[-1]) for moments in found]
