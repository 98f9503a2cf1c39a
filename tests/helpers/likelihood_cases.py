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
    """A space whose noise has squared norm E |eps|^2 = dim and is orthogonal to a state.

    For a linear denoiser every term of a bound is quadratic in the noise, so one such draw gives its exact mean.
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
    """Return the denoiser of N(0, std^2), a batch of states whose space is a `Level`, and their -log p, (B,)."""
    mean = 0 * space.noise(streams(0, "mean", range(space.batch)))
    x_0 = 0.8 * std * space.noise(streams(0, "x", range(space.batch)))
    denoiser = GaussianDenoiser(mean, std, SCHEDULES[name](), sigma_data=std)
    return denoiser, Batch(x_0, Level(space, x_0)), -log_normal(space, x_0, std**2)


def elsewhere(space: Space, x: State) -> State:
    """Return a state with each molecule translated; Euclidean states stay."""
    moved = x.clone()
    if not isinstance(space, Euclidean):
        moved[..., :3] += 3.0
    return moved
