"""Tests of `polydiff.gaussian.objective.mean_flow`."""

from __future__ import annotations

import math

import pytest
import torch
from fewstep_cases import LOSS, SCHEDULE, SPACES, TOP, Bent, average, gradient
from oracles import euclidean
from torch.testing import assert_close

from polydiff.core.conditions import STEP
from polydiff.core.objective import Moment
from polydiff.core.streams import streams
from polydiff.gaussian.denoise import Denoiser
from polydiff.gaussian.loss.base import Loss
from polydiff.gaussian.objective.jumps import Jump
from polydiff.gaussian.objective.mean_flow import MeanFlow


@pytest.mark.parametrize("space", SPACES)
def test_the_gradient_at_the_exact_mean_velocity_vanishes_with_a(space: str) -> None:
    """It is of order a^2 before the weight 1 / a. Denoising has none; a wrong mean velocity keeps one."""
    n, worst = 48, []
    for stages in (4, 6):
        objective = MeanFlow(LOSS, finest=2**20, stages=stages)
        grad = gradient(objective, average, SPACES[space](n), progress=0.999)
        mask = objective.jump_mask(n, 999)
        assert_close(grad[~mask], torch.zeros(n - int(mask.sum())).double(), atol=1e-9, rtol=0)
        worst.append(grad[mask].abs().max().item())
    assert 0 < worst[1] < worst[0] / 3
    bent = gradient(
        objective, lambda s, step: average(s, step) + torch.where(step.isnan(), 0.0, 0.1), SPACES[space](n), 0.999
    )
    assert bent[mask].abs().min().item() > 0.01


@pytest.mark.parametrize("progress", [0.0, 0.5, 0.99])
def test_the_goal_is_the_mean_of_the_velocity_of_the_path_and_that_of_the_rest(progress: float) -> None:
    """h u(x_t, t, h) = a h (eps - x_0) + (1 - a) h u(x_s, s, (1 - a) h), with s = t - a h and u = (x - D) / t."""
    space, denoiser = euclidean(3), Denoiser(Bent(), SCHEDULE, "edm")
    objective, moment = MeanFlow(Loss(), stages=4), Moment(round(1000 * progress), 1000, denoiser)
    x_0, eps = (space.noise(streams(0, name, range(3))) for name in "xe")
    level = torch.tensor([0.0, 1.0, 2.0], dtype=torch.float64)
    t, h = TOP * torch.tensor([1.0, 0.5, 0.75], dtype=torch.float64), TOP / 2**level
    a = {0.0: 1 / 2, 0.5: 1 / 8, 0.99: 1 / 16}[progress]
    s, rest = space.expand(t - a * h), torch.log2((1 - a) * h / TOP)
    x_s = (1 - s) * x_0 + s * eps
    sigma = (t - a * h) / (1 - (t - a * h))
    u_s = (x_s - denoiser(x_s / (1 - s), sigma, space, {STEP: rest})) / s
    x_t = space.expand(1 - t) * x_0 + space.expand(t) * eps
    u_t = a * (eps - x_0) + (1 - a) * u_s
    goal = objective.goal(denoiser, moment, x_0, eps, Jump(t, h, level), space, None)
    assert_close(goal, x_t - space.expand(t) * u_t, rtol=1e-10, atol=1e-10)
    assert objective.weight(moment) == 1 / a


def test_options_out_of_range_raise_an_error() -> None:
    for options in ({"stages": 0}, {"stages": 21}, {"share": 1.0}, {"finest": 3}):
        with pytest.raises(ValueError, match=r"stages must|share must|finest must"):
            MeanFlow(Loss(), **options)  # type: ignore[arg-type]
    assert math.isclose(MeanFlow(Loss(), stages=3).weight(Moment(1000, 1000, None)), 8)  # type: ignore[arg-type]
