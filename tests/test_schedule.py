"""Schedules against the published formulas, and the laws that all of them keep."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.testing import assert_close

from polydiff.process import q_sample
from polydiff.random import streams
from polydiff.schedule import EDM, SCHEDULES, Cosine, Discrete, RectifiedFlow, Schedule
from polydiff.space import Euclidean


def schedule(name: str) -> Schedule:
    return SCHEDULES[name]()


def alpha_bar(name: str, T: int) -> np.ndarray:
    """The papers' cumulative products, written without the library's tricks."""
    if name == "cosine_betas":
        f = [math.cos((i / T + 0.008) / 1.008 * math.pi / 2) ** 2 for i in range(T + 1)]
        betas = [min(1 - f[i + 1] / f[i], 0.999) for i in range(T)]
    elif name == "linear":
        betas = [1e-4 + i / (T - 1) * (0.02 - 1e-4) for i in range(T)]
    elif name == "quadratic":
        betas = [(1e-4**0.5 + i / (T - 1) * (0.02**0.5 - 1e-4**0.5)) ** 2 for i in range(T)]
    else:
        betas = [1 / (1 + math.exp(6 - 12 * i / (T - 1))) * (0.02 - 1e-4) + 1e-4 for i in range(T)]
    return np.cumprod(1 - np.array(betas))


@pytest.mark.parametrize("name", ["linear", "quadratic", "cosine_betas", "sigmoid_betas"])
@pytest.mark.parametrize("T", [2, 10, 1000])
def test_discrete_schedules_equal_the_published_products(name: str, T: int) -> None:
    s = SCHEDULES[name](T=T)
    t = torch.arange(T, dtype=torch.float64) / (T - 1)
    alpha, sigma = s(t)
    expected = torch.from_numpy(alpha_bar(name, T))
    assert_close(alpha**2, expected, rtol=1e-9, atol=1e-15)
    assert_close(sigma**2, 1 - expected, rtol=1e-9, atol=1e-15)


def test_continuous_schedules_equal_their_formulas() -> None:
    t = torch.linspace(0.001, 0.999, 101, dtype=torch.float64)
    alpha, sigma = Cosine()(t)
    assert_close(alpha, torch.cos(math.pi / 2 * t), rtol=1e-12, atol=1e-15)
    assert_close(sigma, torch.sin(math.pi / 2 * t), rtol=1e-12, atol=1e-15)
    alpha, sigma = RectifiedFlow()(t)
    assert_close(alpha, 1 - t, rtol=1e-12, atol=1e-15)
    assert_close(sigma, t, rtol=1e-12, atol=1e-15)
    alpha, sigma = EDM()(t)
    assert_close(alpha, torch.ones_like(t))
    assert_close(sigma, (0.002 ** (1 / 7) + t * (80 ** (1 / 7) - 0.002 ** (1 / 7))) ** 7)


@pytest.mark.parametrize("name", list(SCHEDULES))
def test_log_snr_decreases_and_time_is_its_inverse(name: str) -> None:
    s = schedule(name)
    t = torch.linspace(0, 1, 10_001, dtype=torch.float64)
    log_snr = s.log_snr(t)
    assert torch.isfinite(log_snr).all()
    assert (log_snr.diff() < 0).all()
    assert_close(s.time(log_snr), t, atol=1e-8, rtol=0)


@pytest.mark.parametrize("name", list(SCHEDULES))
@given(u=st.floats(0, 1))
def test_coefficients_agree_with_the_log_snr_and_the_frame(name: str, u: float) -> None:
    s = schedule(name)
    low, high = s.trained_times()
    t = torch.tensor([low + u * (high - low)], dtype=torch.float64)
    alpha, sigma = s(t)
    assert_close(2 * (alpha / sigma).log(), s.log_snr(t), rtol=1e-9, atol=1e-9)
    assert_close(s.noise_level(t), sigma / alpha, rtol=1e-9, atol=0)
    frame = {"vp": alpha**2 + sigma**2, "ve": alpha, "flow": alpha + sigma, "subvp": alpha**2 + sigma}[s.frame]
    assert_close(frame, torch.ones_like(t), rtol=1e-12, atol=0)


@pytest.mark.parametrize("name", list(SCHEDULES))
def test_trained_times_are_those_of_the_extreme_noise_levels(name: str) -> None:
    s = schedule(name)
    levels = s.noise_level(torch.tensor(s.trained_times(), dtype=torch.float64))
    assert_close(levels, torch.tensor([s.sigma_min, s.sigma_max], dtype=torch.float64), rtol=1e-6, atol=0)


def test_q_sample_has_the_marginal_of_the_forward_chain() -> None:
    """Running the T steps x <- sqrt(1 - beta) x + sqrt(beta) eps gives q_sample's moments at the last."""
    betas = torch.tensor([0.1, 0.3, 0.5], dtype=torch.float64)
    n = 20_000
    space = Euclidean(n, (1,), dtype=torch.float64)
    x = torch.full((n, 1), 2.0, dtype=torch.float64)
    x_t, eps = q_sample(x, torch.ones(n), Discrete(betas), space, streams(0, "noise", range(n)))
    for i, beta in enumerate(betas):
        x = (1 - beta).sqrt() * x + beta.sqrt() * space.noise(streams(i + 1, "chain", range(n)))
    for moment in (torch.mean, torch.std):
        assert abs((moment(x_t) - moment(x)).item()) < 5 * (2 / n) ** 0.5
    assert_close(x_t, 2 * (1 - betas).prod().sqrt() + (1 - (1 - betas).prod()).sqrt() * eps)


def test_betas_outside_the_open_unit_interval_are_refused() -> None:
    with pytest.raises(ValueError, match="strictly between 0 and 1"):
        Discrete(torch.tensor([0.5, 1.0]))
