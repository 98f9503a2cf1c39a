"""Tests of `polydiff.gaussian.schedule.tables`."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from schedule_cases import BY_BETAS
from torch.testing import assert_close

from polydiff.gaussian.schedule.base import SCHEDULES
from polydiff.gaussian.schedule.tables import INFINITE


def alpha_bar(name: str, T: int) -> np.ndarray:
    """The papers' cumulative products, written without the library's tricks."""
    ends = (8.5e-4, 0.012) if name == "scaled_linear" else (1e-4, 0.02)
    curves: dict[str, Callable[[float], float]] = {
        "cosine_betas": lambda t: math.cos((t + 0.008) / 1.008 * math.pi / 2) ** 2,
        "sqrt": lambda t: 1 - math.sqrt(t + 0.0001),
    }
    if name in curves:
        f = [curves[name](i / T) for i in range(T + 1)]
        betas = [min(1 - f[i + 1] / f[i], 0.999) for i in range(T)]
    elif name == "linear":
        betas = [ends[0] + i / (T - 1) * (ends[1] - ends[0]) for i in range(T)]
    elif name in ("quadratic", "scaled_linear"):
        betas = [(ends[0] ** 0.5 + i / (T - 1) * (ends[1] ** 0.5 - ends[0] ** 0.5)) ** 2 for i in range(T)]
    else:
        betas = [1 / (1 + math.exp(6 - 12 * i / (T - 1))) * (ends[1] - ends[0]) + ends[0] for i in range(T)]
    return np.cumprod(1 - np.array(betas))


@pytest.mark.parametrize("name", BY_BETAS)
@pytest.mark.parametrize("T", [2, 10, 1000])
def test_discrete_schedules_equal_the_published_products(name: str, T: int) -> None:
    alpha, sigma = SCHEDULES[name](T=T)(torch.arange(T, dtype=torch.float64) / (T - 1))
    expected = torch.from_numpy(alpha_bar(name, T))
    assert_close(alpha**2, expected, rtol=1e-9, atol=1e-15)
    assert_close(sigma**2, 1 - expected, rtol=1e-9, atol=1e-15)


@pytest.mark.parametrize("name", BY_BETAS)
@pytest.mark.parametrize("T", [2, 3, 10, 1000])
def test_zero_terminal_snr_is_algorithm_1_but_for_a_finite_last_level(name: str, T: int) -> None:
    """Lin et al. (2023), algorithm 1, in numpy."""
    root = np.sqrt(alpha_bar(name, T))
    root = (root - root[-1]) * root[0] / (root[0] - root[-1])
    s = SCHEDULES[name](T=T, zero_terminal_snr=True)
    alpha, sigma = s(torch.arange(T, dtype=torch.float64) / (T - 1))
    assert_close(alpha[:-1], torch.from_numpy(root)[:-1], rtol=1e-8, atol=0)
    assert_close(sigma[:-1] ** 2, torch.from_numpy(1 - root**2)[:-1], rtol=1e-8, atol=1e-14)
    assert root[-1] == 0
    assert alpha[-1] <= 1.0001 / INFINITE
    assert s.sigma_max == pytest.approx(INFINITE)


@pytest.mark.parametrize("T", [2, 4000, 1_000_000])
def test_a_table_of_any_length_keeps_its_noise_levels_finite(T: int) -> None:
    for zero in (False, True):
        s = SCHEDULES["linear"](T=T, zero_terminal_snr=zero)
        assert (s.log_snr(torch.linspace(0, 1, T, dtype=torch.float64)).diff() < 0).all()
        assert 0 < s.sigma_min < s.sigma_max <= INFINITE * (1 + 1e-12)
        low, high = s.trained_times()
        assert 0 <= low < high <= 1


def test_polynomial_2_is_the_published_table() -> None:
    """e3_diffusion_for_molecules' polynomial_schedule and clip_noise_schedule, in numpy, for T = 1000."""
    T, p = 1000, 1e-5
    x = np.linspace(0, T + 1, T + 1)
    alphas2 = (1 - np.power(x / (T + 1), 2)) ** 2
    steps = np.clip(alphas2[1:] / alphas2[:-1], 0.001, 1)
    alphas2 = (1 - 2 * p) * np.concatenate([alphas2[:1], alphas2[:1] * np.cumprod(steps)]) + p
    gamma = -(np.log(alphas2) - np.log(1 - alphas2))
    found = SCHEDULES["polynomial_2"]().log_snr(torch.arange(T + 1, dtype=torch.float64) / T)
    assert_close(-found, torch.from_numpy(gamma), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("options", [{"T": 1000, "offset": 0.01}, {"T": 20000}, {"offset": -0.1}, {"offset": 1.5}])
def test_a_table_whose_signal_ends_too_early_names_its_options(options: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=f"T={options.get('T', 1000)}, offset={options.get('offset', 1e-4):g}.*1 / T"):
        SCHEDULES["sqrt"](**options)


def test_a_smaller_offset_mends_it() -> None:
    assert len(SCHEDULES["sqrt"](T=20000, offset=1e-5).grid) == 20000
