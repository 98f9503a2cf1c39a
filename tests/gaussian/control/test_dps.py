"""Tests of `polydiff.gaussian.control.dps`."""

from __future__ import annotations

import math

import pytest
import torch
from control_cases import COVARIANCE, MEAN, A, Correlated, Y, matrix, vectors
from torch.testing import assert_close

from polydiff.core.streams import streams
from polydiff.gaussian.control.dps import PosteriorSampling
from polydiff.gaussian.guidance.first_order_steps import first_order
from polydiff.gaussian.sampling.execute import run_plan
from polydiff.gaussian.sampling.plan import SAMPLERS
from polydiff.gaussian.sampling.spacing import noise_levels
from polydiff.gaussian.schedule.base import SCHEDULES


def test_posterior_sampling_is_the_published_algorithm() -> None:
    """Algorithm 1 of Chung et al., 2022, DDPM's mean in the vp frame, with the gradient in closed form."""
    schedule, zeta = SCHEDULES["linear"](), 0.6
    levels = noise_levels(schedule, 8, "time")
    prior, space = Correlated(MEAN, COVARIANCE, schedule), vectors(3)
    rows = SAMPLERS["ddim"](levels)
    wrapper = PosteriorSampling(
        prior, lambda x: x @ A.T, Y.expand(3, 2), matrix(3).space, first_order(rows, "DPS"), zeta
    )
    start = levels[0] * space.noise(streams(0, "x", range(3)))
    bar = [1 / (1 + s**2) for s in levels]
    x = math.sqrt(bar[0]) * start
    eye = torch.eye(4, dtype=torch.float64)
    for i in range(8):
        s2 = levels[i] ** 2
        jacobian = COVARIANCE @ torch.linalg.inv(COVARIANCE + s2 * eye) / math.sqrt(bar[i])
        x_0 = MEAN + (x / math.sqrt(bar[i]) - MEAN) @ (jacobian * math.sqrt(bar[i])).T
        r = Y - x_0 @ A.T
        gradient = -2 * r @ A @ jacobian
        eps = (x - math.sqrt(bar[i]) * x_0) / math.sqrt(1 - bar[i])
        x = math.sqrt(bar[i + 1]) * x_0 + math.sqrt(1 - bar[i + 1]) * eps
        x = x - zeta / r.norm(dim=1, keepdim=True) * gradient
    *_, last = run_plan(rows, wrapper, start, space, None, ())
    assert_close(last.x, x, rtol=1e-8, atol=1e-8)
    with pytest.raises(ValueError, match="DPS is defined by what a first-order step does"):
        first_order(SAMPLERS["heun"](levels), "DPS")
