"""Adaptive projected guidance: guidance with less of the part that only makes estimates larger.

Symbols: w scale, D_c strong, D_u weak, d = D_c - D_u, beta momentum, r radius, B batch size, R rows of
a state.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor

from polydiff.core.space import Space, State, per_sample, sqnorm
from polydiff.gaussian.guidance.method import GUIDANCE, Method, Only, divide


class Memory(NamedTuple):
    """The running average after the last evaluation of a run.

    Attributes:
        sigma: Noise levels of that evaluation, shape (B,).
        average: The running average of d there, (R, ...).
        before: The average that it was computed from, that of the noise level above, (R, ...).
    """

    sigma: Tensor
    average: State
    before: State


@dataclass
class Projected:
    r"""D = D_c + (w - 1) (d_perp + eta d_par) (Sadat et al., 2024, algorithm 1, https://arxiv.org/abs/2410.02416).

    d_par is the part of d along D_c, which saturates estimates; d_perp is the rest. Before d is split it is changed
    twice. It becomes the running average d + beta d_before, where beta < 0 moves away from the direction of the last
    steps. Then |d| is cut to at most r sqrt(dim), the paper's threshold, so r means the same for states of every size.

    The average belongs to one run: use one object for each run, as `Model.sample` does. It restarts for a sample whose
    noise level rises. A second evaluation at one level (Heun's method) replaces the first one in the average.

    Arguments:
        scale: w.
        eta: Share of the parallel part that is kept; 1: all.
        radius: r, the largest root mean square of d.
        momentum: beta, above -1 and at most 0; 0: no average.

    Raises:
        ValueError: An argument is out of range.
    """

    scale: float
    eta: float = 0.0
    radius: float = math.inf
    momentum: float = 0.0
    memory: Memory | None = field(default=None, init=False, repr=False)

    def __post_init__(self) -> None:
        if not self.radius > 0:
            raise ValueError(f"radius must be above 0, not {self.radius}.")
        if not -1 < self.momentum <= 0:
            raise ValueError(f"momentum must be above -1 and at most 0 (none), not {self.momentum}.")
        if not math.isfinite(self.eta):
            raise ValueError(f"eta must be a finite number, not {self.eta}.")
        self.eta = float(self.eta)

    @property
    def only(self) -> Only:
        return "strong" if self.scale == 1 else None

    def __call__(self, strong: State, weak: State, x: State, sigma: Tensor, space: Space) -> State:
        d = strong - weak
        if self.momentum:
            d = self.average(d, sigma, space)
        size = (sqnorm(space, d) / space.dim.clamp(min=1)).sqrt()
        d = d * space.expand(divide(torch.full_like(size, self.radius), size, otherwise=1.0).clamp(max=1))
        along = divide(space.sum(d * strong), sqnorm(space, strong), otherwise=0.0)
        return strong + (self.scale - 1) * (d - (1 - self.eta) * space.expand(along) * strong)

    def average(self, d: State, sigma: Tensor, space: Space) -> State:
        """Return d + beta (the average at the noise level above), (R, ...), and store it; sigma is () or (B,)."""
        before, sigma = torch.zeros_like(d), per_sample(sigma, d, space)
        if self.memory is not None and self.memory.average.shape == d.shape:
            fell, same = sigma < self.memory.sigma, sigma == self.memory.sigma
            before = torch.where(space.expand(same), self.memory.before, before)
            before = torch.where(space.expand(fell), self.memory.average, before)
        average = d + self.momentum * before
        self.memory = Memory(sigma, average.detach(), before)
        return average


@GUIDANCE.register("apg")
def apg(scale: float, rows: object, eta: float = 0.0, radius: float = math.inf, momentum: float = 0.0) -> Method:
    """Return adaptive projected guidance. Arguments as in `Projected`; rows, the sampler's plan, are not used."""
    return Projected(scale, eta, radius, momentum)
