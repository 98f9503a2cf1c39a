"""Cases that several tests share: control."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from oracles import dense, euclidean, packed
from torch import Tensor

from polydiff.core.conditions import Condition
from polydiff.core.space import Euclidean, Measurement, Space, State
from polydiff.gaussian.schedule.base import Schedule
from polydiff.gaussian.schedule.closed_forms import EDM

SPACES: dict[str, Callable[[int], Space]] = {
    "euclidean": euclidean,
    "dense": lambda b: dense(b, 5),
    "packed": lambda b: packed(b, 5),
}


def part(space: Space) -> Tensor:
    """Return a mask of the first two atoms, or of the first of the two rows of a Euclidean state."""
    if isinstance(space, Euclidean):
        return torch.tensor([[1.0], [0.0]])
    atoms = (torch.arange(7 if hasattr(space, "mask") else 5) < 2).double()[:, None]
    return atoms if hasattr(space, "mask") else atoms.repeat(space.batch, 1)


@dataclass
class Correlated:
    """E[x_0 | x] of N(mean, covariance) on R^d: mean + S (S + s^2)^-1 (x - mean)."""

    mean: Tensor
    covariance: Tensor
    schedule: Schedule = field(default_factory=lambda: EDM(sigma_max=40.0))
    sigma_data: float = 1.0

    def __call__(self, x: State, sigma: Tensor, space: Space, cond: Condition | None = None) -> State:
        values, vectors = torch.linalg.eigh(self.covariance)
        shrink = values / (values + space.expand(sigma) ** 2)
        return self.mean + ((x - self.mean) @ vectors * shrink) @ vectors.T


MEAN = torch.tensor([0.3, -0.5, 0.2, 0.8], dtype=torch.float64)


ROOT = torch.tensor([[1.1, 0, 0, 0], [0.6, 0.7, 0, 0], [-0.3, 0.5, 0.6, 0], [0.4, 0.1, 0.5, 0.9]], dtype=torch.float64)


COVARIANCE = ROOT @ ROOT.T


A = torch.tensor([[1.0, 0.5, -0.2, 0.1], [0.3, -1.0, 0.4, 0.6]], dtype=torch.float64)


Y = torch.tensor([0.7, -0.4], dtype=torch.float64)


def matrix(batch: int) -> Measurement:
    """Return the measurement by A."""
    return Measurement(lambda x: x @ A.T, lambda y: y @ A, Euclidean(batch, (2,), dtype=torch.float64))


def vectors(batch: int) -> Euclidean:
    """Return R^4, float64."""
    return Euclidean(batch, (4,), dtype=torch.float64)


def level(space: Space, sigma: float) -> Tensor:
    """Return the same noise level for each sample, (B,)."""
    return torch.full((space.batch,), sigma, dtype=torch.float64)
