"""Guidance by the gradient of any log-likelihood of a property given a noisy state.

Symbols: y the condition, s noise level, P projector of the space.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from polydiff.core.conditions import Condition
from polydiff.core.space import Space, State, per_sample
from polydiff.gaussian.gradients import gradients, plain, variable
from polydiff.gaussian.wrapper import Wrapper

LogProb = Callable[[State, Tensor, Space], Tensor]
"""(x, sigma, space) -> log p(y | x, s) of each sample, up to a constant, for autograd; sigma and result are (B,)."""


@dataclass(frozen=True, eq=False)
class Classifier(Wrapper):
    r"""D' = D + w s^2 P grad_x log p(y | x, s) (Dhariwal & Nichol, 2021, https://arxiv.org/abs/2105.05233).

    By Bayes' rule this is E[x_0 | x, y] for w = 1. The log-likelihood must be that of noisy states. It may be any
    differentiable function of torch, such as a classifier or a regressor, on any space.

    Arguments:
        denoiser: The guided denoiser.
        log_prob: log p(y | x, s), for each sample by itself.
        scale: w; 0: no guidance.
    """

    log_prob: LogProb
    scale: float = 1.0

    def __call__(self, x: State, sigma: Tensor, space: Space, cond: Condition | None = None) -> State:
        estimate = self.denoiser(x, sigma, space, cond)
        if self.scale == 0:
            return estimate
        sigma = per_sample(sigma, x, space)
        with gradients():
            noisy = variable(x)
            (gradient,) = torch.autograd.grad(self.log_prob(noisy, plain(sigma), space).sum(), noisy)
        return estimate + space.expand(self.scale * sigma**2) * space.project(gradient)
