"""Targets: the inversion is exact for every schedule and target."""

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.testing import assert_close

from polydiff.gaussian.schedule.base import SCHEDULES
from polydiff.gaussian.schedule.closed_forms import Cosine, RectifiedFlow
from polydiff.gaussian.target import TARGETS, convert, solve

X_0 = torch.randn(64, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
EPS = torch.randn(64, 5, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


@pytest.mark.parametrize("schedule", list(SCHEDULES))
@pytest.mark.parametrize("target", list(TARGETS))
@pytest.mark.parametrize("sigma_data", [1.0, 0.5])
def test_every_target_recovers_clean_state_and_noise(schedule: str, target: str, sigma_data: float) -> None:
    s = SCHEDULES[schedule]()
    low, high = s.trained_times()
    alpha, sigma = s(torch.linspace(low, high, 64, dtype=torch.float64)[:, None])
    a, b = TARGETS[target](alpha, sigma, sigma_data)
    x_0, eps = solve(alpha * X_0 + sigma * EPS, a * X_0 + b * EPS, alpha, sigma, (a, b))
    assert_close(x_0, X_0, atol=1e-9, rtol=0)
    if s.sigma_min > 1e-4:
        assert_close(eps, EPS, atol=1e-9, rtol=0)


@pytest.mark.parametrize("target", list(TARGETS))
def test_a_target_depends_on_the_noise_level_alone(target: str) -> None:
    alpha, sigma = torch.rand(2, 100, dtype=torch.float64, generator=torch.Generator().manual_seed(2)) + 0.1
    for scale in (0.01, 7.0):
        ours, theirs = TARGETS[target](alpha, sigma, 0.5), TARGETS[target](scale * alpha, scale * sigma, 0.5)
        for c, d in zip(ours, theirs, strict=True):
            assert_close(c, d, rtol=1e-13, atol=1e-15)


def test_edm_target_has_karras_coefficients() -> None:
    """F = (x_0 - c_skip x) / c_out (Karras et al., 2022, table 1)."""
    sd, s = 0.5, torch.logspace(-3, 2, 101, dtype=torch.float64)
    c_skip, rest = sd**2 / (s**2 + sd**2), s**2 / (s**2 + sd**2)  # rest = 1 - c_skip, without the cancellation
    c_out = s * sd / (s**2 + sd**2).sqrt()
    a, b = TARGETS["edm"](torch.ones_like(s), s, sd)
    assert_close(a, rest / c_out, atol=1e-14, rtol=1e-14)
    assert_close(b, -c_skip * s / c_out, atol=1e-14, rtol=1e-14)


def test_v_is_minus_edm_for_unit_data_and_the_published_v_in_the_vp_frame() -> None:
    alpha, sigma = Cosine()(torch.linspace(0.01, 0.99, 50, dtype=torch.float64))
    assert_close(TARGETS["v"](alpha, sigma, 1.0), (-sigma, alpha), atol=1e-14, rtol=0)
    assert_close(
        TARGETS["v"](alpha, sigma, 1.0), tuple(-c for c in TARGETS["edm"](alpha, sigma, 1.0)), atol=1e-14, rtol=0
    )


def test_flow_target_is_the_velocity_of_rectified_flow() -> None:
    """d x_t / d t for x_t = (1 - t) x_0 + t eps, by a central difference."""
    schedule, h = RectifiedFlow(), 1e-4
    t = torch.tensor(0.3, dtype=torch.float64)
    (a1, s1), (a0, s0) = schedule(t + h), schedule(t - h)
    a, b = TARGETS["flow"](*schedule(t), 1.0)
    assert_close((a1 - a0) / (2 * h) * X_0 + (s1 - s0) / (2 * h) * EPS, a * X_0 + b * EPS, atol=1e-8, rtol=0)


@pytest.mark.parametrize(("source", "to"), list(itertools.permutations(TARGETS, 2)))
@settings(max_examples=20)
@given(st.floats(-9, 9), st.sampled_from(["cosine", "flow", "edm", "subvp"]), st.floats(0.2, 3))
def test_targets_convert_into_each_other_and_back(
    source: str, to: str, log_snr: float, frame: str, sigma_data: float
) -> None:
    alpha, sigma = SCHEDULES[frame]().coefficients(torch.tensor(log_snr, dtype=torch.float64))
    x = alpha * X_0 + sigma * EPS
    (a, b), (c, d) = (TARGETS[name](alpha, sigma, sigma_data) for name in (source, to))
    f = a * X_0 + b * EPS
    there = convert(x, f, alpha, sigma, source, to, sigma_data)
    assert_close(there, c * X_0 + d * EPS, atol=1e-10, rtol=1e-10)
    assert_close(convert(x, there, alpha, sigma, to, source, sigma_data), f, atol=1e-10, rtol=1e-10)


@pytest.mark.parametrize("target", list(TARGETS))
def test_float32_keeps_a_target_within_log_snr_15(target: str) -> None:
    """The error of the clean state stays within 1e-5 of the larger of 1 and the noise level."""
    for log_snr in (-15.0, 0.0, 15.0):
        alpha, sigma = SCHEDULES["cosine"]().coefficients(torch.tensor(log_snr))
        a, b = TARGETS[target](alpha, sigma, 1.0)
        x, f = alpha * X_0 + sigma * EPS, a * X_0 + b * EPS
        wide = solve(x, f, alpha, sigma, (a, b))[0]
        narrow = solve(x.float(), f.float(), alpha.float(), sigma.float(), (a.float(), b.float()))[0]
        assert_close(narrow.double(), wide, rtol=0, atol=1e-5 * max(1.0, float(sigma / alpha)))


def test_the_score_target_is_the_score_times_the_noise_in_every_frame() -> None:
    """For x_0 ~ N(0, 1): grad log p(x) = -x / (alpha^2 + sigma^2), and F = E[-eps | x]."""
    for name in ("cosine", "flow", "edm", "subvp"):
        alpha, sigma = SCHEDULES[name]()(torch.tensor(0.4, dtype=torch.float64))
        x = alpha * X_0 + sigma * EPS
        clean = alpha * x / (alpha**2 + sigma**2)
        a, b = TARGETS["score"](alpha, sigma, 1.0)
        f = a * clean + b * (x - alpha * clean) / sigma
        assert_close(f, -sigma * x / (alpha**2 + sigma**2), rtol=1e-12, atol=1e-12)
