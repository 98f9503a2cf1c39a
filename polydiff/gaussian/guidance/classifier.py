"""Guidance by anything that can say how likely a property is.

Symbols: y the condition, s noise level, P projector of the space.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from polydiff.core.conditions import Condition
from polydiff.core.space import Space, State, per_sample
from polydiff.gaussian.wrapper import Wrapper

LogProb = Callable[[State, Tensor, Space], Tensor]
"""(x, sigma, space) -> log p(y | x) for each noisy state, up to a constant, for autograd; result and sigma are (B,)."""


@dataclass(frozen=True, eq=False)
class Classifier(Wrapper):
    r"""D' = D + w s^2 P grad_x log p(y | x, s) (Dhariwal & Nichol, 2021, https://arxiv.org/abs/2105.05233).

    By Bayes' rule this is E[x_0 | x, y] for w = 1. The classifier must know noisy states; it may be any function of
    torch, a classifier or a regressor, on any space.

    Arguments:
        denoiser: What is guided.
        log_prob: log p(y | x, s), of each sample by itself.
        scale: w.
    """

    log_prob: LogProb
    scale: float = 1.0

    def __call__(self, x: State, sigma: Tensor, space: Space, cond: Condition | None = None) -> State:
        estimate = self.denoiser(x, sigma, space, cond)
        if self.scale == 0:
            return estimate
        sigma = per_sample(sigma, x, space)
        with torch.enable_grad():
            noisy = x.detach().requires_grad_()
            (gradient,) = torch.autograd.grad(self.log_prob(noisy, sigma, space).sum(), noisy)
        return estimate + space.expand(self.scale * sigma**2) * space.project(gradient)
