"""Cases that several tests share: exact mixtures of Gaussians."""

from __future__ import annotations

import torch
from torch import Tensor

from polydiff.testing.analytic import GaussianMixture
from polydiff.testing.problems import gauss, rotations


def mixture(kind: str) -> GaussianMixture:
    """Return a mixture of three components in four dimensions, with one kind of basis."""
    means, variances = gauss(1, 3, 4), 0.1 + gauss(2, 3, 4).square()
    basis = {"axes": None, "shared": rotations(3, 4)[0], "own": rotations(3, 4, 3)}[kind]
    return GaussianMixture(means, variances, torch.tensor([1.0, 2.0, 3.0]), basis, labels=torch.tensor([0, 1, 1]))


def covariances(m: GaussianMixture) -> Tensor:
    """Return U V U^T of each component, (K, d, d)."""
    basis = torch.eye(m.means.shape[1], dtype=torch.float64) if m.basis is None else m.basis
    return (basis * m.variances[:, None]) @ basis.mT


def levels(n: int, s: float) -> Tensor:
    """Return the same noise level for n vectors."""
    return torch.full((n,), s, dtype=torch.float64)
