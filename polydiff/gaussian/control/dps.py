"""Inverse problems with any differentiable operator, by a gradient step beside each step of a sampler.

Symbols: A operator, y measurement, zeta size of the gradient's step, s_0 and s_1 noise levels of the sampler's step.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from polydiff.core.conditions import Condition
from polydiff.core.space import Space, State, sqnorm
from polydiff.gaussian.guidance.first_order_steps import Steps
from polydiff.gaussian.guidance.method import divide
from polydiff.gaussian.wrapper import Wrapper


@dataclass(frozen=True, eq=False)
class PosteriorSampling(Wrapper):
    r"""Diffusion posterior sampling: x_1 <- x_1 - zeta / |r| grad |r|^2, r = y - A(D(x_0)) (Chung et al., 2022).

    Algorithm 1 of https://arxiv.org/abs/2209.14687, with zeta' constant, written for the vp frame alpha x with
    alpha = 1 / sqrt(1 + s^2); in ours the step is zeta sqrt((1 + s_0^2) (1 + s_1^2)) / |r| grad |r|^2. A first-order
    step x_1 = F x + (1 - F) D makes it where D' = D - (that) / (1 - F).

    The measurement need not be linear. For a linear one `Measured` needs no step size and works with every sampler.

    Arguments:
        denoiser: What is wrapped.
        forward: A, State -> measurement, differentiable, of each sample by itself.
        y: What was measured.
        space: Where measurements live: one sample's norm.
        steps: Of the sampler that it is used with (`polydiff.gaussian.guidance.first_order`).
        zeta: zeta'; 0.3 to 1 in the paper.
    """

    forward: Callable[[State], Tensor]
    y: Tensor
    space: Space
    steps: Steps
    zeta: float = 1.0

    def __call__(self, x: State, sigma: Tensor, space: Space, cond: Condition | None = None) -> State:
        with torch.enable_grad():
            variable = x.detach().requires_grad_()
            estimate = self.denoiser(variable, sigma, space, cond)
            square = sqnorm(self.space, self.y.to(x) - self.forward(estimate))
            (gradient,) = torch.autograd.grad(square.sum(), variable)
        factor, to = (column.to(x.dtype) for column in self.steps.find(sigma))
        sigma = sigma.to(x.dtype)
        size = self.zeta * ((1 + sigma**2) * (1 + to**2)).sqrt() / (1 - factor)
        size = divide(size, square.detach().sqrt(), otherwise=0.0)
        return estimate.detach() - space.expand(size) * space.project(gradient)
