r"""The Frechet distance between Gaussians fitted to the features of two sets,

$$ |\mu_1 - \mu_2|^2 + \operatorname{tr} \left( S_1 + S_2 - 2 (S_1^{1/2} S_2 S_1^{1/2})^{1/2} \right) $$

(Dowson and Landau, 1982, https://doi.org/10.1016/0047-259X(82)90077-X). On small sets it is biased upwards, so compare
only distances of equal numbers of examples. A few unusual examples can double the distance of a small set; the mean
over several sets of that size has the same bias and a standard error.

Symbols: mu mean, S covariance, N and M numbers of examples, D number of features.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from polydiff.metrics.standard_error import Number, mean


def gaussian(features: Tensor) -> tuple[Tensor, Tensor]:
    """Return the mean (D,) and the covariance (D, D), in float64, of features (N, D) with N > 1."""
    features = features.double()
    return features.mean(0), torch.atleast_2d(features.T.cov())


def frechet(first: tuple[Tensor, Tensor], second: tuple[Tensor, Tensor]) -> float:
    """Return the (squared) Frechet distance between two Gaussians, computed from eigenvalues of symmetric matrices.

    Arguments:
        first: Mean (D,) and covariance (D, D).
        second: Mean (D,) and covariance (D, D).
    """
    (mean_1, cov_1), (mean_2, cov_2) = first, second
    values, vectors = torch.linalg.eigh(cov_1)
    root = (vectors * values.clamp(min=0).sqrt()) @ vectors.T
    cross = torch.linalg.eigvalsh(root @ cov_2 @ root).clamp(min=0).sqrt().sum()
    distance = (mean_1 - mean_2).square().sum() + cov_1.trace() + cov_2.trace() - 2 * cross
    return max(float(distance), 0.0)


def frechet_distance(first: Tensor, second: Tensor) -> float:
    """Return the Frechet distance between two sets of features, (N, D) and (M, D).

    NaN if a set has fewer than two examples or holds a number that is not finite.
    """
    if min(len(first), len(second)) < 2 or not all(bool(x.isfinite().all()) for x in (first, second)):
        return math.nan
    return frechet(gaussian(first), gaussian(second))


def frechet_of_subsets(first: Tensor, second: Tensor, n: int) -> Number:
    """Return the mean Frechet distance of subsets of a first set to a second one, with its standard error.

    Arguments:
        first: Features (N, D), dealt out in order to floor(N / n) disjoint subsets; the rest is left out. If N < n, the
            set is the only subset.
        second: Features (M, D).
        n: Number of examples of a subset, which sets the bias.

    Returns:
        The mean; its error is NaN with one subset. NaN as in `frechet_distance`.
    """
    subsets = first[: max(len(first) // n, 1) * n].split(n)
    return mean([frechet_distance(subset, second) for subset in subsets])
