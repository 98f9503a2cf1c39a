r"""Self-conditioning: a network conditioned on its own estimate of the clean state from the step before.

In training, every second step computes an estimate first, without a previous one and without gradient. It then trains
the network conditioned on that estimate:

$$ \hat x = D(x, s, \varnothing), \qquad \text{loss of } D(x, s, \hat x). $$

The other training steps, and the first step of a sampler, are given no estimate. Every later step of a sampler is given
the estimate of the step before, with guidance and known values. (Chen et al., Analog Bits, 2023,
https://arxiv.org/abs/2208.04202)

Symbols: s noise level, D estimate, B batch size, R rows of a state.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from polydiff.core.conditions import ESTIMATE, Condition
from polydiff.core.space import Space, State, per_sample
from polydiff.gaussian.denoise import Denoise, with_variance
from polydiff.gaussian.wrapper import Wrapper


@dataclass
class Memory:
    """The last estimate, (R, ...), with its space and its noise levels, (B,)."""

    space: Space | None = None
    sigma: Tensor = field(default_factory=lambda: torch.empty(0))
    estimate: State = field(default_factory=lambda: torch.empty(0))


@dataclass(frozen=True, eq=False)
class SelfConditioned(Wrapper):
    """A denoiser conditioned on its own last estimate, unless the noise level rose; use one object for each run.

    Arguments:
        denoiser: The wrapped denoiser, trained with `backbone.self_condition`, guided or not.
    """

    memory: Memory = field(default_factory=Memory, init=False, repr=False)

    def __call__(self, x: State, sigma: Tensor, space: Space, cond: Condition | None = None) -> State:
        given = {**(cond or {}), ESTIMATE: self.previous_estimate(x, sigma, space)}
        return self.remember(self.denoiser(x, sigma, space, given), sigma, space)

    def with_variance(
        self, x: State, sigma: Tensor, space: Space, cond: Condition | None = None
    ) -> tuple[State, Tensor]:
        """Return the estimate of the clean state and the learned variance v, each of the shape of x.

        Arguments:
            x: Noisy states, (R, ...).
            sigma: Noise levels, () or (B,).
            space: Where x lives.
            cond: Conditions without the estimate; None: no others.
        """
        given = {**(cond or {}), ESTIMATE: self.previous_estimate(x, sigma, space)}
        estimate, v = with_variance(self.denoiser, x, sigma, space, given)
        return self.remember(estimate, sigma, space), v

    def around(self, wrap: Callable[[Denoise], Denoise]) -> SelfConditioned:
        return SelfConditioned(wrap(self.denoiser))

    def previous_estimate(self, x: State, sigma: Tensor, space: Space) -> State:
        """Return the last estimate of these samples, (R, ...); NaN if there is no last one or the noise level rose.

        Arguments:
            x: Noisy states, (R, ...).
            sigma: Their noise levels, () or (B,).
            space: Where they live; another space object means other samples.
        """
        if self.memory.space is not space:
            return torch.full_like(x, math.nan)
        later = space.expand(per_sample(sigma, x, space) <= self.memory.sigma)
        return torch.where(later, self.memory.estimate, math.nan)

    def remember(self, estimate: State, sigma: Tensor, space: Space) -> State:
        """Store an estimate at noise levels () or (B,) for the next call, and return it."""
        self.memory.space, self.memory.sigma = space, per_sample(sigma, estimate, space)
        self.memory.estimate = estimate.detach()
        return estimate
