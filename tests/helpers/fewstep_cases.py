"""Cases that several tests share: fewstep."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from oracles import dense, euclidean, packed
from torch import Tensor, nn

from polydiff.core.conditions import STEP, Condition
from polydiff.core.space import Batch, Space, State, sqnorm
from polydiff.core.streams import streams
from polydiff.gaussian.denoise import Denoiser
from polydiff.gaussian.loss.base import Loss
from polydiff.gaussian.objective.base import Moment
from polydiff.gaussian.objective.easy_consistency import ECT
from polydiff.gaussian.schedule.base import Schedule
from polydiff.gaussian.schedule.closed_forms import EDM

SPACES: dict[str, Callable[[int], Any]] = {
    "euclidean": euclidean,
    "dense": lambda batch: dense(batch, 5),
    "packed": lambda batch: packed(batch, 5),
}


SCHEDULE = EDM(sigma_min=1e-9, sigma_max=80.0)


LOSS = Loss(times="log_normal", times_options={"mean": 0.0, "std": 2.0}, weighting="edm")


@dataclass(frozen=True)
class Given:
    """A space whose noise is given."""

    space: Any
    eps: State

    def noise(self, generators: Sequence[torch.Generator]) -> State:
        return self.eps

    def __getattr__(self, name: str) -> Any:
        return getattr(self.space, name)


def factorial(space: Any) -> tuple[Given, State]:
    """x_0 and noise with the second moments of N(0, P) exactly, for each sample: |x_0|^2 = |eps|^2 = d, and orthogonal.

    A loss that is quadratic in a network that is linear in x then has the gradient that is expected of Gaussian data.
    """
    x_0, eps = space.noise(streams(0, "x", range(space.batch))), space.noise(streams(0, "e", range(space.batch)))
    eps = eps - space.expand(space.sum(x_0 * eps) / sqnorm(space, x_0)) * x_0
    x_0, eps = (x * space.expand((space.dim / sqnorm(space, x)).sqrt()) for x in (x_0, eps))
    return Given(space, eps), x_0


class Gain(nn.Module):
    """A network that makes D(x, s, step) = (gain(s, step) + bend) x, with one trainable number `bend` a sample."""

    def __init__(self, batch: int, gain: Callable[[Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        self.gain, self.bend = gain, nn.Parameter(torch.zeros(batch, dtype=torch.float64))

    def forward(self, x: State, log_sigma: Tensor, space: Space, cond: Condition | None = None) -> State:
        s = log_sigma.exp()
        step = (cond or {}).get(STEP, torch.full_like(s, math.nan))
        n = torch.sqrt(1 + s**2)  # edm with sigma_data = 1: D = x / n^2 + s / n F, of an input x / n
        f: State = x * space.expand((self.gain(s, step) + self.bend) * n - 1 / n) * space.expand(n / s)
        return f


class Bent(nn.Module):
    """An arbitrary nonlinear network that depends on all of its arguments."""

    def forward(self, x: State, log_sigma: Tensor, space: Space, cond: Condition | None = None) -> State:
        assert cond is not None
        step = torch.nan_to_num(cond[STEP], nan=-9.0)
        return torch.tanh(2 * x + space.expand(torch.sin(log_sigma + step)))


def network(batch: int, gain: Callable[[Tensor, Tensor], Tensor]) -> Denoiser:
    return Denoiser(Gain(batch, gain), SCHEDULE, "edm")


def gradient(objective: Any, gain: Callable[[Tensor, Tensor], Tensor], space: Any, progress: float = 0.0) -> Tensor:
    """d loss_i / d bend_i at bend = 0, on the factorial design, at evenly spread quantiles."""
    fixed, x_0 = factorial(space)
    denoiser = network(space.batch, gain)
    u = (torch.arange(space.batch).double() + 0.5) / space.batch
    moment = Moment(round(progress * 1000), 1000, denoiser)
    losses, sigma = objective(denoiser, Batch(x_0, fixed), u, [], moment)
    assert losses.shape == sigma.shape == (space.batch,)
    losses.sum().backward()
    bend = denoiser.backbone.bend
    assert isinstance(bend, nn.Parameter)
    assert bend.grad is not None
    return bend.grad


def ect(**options: Any) -> ECT:
    return ECT(LOSS, **options)


TOP = SCHEDULE.sigma_max / (1 + SCHEDULE.sigma_max)


def average(s: Tensor, step: Tensor) -> Tensor:
    """The gain of D whose step d, by DDIM's row, is the exact flow of data N(0, P): x_2 = sqrt((1+s_2^2)/(1+s^2)) x."""
    t_2 = (s / (1 + s) - TOP * 2**step).clamp(min=0)
    s_2 = t_2 / (1 - t_2)
    r = s_2 / s
    gain = (torch.sqrt((1 + s_2**2) / (1 + s**2)) - r) / (1 - r)
    return torch.where(step.isnan(), 1 / (1 + s**2), gain)


@dataclass
class Recorder:
    """A denoiser that records the conditions it is given, and returns half of the state and a learned variance."""

    schedule: Schedule = field(default_factory=EDM)
    sigma_data: float = 1.0
    conditions: list[Condition] = field(default_factory=list)

    @property
    def sizes(self) -> list[Tensor]:
        """The step sizes among the conditions of all calls."""
        return [cond[STEP] for cond in self.conditions]

    def __call__(self, x: State, sigma: Tensor, space: Space, cond: Condition | None = None) -> State:
        assert cond is not None
        self.conditions.append(cond)
        return x / 2

    def with_variance(
        self, x: State, sigma: Tensor, space: Space, cond: Condition | None = None
    ) -> tuple[State, State]:
        return self(x, sigma, space, cond), torch.full_like(x, 0.25)
