"""Inverse problems with any differentiable operator: a gradient step after each step of a sampler.

Symbols: A operator, y measurement, zeta size of the gradient's step, s_0 and s_1 noise levels of the sampler's step.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from polydiff.core.conditions import Condition
from polydiff.core.entry import check_states
from polydiff.core.space import Space, State, sqnorm
from polydiff.gaussian.gradients import gradients, plain, plain_condition, variable
from polydiff.gaussian.guidance.first_order_steps import Steps
from polydiff.gaussian.guidance.method import divide
from polydiff.gaussian.wrapper import Wrapper


@dataclass(frozen=True, eq=False)
class PosteriorSampling(Wrapper):
    r"""Diffusion posterior sampling: x_1 <- x_1 - zeta / |r| grad |r|^2, r = y - A(D(x)) (Chung et al., 2022).

    x is the state at s_0, and grad is with respect to x. This is algorithm 1 of https://arxiv.org/abs/2209.14687 with a
    constant zeta'. The paper's frame is alpha x, alpha = 1 / sqrt(1 + s^2); in the frame x = x_0 + s eps the gradient
    step is zeta sqrt((1 + s_0^2) (1 + s_1^2)) / |r| grad |r|^2. A first-order step x_1 = F x + (1 - F) D' takes it with
    the estimate D' = D - (gradient step) / (1 - F).

    The measurement need not be linear. For a linear one, `Measured` needs no step size and works with every sampler.

    Arguments:
        denoiser: The wrapped denoiser, differentiable in x.
        forward: A, from states to measurements, differentiable, for each sample by itself.
        y: The measurements, of the shape that `forward` returns.
        space: Space of the measurements, for each sample's norm.
        steps: Steps of the sampler in use, of order 1 (`polydiff.gaussian.guidance.first_order`).
        zeta: zeta', the size of the gradient step; 0.3 to 1 in the paper.
    """

    forward: Callable[[State], Tensor]
    y: Tensor
    space: Space
    steps: Steps
    zeta: float = 1.0

    def __post_init__(self) -> None:
        check_states(self.y, self.space, name="y")

    def __call__(self, x: State, sigma: Tensor, space: Space, cond: Condition | None = None) -> State:
        with gradients():
            noisy = variable(x)
            estimate = self.denoiser(noisy, plain(sigma), space, plain_condition(cond))
            square = sqnorm(self.space, self.y.to(noisy) - self.forward(estimate))
            (gradient,) = torch.autograd.grad(square.sum(), noisy)
        factor, to = (column.to(x.dtype) for column in self.steps.find(sigma))
        sigma = sigma.to(x.dtype)
        size = self.zeta * ((1 + sigma**2) * (1 + to**2)).sqrt() / (1 - factor)
        size = divide(size, square.detach().sqrt(), otherwise=0.0)
        return estimate.detach() - space.expand(size) * space.project(gradient)
