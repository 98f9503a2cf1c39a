"""Closed forms that the core is measured against."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from polydiff.domains.molecule.space import DenseMolecules, PackedMolecules
from polydiff.schedule import EDM, Schedule
from polydiff.space import Condition, Euclidean, Space, State


@dataclass
class GaussianDenoiser:
    """E[x_0 | x] of x_0 = mean + std P eps on any space, mean on the space too.

    D = (s^2 mean + std^2 x) / (s^2 + std^2).
    """

    mean: State
    std: float
    schedule: Schedule = field(default_factory=EDM)
    calls: int = 0
    sigma_data: float = 1.0

    def __call__(self, x: State, sigma: Tensor, space: Space, cond: Condition | None = None) -> State:
        self.calls += 1
        s2 = space.expand(sigma.to(x) ** 2)
        return (s2 * self.mean + self.std**2 * x) / (s2 + self.std**2)


def euclidean(batch: int) -> Euclidean:
    """R^(2 x 3), float64."""
    return Euclidean(batch, (2, 3), dtype=torch.float64)


def dense(batch: int, atoms: int, features: int = 2) -> DenseMolecules:
    """Molecules of one size, padded by two rows, float64."""
    space = DenseMolecules.of_sizes(torch.full((batch,), atoms), features, torch.float64)
    return DenseMolecules(torch.nn.functional.pad(space.mask, (0, 2)), features, torch.float64)


def packed(batch: int, atoms: int, features: int = 2) -> PackedMolecules:
    """Molecules of one size, stacked, float64."""
    return PackedMolecules.of_sizes(torch.full((batch,), atoms), features, torch.float64)
