"""Exact denoisers, flows and errors that samplers and losses are compared with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from polydiff.core.conditions import Condition
from polydiff.core.space import Euclidean, Space, State
from polydiff.core.streams import streams
from polydiff.domains.molecule.space import DenseMolecules, PackedMolecules
from polydiff.gaussian.sampling.execute import run_plan
from polydiff.gaussian.sampling.plan import Row
from polydiff.gaussian.schedule.base import Schedule
from polydiff.gaussian.schedule.closed_forms import EDM


@dataclass
class GaussianDenoiser:
    """The exact denoiser E[x_0 | x] of x_0 = mean + std P eps on any space, with mean in the space.

    D = (s^2 mean + std^2 x) / (s^2 + std^2). `calls` counts the evaluations.
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
    """Return the space R^(2 x 3), float64."""
    return Euclidean(batch, (2, 3), dtype=torch.float64)


def dense(batch: int, atoms: int, features: int = 2) -> DenseMolecules:
    """Return a dense space of molecules of one size, padded by two atoms, float64."""
    space = DenseMolecules.of_sizes(torch.full((batch,), atoms), features, torch.float64)
    return DenseMolecules(torch.nn.functional.pad(space.mask, (0, 2)), features, torch.float64)


def packed(batch: int, atoms: int, features: int = 2) -> PackedMolecules:
    """Return a packed space of molecules of one size, float64."""
    return PackedMolecules.of_sizes(torch.full((batch,), atoms), features, torch.float64)


def exact_flow(x: torch.Tensor, s0: float, s1: float, mean: float, std: torch.Tensor) -> torch.Tensor:
    """Solve the probability-flow ODE of a Gaussian from s0 to s1: x - mean scales as sqrt(std^2 + s^2)."""
    return mean + (x - mean) * torch.sqrt((std**2 + s1**2) / (std**2 + s0**2))


def convergence(rows_of: Callable[[list[float]], list[Row]], steps: tuple[int, ...]) -> float:
    """Return the order of convergence on a Gaussian with three standard deviations and levels uniform in log s.

    It is the slope of log error against log steps. The start is far above the data: there, the first steps of multistep
    methods, which have a lower order, make only a small error.

    Arguments:
        rows_of: Noise levels -> rows of a plan.
        steps: Numbers of steps to compare.
    """
    space, mean, top, bottom = euclidean(1), 0.5, 5000.0, 0.2
    std = torch.tensor([0.3, 0.6, 1.0], dtype=torch.float64)
    x = top * space.noise(streams(0, "x", [0]))

    def denoiser(x: torch.Tensor, sigma: torch.Tensor, space: Space, cond: None = None) -> torch.Tensor:
        s2 = space.expand(sigma.to(x) ** 2)
        return (s2 * mean + std**2 * x) / (s2 + std**2)

    errors = []
    for n in steps:
        levels = [top * (bottom / top) ** (i / n) for i in range(n + 1)]
        *_, last = run_plan(rows_of(levels), denoiser, x, space, None, streams(0, "y", [0]))
        errors.append((last.x - exact_flow(x, top, bottom, mean, std)).norm().item())
    return -float(np.polyfit(np.log(steps), np.log(errors), 1)[0])
