"""Tests of `polydiff.gaussian.schedule.log_snr_laws`."""

from __future__ import annotations

import math

import pytest
import torch
from torch.testing import assert_close

from polydiff.gaussian.schedule.base import SCHEDULES
from polydiff.gaussian.schedule.log_snr_laws import Cauchy, Laplace


def test_log_snrs_equal_their_formulas() -> None:
    t = torch.linspace(0.001, 0.999, 101, dtype=torch.float64)
    sign, tail = torch.sign(0.5 - t), torch.log(1 - 2 * (t - 0.5).abs())
    assert_close(Laplace(mean=0.3).log_snr(t), 0.3 - 0.5 * sign * tail, rtol=1e-10, atol=1e-12)
    cauchy = 0.3 + 0.7 * torch.tan(math.pi / 2 * (1 - 2 * t))
    assert_close(Cauchy(mean=0.3, scale=0.7).log_snr(t), cauchy, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(
    ("name", "law"),
    [
        ("laplace", torch.distributions.Laplace(torch.tensor(0.3).double(), torch.tensor(0.7).double())),
        ("cauchy", torch.distributions.Cauchy(torch.tensor(0.3).double(), torch.tensor(0.7).double())),
    ],
)
def test_the_time_is_the_survival_function_of_the_law(name: str, law: torch.distributions.Distribution) -> None:
    """So the log-SNR of a uniform time has this law."""
    log_snr = torch.linspace(-6, 6, 25, dtype=torch.float64)
    schedule = SCHEDULES[name](mean=law.loc.item(), scale=law.scale.item())
    assert_close(schedule.time(log_snr), 1 - law.cdf(log_snr), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(
    ("name", "options"), [("laplace", {"scale": -1}), ("laplace", {"mean": 50}), ("cauchy", {"scale": -1})]
)
def test_meaningless_ranges_raise_an_error(name: str, options: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"needed|would not rise"):
        SCHEDULES[name](**options)


def test_the_slope_of_laplace_has_no_hole_in_the_middle() -> None:
    slope = SCHEDULES["laplace"]().slope(torch.tensor([0.4999, 0.5, 0.5001], dtype=torch.float64))
    assert_close(slope, torch.full_like(slope, -1.0), rtol=1e-3, atol=0)
