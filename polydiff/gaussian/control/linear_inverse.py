r"""Inverse problems with a linear operator: sample x_0 given a linear measurement of it, with any trained model.

With y = A x_0 + sigma_y n, and with p(x_0 | x) approximated by N(D, C),

$$ E[x_0 | x, y] \approx D + s^2 J^T A^* (A C A^* + \sigma_y^2)^{-1} (y - A D), \qquad J = \partial D / \partial x, $$

which is a denoiser again, so every sampler can sample given y. The exact covariance of x_0 given x is C = s^2 J.

Symbols: A operator, A* its adjoint, y measurement, s `sigma`, sd `sigma_data`, J the Jacobian
of the denoiser, B batch size, R rows of a state.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from polydiff.core.conditions import Condition
from polydiff.core.entry import check_states
from polydiff.core.space import Measurement, Space, State
from polydiff.gaussian.control.measurement import conjugate_gradient
from polydiff.gaussian.gradients import gradients, plain, plain_condition, variable
from polydiff.gaussian.wrapper import Wrapper


@dataclass(frozen=True, eq=False)
class Measured(Wrapper):
    """E[x_0 | x, y] for a linear measurement, by one evaluation and one or more backward passes.

    covariance = "isotropic": C = s^2 sd^2 / (s^2 + sd^2), that of Gaussian data of standard deviation sd, for which it
    is exact. One backward pass. Pi-GDM (Song et al., Pseudoinverse-guided diffusion models for inverse problems, ICLR
    2023, https://openreview.net/forum?id=9_gsMA8MRKQ).

    covariance = "jacobian": C = s^2 J^T, exact for all Gaussian data. One more backward pass for each iteration of the
    solver. Moment matching (Rozet et al., 2024, https://arxiv.org/abs/2405.13712).

    Arguments:
        denoiser: The wrapped denoiser, differentiable in x.
        measurement: A, A* and the space of y.
        y: The measurements.
        noise: sigma_y, standard deviation of each element of y.
        covariance: "isotropic" or "jacobian".
        iterations: Largest number of iterations of the solver; use few if the Jacobian is only nearly symmetric.

    Raises:
        ValueError: An argument is out of range.
    """

    measurement: Measurement
    y: Tensor
    noise: float = 0.0
    covariance: Literal["isotropic", "jacobian"] = "isotropic"
    iterations: int = 50

    def __post_init__(self) -> None:
        if self.covariance not in ("isotropic", "jacobian"):
            raise ValueError(f"covariance must be 'isotropic' or 'jacobian', not {self.covariance!r}.")
        if self.noise < 0 or self.iterations < 1:
            raise ValueError("noise must be at least 0 and iterations at least 1.")
        check_states(self.y, self.measurement.space, name="y")

    def __call__(self, x: State, sigma: Tensor, space: Space, cond: Condition | None = None) -> State:
        measurement = self.measurement
        estimate, back = linearised(self, x, sigma, space, cond)
        s2 = sigma.to(x.dtype) ** 2

        def spread(z: State) -> State:
            if self.covariance == "jacobian":
                return space.expand(s2) * back(z)
            return space.expand(s2 * self.sigma_data**2 / (s2 + self.sigma_data**2)) * z

        def K(v: Tensor) -> Tensor:
            lifted = spread(space.project(measurement.adjoint(v)))
            return self.noise**2 * v + measurement.forward(lifted)

        residual = self.y.to(x) - measurement.forward(estimate)
        z = conjugate_gradient(K, residual, measurement.space, self.iterations)
        return estimate + space.expand(s2) * back(space.project(measurement.adjoint(z)))


def linearised(
    wrapper: Wrapper, x: State, sigma: Tensor, space: Space, cond: Condition | None
) -> tuple[State, Callable[[State], State]]:
    """Return D(x), (R, ...), and the function z -> P J^T z on states, J the Jacobian of the wrapped denoiser at x.

    Arguments:
        wrapper: Holds the denoiser.
        x: Noisy states, (R, ...).
        sigma: Noise levels, () or (B,).
        space: Where x lives; P is its projector.
        cond: Conditions.
    """
    with gradients():
        noisy = variable(x)
        estimate = wrapper.denoiser(noisy, plain(sigma), space, plain_condition(cond))

    def back(z: State) -> State:
        with gradients(False):
            (gradient,) = torch.autograd.grad(estimate, noisy, plain(z), retain_graph=True)
        return space.project(gradient)

    return estimate.detach(), back
