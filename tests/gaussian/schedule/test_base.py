"""Schedules against the published formulas, and the laws that all of them keep."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import GaussianDenoiser, euclidean
from repository import blocks, training_settings
from schedule_cases import BY_BETAS, NAMES, schedule
from torch.testing import assert_close

from polydiff.core.space import Euclidean
from polydiff.core.streams import streams
from polydiff.gaussian.process.checks import check_names
from polydiff.gaussian.sampling.execute import sample
from polydiff.gaussian.schedule.base import SCHEDULES
from polydiff.gaussian.schedule.closed_forms import Cosine
from polydiff.gaussian.schedule.tables import Discrete, Table

CLOSED = [name for name in NAMES if name not in {*BY_BETAS, "polynomial_2", "learned"}]
OTHERS: dict[str, dict[str, float]] = {
    "linear": {"T": 10},
    "scaled_linear": {"T": 1000, "zero_terminal_snr": True, "shift": 2.0},
    "sqrt": {"T": 500, "zero_terminal_snr": True},
    "cosine": {"shift": 4.0, "shift_end": 0.5},
    "sigmoid": {"tau": 0.3},
    "vp": {"beta_max": 10.0},
    "subvp": {"shift": 0.5},
    "laplace": {"scale": 0.1, "mean": 1.0},
    "cauchy": {"scale": 0.3},
    "flow": {"shift": 3.0},
    "edm": {"shift": 2.0, "shift_end": 4.0},
    "polynomial_2": {"T": 100, "precision": 1e-4},
    "learned": {"shift": 3.0},
}
CASES: list[tuple[str, dict[str, float]]] = [(name, {}) for name in NAMES] + list(OTHERS.items())
cases = pytest.mark.parametrize(("name", "options"), CASES, ids=lambda c: c if isinstance(c, str) else f"{len(c)}")


def test_sampling_begins_at_the_level_that_stands_for_infinity() -> None:
    """Gaussian data of mean 0.5 and std 0.3 come out, from noise alone, in float32 too."""
    s = SCHEDULES["scaled_linear"](zero_terminal_snr=True)
    for dtype in (torch.float64, torch.float32):
        space = Euclidean(2000, (1,), dtype=dtype)
        denoise = GaussianDenoiser(torch.full((1,), 0.5, dtype=dtype), 0.3, s)
        x = sample(denoise, space, generators=streams(0, "s", range(2000)), steps=50, spacing="time", sampler="ddim")
        assert torch.isfinite(x).all()
        assert abs(x.mean().item() - 0.5) < 5 * 0.3 / 2000**0.5
        assert x.std().item() == pytest.approx(0.3, rel=0.1)


@cases
def test_log_snr_decreases_and_time_is_its_inverse(name: str, options: dict[str, float]) -> None:
    s = schedule(name, options)
    t = torch.linspace(0, 1, 10_001, dtype=torch.float64)
    log_snr = s.log_snr(t)
    assert torch.isfinite(log_snr).all()
    assert (log_snr.diff() < 0).all()
    assert_close(s.time(log_snr), t, atol=1.1e-9, rtol=0)
    inner = t[1:-1]
    assert_close(s.time(s.log_snr(inner)), inner, atol=1e-10, rtol=0)
    alpha, sigma = s(t)
    assert (alpha.diff() <= 0).all()
    assert (sigma.diff() >= 0).all()


@cases
@settings(max_examples=15)
@given(u=st.floats(0, 1))
def test_coefficients_agree_with_the_log_snr_and_the_frame(name: str, options: dict[str, float], u: float) -> None:
    s = schedule(name, options)
    low, high = s.trained_times()
    t = torch.tensor([low + u * (high - low)], dtype=torch.float64)
    alpha, sigma = s(t)
    assert_close(2 * (alpha / sigma).log(), s.log_snr(t), rtol=1e-9, atol=1e-9)
    assert_close(s.noise_level(t), sigma / alpha, rtol=1e-9, atol=0)
    frame = {"vp": alpha**2 + sigma**2, "ve": alpha, "flow": alpha + sigma, "subvp": alpha**2 + sigma}[s.frame]
    assert_close(frame, torch.ones_like(t), rtol=1e-12, atol=0)
    assert_close(s.time(-2 * s.noise_level(t).log()), t, rtol=0, atol=1e-9)


@cases
def test_trained_times_are_those_of_the_extreme_noise_levels(name: str, options: dict[str, float]) -> None:
    s = schedule(name, options)
    levels = s.noise_level(torch.tensor(s.trained_times(), dtype=torch.float64))
    assert_close(levels, torch.tensor([s.sigma_min, s.sigma_max], dtype=torch.float64), rtol=1e-6, atol=0)


@pytest.mark.parametrize("name", [*CLOSED, "learned"])
@settings(max_examples=15)
@given(u=st.floats(0.01, 0.99))
def test_the_slope_is_the_derivative_of_the_log_snr(name: str, u: float) -> None:
    s = schedule(name)
    low, high = s.trained_times()
    t = torch.tensor([low + u * (high - low)], dtype=torch.float64)
    h = 1e-5 * torch.minimum(t, 1 - t)
    if name == "laplace" and (t - 0.5).abs() < 1e-4:  # its slope has a jump of curvature there
        return
    numeric = (s.log_snr(t + h) - s.log_snr(t - h)) / (2 * h)
    assert_close(s.slope(t).detach(), numeric, rtol=1e-6, atol=1e-6)


@cases
def test_both_ends_and_log_snr_20_survive_float32(name: str, options: dict[str, float]) -> None:
    s = schedule(name, options)
    for values in (*s(torch.tensor([0.0, 1.0])), *s.coefficients(torch.tensor([-20.0, 20.0]))):
        assert torch.isfinite(values.float()).all()
        assert (values >= 0).all()
    beyond = s.time(torch.tensor([-200.0, 200.0]))
    assert torch.isfinite(beyond).all()
    for level in (s.sigma_min, s.sigma_max):
        squared = torch.tensor(level, dtype=torch.float32) ** 2
        assert 0 < squared < math.inf


@pytest.mark.parametrize("name", [n for n in NAMES if n != "learned"])
@settings(max_examples=15)
@given(k=st.floats(0.1, 10), u=st.floats(0.05, 0.95))
def test_a_shift_multiplies_noise_levels(name: str, k: float, u: float) -> None:
    plain, moved = SCHEDULES[name](), SCHEDULES[name](shift=k)
    t = torch.tensor(u, dtype=torch.float64)
    assert_close(moved.noise_level(t), k * plain.noise_level(t), rtol=1e-10, atol=0)
    assert moved.sigma_min == pytest.approx(k * plain.sigma_min)
    assert moved.sigma_max == pytest.approx(k * plain.sigma_max)


def test_shifts_are_those_of_the_papers() -> None:
    t = torch.linspace(0.01, 0.99, 50, dtype=torch.float64)
    k = 3.0  # Esser et al., 2024
    assert_close(SCHEDULES["flow"](shift=k)(t)[1], k * t / (1 + (k - 1) * t), rtol=1e-12, atol=0)
    plain, d = Cosine().log_snr(t), 256  # Hoogeboom et al., 2023
    assert_close(SCHEDULES["cosine"](shift=d / 64).log_snr(t), plain + 2 * math.log(64 / d), rtol=1e-12, atol=1e-12)
    mixed = t * (plain + 2 * math.log(64 / 32)) + (1 - t) * (plain + 2 * math.log(64 / d))
    assert_close(SCHEDULES["cosine"](shift=d / 64, shift_end=32 / 64).log_snr(t), mixed, rtol=1e-12, atol=1e-12)


def test_a_shifted_schedule_is_trained_at_the_times_of_its_base() -> None:
    base, moved = (SCHEDULES["cosine"](sigma_min=0.1, sigma_max=5.0, **k) for k in ({}, {"shift": 4, "shift_end": 0.5}))
    assert moved.trained_times() == pytest.approx(base.trained_times(), abs=1e-9)


def test_shifts_that_make_no_schedule_raise_an_error() -> None:
    with pytest.raises(ValueError, match="must be positive"):
        SCHEDULES["flow"](shift=0.0)
    with pytest.raises(ValueError, match="noise would fall"):
        SCHEDULES["cosine"](shift=100.0, shift_end=0.01)


@cases
def test_the_exact_denoiser_samples_its_data_on_every_schedule(name: str, options: dict[str, float]) -> None:
    """D = 0.25 x / (s^2 + 0.25): DDIM's samples are x_0 ~ N(0, 0.25), whatever the noise levels."""
    s = schedule(name, options)
    space = euclidean(256)
    denoise = GaussianDenoiser(torch.zeros(2, 3, dtype=torch.float64), 0.5, s)
    x = sample(denoise, space, generators=streams(0, "s", range(256)), steps=60, spacing="log_snr", sampler="ddim")
    start = s.sigma_max
    expected = 0.5 * start / (start**2 + 0.25) ** 0.5  # the exact flow of noise without data
    assert x.std().item() == pytest.approx(expected, rel=0.12)


def test_wrong_options_raise_an_error() -> None:
    with pytest.raises(ValueError, match="strictly between 0 and 1"):
        Discrete(torch.tensor([0.5, 1.0]))
    with pytest.raises(ValueError, match="at least two"):
        SCHEDULES["linear"](T=1)
    with pytest.raises(ValueError, match="each below"):
        Table(torch.tensor([1.0, 1.0]))
    with pytest.raises(ValueError, match="precision"):
        SCHEDULES["polynomial_2"](precision=0.7)
    with pytest.raises(ValueError, match="must rise"):
        SCHEDULES["learned"](sigma_min=3.0, sigma_max=1.0)


def test_the_python_of_the_page_runs() -> None:
    with SCHEDULES.temporary():
        for code in blocks("docs/schedules.md", "python"):
            exec(code, {})
        assert "quintic" in SCHEDULES
    assert "quintic" not in SCHEDULES


def test_the_commands_of_the_page_name_known_settings() -> None:
    settings = training_settings("docs/schedules.md")
    assert len(settings) > 2
    for config in settings:
        check_names(config)
