r"""Self-conditioning: a network that is told what it thought of the clean state one step before.

In training, every second step first estimates without an estimate and without gradient, and then learns to better that:

$$ \hat x = D(x, s, \varnothing), \qquad \text{loss of } D(x, s, \hat x). $$

In the other steps it is told none, as at the beginning of sampling. Each step of a sampler is told the estimate of the
step before, guidance and known parts included. (Chen et al., Analog Bits, 2023, https://arxiv.org/abs/2208.04202)

Symbols: s noise level, D estimate.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from polydiff.conditions import ESTIMATE
from polydiff.denoise import Denoise, with_variance
from polydiff.guidance import Wrapper
from polydiff.space import Condition, Space, State


@dataclass
class Memory:
    """The last estimate: of which space, at which noise levels (B,)."""

    space: Space | None = None
    sigma: Tensor = field(default_factory=lambda: torch.empty(0))
    estimate: State = field(default_factory=lambda: torch.empty(0))


@dataclass(frozen=True, eq=False)
class SelfConditioned(Wrapper):
    """A denoiser that is told its own last estimate, as long as the noise does not grow; it serves one run.

    Arguments:
        denoiser: Trained with `backbone.self_condition`; guided or not.
    """

    memory: Memory = field(default_factory=Memory, init=False, repr=False)

    def __call__(self, x: State, sigma: Tensor, space: Space, cond: Condition | None = None) -> State:
        estimate = self.denoiser(x, sigma, space, {**(cond or {}), ESTIMATE: self.recalled(x, sigma, space)})
        self.memory.space, self.memory.sigma, self.memory.estimate = space, sigma, estimate.detach()
        return estimate

    def around(self, wrap: Callable[[Denoise], Denoise]) -> SelfConditioned:
        return SelfConditioned(wrap(self.denoiser))

    def recalled(self, x: State, sigma: Tensor, space: Space) -> State:
        """Return the last estimate of these samples, NaN where there is none: noise that grew begins something else."""
        if self.memory.space is not space:
            return torch.full_like(x, math.nan)
        later = space.expand(sigma <= self.memory.sigma)
        return torch.where(later, self.memory.estimate, math.nan)

    def with_variance(
        self, x: State, sigma: Tensor, space: Space, cond: Condition | None = None
    ) -> tuple[State, Tensor]:
        told = {**(cond or {}), ESTIMATE: self.recalled(x, sigma, space)}
        return self(x, sigma, space, cond), with_variance(self.denoiser, x, sigma, space, told)[1]
