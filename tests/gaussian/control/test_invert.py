"""Tests of `polydiff.gaussian.control.invert`."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from control_cases import SPACES
from hypothesis import given
from hypothesis import strategies as st
from oracles import GaussianDenoiser, euclidean, packed
from torch.testing import assert_close

from polydiff.core.space import Euclidean, sqnorm
from polydiff.core.streams import streams
from polydiff.gaussian.control.invert import decode, encode, interpolate, slerp, strength_level
from polydiff.gaussian.sampling.execute import run_plan, sample
from polydiff.gaussian.sampling.plan import SAMPLERS
from polydiff.gaussian.sampling.spacing import noise_levels
from polydiff.gaussian.schedule.base import SCHEDULES


@pytest.mark.parametrize("where", list(SPACES))
def test_what_is_encoded_is_decoded(where: str) -> None:
    """The way up is that of the exact flow of a Gaussian, x - m scaled by sqrt(v + s^2); so is the way back."""
    space, std, errors = SPACES[where](2), 0.7, []
    x, mean = (space.noise(streams(k, "x", range(2))) for k in range(2))
    denoiser = GaussianDenoiser(mean, std)
    for steps in (32, 64):
        levels = noise_levels(denoiser.schedule, steps, "karras")
        noisy = encode(denoiser, x, space, levels=levels)
        exact = mean + (x - mean) * math.sqrt((std**2 + levels[0] ** 2) / (std**2 + levels[-2] ** 2))
        errors.append((noisy - exact).abs().max().item() / levels[0])
        assert_close(decode(denoiser, noisy, space, levels=levels), x, rtol=0, atol=20 / steps**2)
    assert math.log2(errors[0] / errors[1]) > 1.8
    with pytest.raises(ValueError, match="levels must fall"):
        encode(denoiser, x, space, levels=[1.0, 2.0, 0.0])


@given(st.sampled_from(list(SPACES)), st.floats(0, 1))
def test_the_arc_keeps_norms_and_space_and_runs_evenly(where: str, u: float) -> None:
    space = SPACES[where](2)
    a, b = (space.noise(streams(k, "x", range(2))) for k in range(2))
    b = b * space.expand((sqnorm(space, a) / sqnorm(space, b)).sqrt())
    middle = slerp(a, b, u, space)
    assert_close(sqnorm(space, middle), sqnorm(space, a), rtol=1e-9, atol=0)
    assert_close(space.project(middle), middle, rtol=0, atol=1e-12)
    angle = (space.sum(a * b) / sqnorm(space, a)).acos()
    assert_close(space.sum(a * middle) / sqnorm(space, a), (u * angle).cos(), rtol=1e-9, atol=1e-9)
    assert_close(slerp(a, a, u, space), a, rtol=1e-9, atol=1e-9)
    assert_close(slerp(b, a, 1 - u, space), middle, rtol=1e-9, atol=1e-9)
    shares = torch.tensor([0.0, u], dtype=torch.float64)
    assert_close(slerp(a, b, shares, space), torch.where(space.expand(torch.tensor([True, False])), a, middle))


def test_an_interpolation_begins_and_ends_where_it_should() -> None:
    space = packed(2, 5)
    a, b = (space.noise(streams(k, "x", range(2))) for k in range(2))
    denoiser = GaussianDenoiser(torch.zeros_like(a), 1.0)
    first, middle, last = interpolate(denoiser, a, b, space, shares=[0.0, 0.5, 1.0], steps=64)
    assert_close(first, a, rtol=0, atol=5e-3)
    assert_close(last, b, rtol=0, atol=5e-3)
    assert_close(middle, slerp(a, b, 0.5, space), rtol=0, atol=5e-3)  # the flow of N(0, P) only scales
    with pytest.raises(ValueError, match="must live on one space"):
        next(interpolate(denoiser, a, b[:5], space, shares=[0.5]))


@given(st.sampled_from(list(SCHEDULES)), st.floats(0.01, 1))
def test_a_strength_is_a_share_of_the_schedules_time(name: str, strength: float) -> None:
    schedule = SCHEDULES[name]()
    found = strength_level(schedule, strength)
    assert schedule.sigma_min < found <= schedule.sigma_max
    assert strength_level(schedule, 1.0) == pytest.approx(schedule.sigma_max, rel=1e-6)
    if strength <= 0.9:
        assert strength_level(schedule, strength + 0.05) > found
    for wrong in (0.0, 1.1, -1.0):
        with pytest.raises(ValueError, match="strength must be above 0"):
            strength_level(schedule, wrong)


def test_an_edit_keeps_as_much_of_its_beginning_as_the_noise_leaves() -> None:
    """From level s, a Gaussian's exact flow gives (x_0 + s xi) std / sqrt(std^2 + s^2)."""
    n, std = 2000, 0.8
    space = euclidean(n)
    x_0 = torch.ones(n, 2, 3, dtype=torch.float64)
    denoiser = GaussianDenoiser(torch.zeros(n, 2, 3, dtype=torch.float64), std)
    for strength in (0.2, 0.4):
        s = strength_level(denoiser.schedule, strength)
        how: dict[str, Any] = {"steps": 40, "sampler": "heun", "spacing": "karras", "init": x_0, "start": s}
        x = sample(denoiser, space, generators=streams(0, "x", range(n)), **how)
        shrink = std / math.sqrt(std**2 + s**2)
        assert x.mean().item() == pytest.approx(shrink, abs=5 * shrink * s / (6 * n) ** 0.5 + 5e-3)
        assert x.std().item() == pytest.approx(shrink * s, rel=0.03, abs=5e-3)


def test_ddim_on_rising_levels_inverts_ddim_on_falling_ones() -> None:
    """To first order in the steps; with noise there is no inverse."""
    space = Euclidean(4, (3,), dtype=torch.float64)
    exact = GaussianDenoiser(torch.full((4, 3), 0.3, dtype=torch.float64), 0.7)
    x = space.noise(streams(0, "x", range(4)))
    errors = []
    for n in (50, 100):
        falling = [10 * (0.1 / 10) ** (i / n) for i in range(n + 1)]
        there = list(run_plan(SAMPLERS["ddim"](falling[::-1]), exact, x, space, None, ()))[-1]
        assert there.sigma == 10
        back = list(run_plan(SAMPLERS["ddim"](falling), exact, there.x, space, None, ()))[-1].x
        errors.append((back - x).abs().max().item())
    assert errors[0] < 0.1
    assert errors[1] < 0.6 * errors[0]
    with pytest.raises(ValueError, match="only the ODE"):
        SAMPLERS["ddim"]([0.1, 1.0], eta=0.5)
