"""Tests of `polydiff.gaussian.schedule.closed_forms`."""

from __future__ import annotations

import math

import pytest
import torch
from torch.testing import assert_close

from polydiff.gaussian.schedule.base import SCHEDULES
from polydiff.gaussian.schedule.closed_forms import EDM, VP, Cosine, RectifiedFlow


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
    vp_alpha = torch.exp(-(t**2) * (20 - 0.1) / 4 - t * 0.1 / 2)
    alpha, sigma = VP()(t)
    assert_close(alpha, vp_alpha, rtol=1e-11, atol=0)
    assert_close(sigma, (1 - vp_alpha**2).sqrt(), rtol=1e-10, atol=0)
    alpha, sigma = SCHEDULES["subvp"]()(t)
    assert_close(alpha, vp_alpha, rtol=1e-11, atol=0)
    assert_close(sigma, 1 - vp_alpha**2, rtol=1e-10, atol=0)
    alpha, sigma = SCHEDULES["ve"]()(t)
    assert_close(alpha, torch.ones_like(t))
    assert_close(sigma, 0.01 * 5000**t)
    log_snr = SCHEDULES["exponential"]().log_snr(t)
    assert_close(log_snr, 13.3 - 18.3 * t)
    for tau in (0.3, 1.0):
        end, now, start = (torch.sigmoid(x / tau) for x in (torch.tensor(3.0).double(), 6 * t - 3, -torch.tensor(3.0)))
        assert_close(SCHEDULES["sigmoid"](tau=tau)(t)[0] ** 2, (end - now) / (end - start), rtol=1e-7, atol=0)


def test_the_vp_sde_has_its_published_inverse() -> None:
    """2 (B1 - B0) log(1 + SNR^-1) / ((sqrt(B0^2 + ...) + B0)(B1 - B0)), DPM-Solver's inverse_lambda."""
    log_snr = torch.linspace(-10, 12, 50, dtype=torch.float64)
    q = 2 * 19.9 * torch.log1p(torch.exp(-log_snr))
    assert_close(VP().time(log_snr), q / ((torch.sqrt(0.01 + q) + 0.1) * 19.9), rtol=1e-12, atol=0)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("edm", {"sigma_min": 80, "sigma_max": 0.002}),
        ("cosine", {"sigma_min": 10, "sigma_max": 1}),
        ("vp", {"beta_min": -1}),
        ("flow", {"sigma_max": 0}),
        ("sigmoid", {"start": 3, "end": -3}),
    ],
)
def test_meaningless_ranges_raise_an_error(name: str, options: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"needed|would not rise"):
        SCHEDULES[name](**options)
