"""Tests of `polydiff.gaussian.loss.noise_levels`."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from loss_cases import SHAPES
from scipy import stats
from torch import Tensor
from torch.testing import assert_close

from polydiff.core.objective import stratified
from polydiff.core.streams import stream
from polydiff.gaussian.loss.noise_levels import TIMES, importance
from polydiff.gaussian.schedule.base import SCHEDULES
from polydiff.gaussian.schedule.closed_forms import EDM


@pytest.mark.parametrize("name", list(SCHEDULES))
@pytest.mark.parametrize("times", list(TIMES))
def test_training_noise_levels_stay_in_the_range_and_rise_with_u(name: str, times: str) -> None:
    schedule = SCHEDULES[name]()
    s = TIMES[times](torch.linspace(1e-7, 1 - 1e-7, 1001, dtype=torch.float64), schedule)
    assert (s.diff() >= 0).all()
    assert s.min() >= schedule.sigma_min * (1 - 1e-5)
    assert s.max() <= schedule.sigma_max * (1 + 1e-5)


def shares(levels: Tensor, law: Any, low: float, high: float) -> Tensor:
    """The quantile u of each number under a law of scipy that is cut at two bounds."""
    ends = law.cdf([low, high])
    return torch.from_numpy((law.cdf(levels.numpy()) - ends[0]) / (ends[1] - ends[0]))


def test_times_have_the_published_laws() -> None:
    u = torch.linspace(0.01, 0.99, 99, dtype=torch.float64)
    edm, cosine, flow = EDM(), SCHEDULES["cosine"](), SCHEDULES["flow"]()
    ends = math.log(edm.sigma_min), math.log(edm.sigma_max)
    levels = TIMES["log_normal"](u, edm, mean=-1.0, std=2.0).log()
    assert_close(shares(levels, stats.norm(-1, 2), *ends), u, rtol=0, atol=1e-9)
    assert_close(TIMES["log_snr_normal"](u, edm, mean=2.0, std=4.0).log(), levels, rtol=1e-12, atol=1e-12)
    for name, law in (("laplace", stats.laplace(0.4, 2.0)), ("cauchy", stats.cauchy(0.4, 2.0))):
        log_snr = -2 * TIMES[name](u, edm, mean=0.4, scale=2.0).log()
        assert_close(shares(log_snr, law, -2 * ends[0], -2 * ends[1]), u, rtol=0, atol=1e-9)
    low, high = flow.trained_times()
    t = flow.time(-2 * TIMES["logit_normal"](u, flow, mean=-0.4, std=1.3).log())
    assert_close(shares(t.logit(), stats.norm(-0.4, 1.3), math.log(low / (1 - low)), math.log(high / (1 - high))), u)
    t = flow.time(-2 * TIMES["kumaraswamy"](u, flow, a=1.5, b=1.0).log())
    assert_close(torch.from_numpy(stats.beta(1.5, 1).cdf(((t - low) / (high - low)).numpy())), u)
    t = flow.time(-2 * TIMES["kumaraswamy"](u, flow, a=1.0, b=2.5).log())
    assert_close(torch.from_numpy(stats.beta(1, 2.5).cdf(((t - low) / (high - low)).numpy())), u)
    v = 1 - u
    published = 1 - v - 1.29 * (torch.cos(math.pi / 2 * v) ** 2 - 1 + v)
    t = flow.time(-2 * TIMES["mode"](u, flow).log())
    assert_close((t - low) / (high - low), published, rtol=0, atol=1e-9)
    low, high = cosine.trained_times()
    t = cosine.time(-2 * TIMES["uniform"](u, cosine).log())
    assert_close(t, low + u * (high - low), rtol=0, atol=1e-9)


@pytest.mark.parametrize(
    ("name", "option", "value"),
    [
        ("mode", "scale", 1.8),
        ("mode", "scale", -1.1),
        ("kumaraswamy", "a", 0.0),
        ("log_normal", "std", -1.0),
        ("logit_normal", "std", 0.0),
        ("log_snr_normal", "std", -1.0),
        ("laplace", "scale", 0.0),
        ("cauchy", "scale", -1.0),
    ],
)
def test_times_that_would_not_rise_raise_an_error(name: str, option: str, value: float) -> None:
    with pytest.raises(ValueError, match=r"scale must lie|must be positive"):
        TIMES[name](torch.tensor([0.5]), EDM(), **{option: value})


@given(mean=st.floats(-1e6, 1e6), std=st.floats(1e-9, 1e9), name=st.sampled_from(["log_normal", "logit_normal"]))
def test_times_of_any_mean_and_spread_stay_in_the_range(mean: float, std: float, name: str) -> None:
    s = TIMES[name](torch.linspace(1e-7, 1 - 1e-7, 101, dtype=torch.float64), EDM(), mean=mean, std=std)
    assert (s.diff() >= 0).all()
    assert s.min() >= 0.002
    assert s.max() <= 80


@pytest.mark.parametrize("times", list(SHAPES))
@pytest.mark.parametrize("name", ["edm", "cosine", "linear", "subvp", "learned"])
def test_importance_is_one_over_the_density_of_the_log_snr(times: str, name: str) -> None:
    """d lambda / d u, by a central difference where u is known."""
    schedule, options = SCHEDULES[name](), SHAPES[times]
    u, h = torch.linspace(0.02, 0.98, 33, dtype=torch.float64), 1e-6
    up, down = (-2 * TIMES[times](u + d, schedule, **options).log() for d in (h, -h))
    found = importance(times, TIMES[times](u, schedule, **options), schedule, options)
    tolerance = 0.05 if name == "linear" else 1e-5  # its log-SNR has corners
    assert_close(found, (down - up) / (2 * h), rtol=tolerance, atol=0)


def test_stratified_points_fall_one_in_each_stratum() -> None:
    u = stratified(64, stream(0, "time", 3))
    assert sorted((u * 64).floor().tolist()) == list(range(64))
    assert math.isclose(float((u.sort().values.diff() * 64).mean()), 1, rel_tol=1e-9)
