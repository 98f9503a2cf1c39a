"""Tests of `polydiff.gaussian.objective.shortcut`."""

from __future__ import annotations

import math

import pytest
import torch
from fewstep_cases import LOSS, SCHEDULE, SPACES, TOP, Bent, average, gradient
from hypothesis import given
from hypothesis import strategies as st
from oracles import euclidean
from torch import Tensor
from torch.testing import assert_close

from polydiff.core.conditions import STEP
from polydiff.core.objective import Moment
from polydiff.core.space import State
from polydiff.core.streams import streams
from polydiff.gaussian.denoise import Denoiser
from polydiff.gaussian.loss.base import Loss
from polydiff.gaussian.objective.jumps import Jump
from polydiff.gaussian.objective.shortcut import Shortcut


@pytest.mark.parametrize("space", SPACES)
def test_shortcut_has_no_gradient_at_the_exact_average_velocity(space: str) -> None:
    """Exactly so but for the finest jumps, whose two halves count as d = 0: these tend to 0 with the step."""
    worst = []
    for finest in (16, 64):
        objective = Shortcut(LOSS, share=0.5, finest=finest)
        n = 48
        grad = gradient(objective, average, SPACES[space](n))
        jump, jumps = objective.jumps((torch.arange(n).double() + 0.5) / n, SCHEDULE), objective.jump_mask(n, 0)
        last = jumps & (jump.level == math.log2(finest) - 1)
        assert_close(grad[~last], torch.zeros(n - int(last.sum())).double(), atol=1e-9, rtol=0)
        worst.append(grad[last & (jump.t > 1.5 * jump.size)].abs().max().item())
    assert worst[1] < worst[0] / 4
    bent = gradient(
        objective, lambda s, step: average(s, step) + torch.where(step.isnan(), 0.01, 0.0), SPACES[space](n)
    )
    assert bool((bent[~jumps] > 0.01).all())


def test_the_goal_is_the_mean_of_two_velocities() -> None:
    """u(x_t, t, 2d) = (u(x_t, t, d) + u(x_{t-d}, t-d, d)) / 2, with x_t = (1 - t) x_0 + t eps and u = (x_t - D) / t."""
    space, denoiser = euclidean(4), Denoiser(Bent(), SCHEDULE, "edm")
    x_0, eps = (space.noise(streams(0, name, range(4))) for name in "xe")
    level = torch.tensor([0.0, 1.0, 2.0, 6.0], dtype=torch.float64)
    t = TOP * torch.tensor([1.0, 0.5, 0.75, 40 / 64], dtype=torch.float64)
    d = TOP / 2 ** (level + 1)

    def velocity(x: State, t: Tensor, step: Tensor) -> State:
        s = t / (1 - t)
        return (x - denoiser(x / space.expand(1 - t), s, space, {STEP: step})) / space.expand(t)

    step = torch.tensor([-1.0, -2.0, -3.0, math.nan], dtype=torch.float64)  # 1 / 128 of the way counts as d = 0
    x_t = space.expand(1 - t) * x_0 + space.expand(t) * eps
    u_1 = velocity(x_t, t, step)
    u_2 = velocity(x_t - space.expand(d) * u_1, t - d, step)
    moment = Moment(0, 1000, denoiser)
    goal = Shortcut(Loss()).goal(denoiser, moment, x_0, eps, Jump(t, 2 * d, level), space, None)
    assert_close(goal, x_t - space.expand(t) * (u_1 + u_2) / 2, rtol=1e-10, atol=1e-10)


@given(st.integers(1, 8), st.integers(1, 200))
def test_jumps_start_at_multiples_of_their_size_and_stay_on_the_way(power: int, n: int) -> None:
    objective = Shortcut(Loss(), finest=2**power)
    u = ((torch.arange(n * power).double() + 0.5) / (n * power)).clamp(1e-7, 1 - 1e-7)
    t, size, level = objective.jumps(u, SCHEDULE)
    assert_close((t / size).round(), t / size)
    assert bool((t - size > -1e-12).all())
    assert bool((t <= TOP * (1 + 1e-12)).all())
    assert torch.bincount(level.long()).tolist() == [n] * power


def test_the_share_of_self_consistency_is_spread_over_the_batch() -> None:
    assert Shortcut(Loss()).jump_mask(12, 0).nonzero()[:, 0].tolist() == [2, 6, 10]
    assert Shortcut(Loss(), share=0.5).jump_mask(64, 5).sum() == 32
    for options in ({"share": 1.0}, {"share": 0.0}, {"finest": 100}, {"finest": 1}):
        with pytest.raises(ValueError, match=r"share must|finest must"):
            Shortcut(Loss(), **options)  # type: ignore[arg-type]


@given(st.integers(1, 40), st.floats(0.01, 0.9))
def test_the_share_is_right_over_steps_at_every_place_of_any_batch(n: int, share: float) -> None:
    """The discrepancy of 1000 steps by the golden ratio is below 3 log(1000) / 1000; a step is off by less than 1."""
    objective, steps = Shortcut(Loss(), share=share), 1000
    chosen = torch.stack([objective.jump_mask(n, step) for step in range(steps)]).double()
    assert_close(chosen.mean(0), torch.full((n,), share).double(), atol=0.02, rtol=0)
    assert bool(((chosen.sum(1) - n * share).abs() < 1.001).all())
    assert torch.equal(objective.jump_mask(n, 7), objective.jump_mask(n, 7))
