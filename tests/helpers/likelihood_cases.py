"""Cases that several tests share: likelihood."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from oracles import GaussianDenoiser
from torch import Tensor

from polydiff.core.space import Batch, Euclidean, Space, State, sqnorm
from polydiff.core.streams import streams
from polydiff.gaussian.likelihood.terms import log_normal
from polydiff.gaussian.schedule.base import SCHEDULES

F64 = torch.float64


@dataclass
class Level:
    """A space whose noise has the norm that it has on average, and is orthogonal to a state: expectations in one draw.

    For linear denoisers every term of a bound is a quadratic of the noise, so these draws give its mean exactly.
    """

    whole: Space
    across: State

    def __getattr__(self, name: str) -> Any:
        return getattr(self.whole, name)

    def noise(self, generators: Sequence[torch.Generator]) -> State:
        eps = self.whole.noise(generators)
        along = self.whole.sum(eps * self.across) / sqnorm(self.whole, self.across)
        eps = eps - self.whole.expand(along) * self.across
        return eps * self.whole.expand((self.whole.dim / sqnorm(self.whole, eps)).sqrt())


def gaussian(space: Space, std: float, name: str = "edm") -> tuple[GaussianDenoiser, Batch, Tensor]:
    """A Gaussian of this deviation, states at its mean plus something, and their -log p."""
    mean = 0 * space.noise(streams(0, "mean", range(space.batch)))
    x_0 = 0.8 * std * space.noise(streams(0, "x", range(space.batch)))
    denoiser = GaussianDenoiser(mean, std, SCHEDULES[name](), sigma_data=std)
    return denoiser, Batch(x_0, Level(space, x_0)), -log_normal(space, x_0, std**2)


def elsewhere(space: Space, x: State) -> State:
    """Move every molecule as a whole; a vector stays."""
    moved = x.clone()
    if not isinstance(space, Euclidean):
        moved[..., :3] += 3.0
    return moved
