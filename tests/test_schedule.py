"""Schedules against the published formulas, and the laws that all of them keep."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import GaussianDenoiser, euclidean
from repository import blocks, commands
from torch.testing import assert_close

from polydiff.checks import check_names
from polydiff.denoise import Denoiser
from polydiff.forward import q_sample
from polydiff.random import streams
from polydiff.sampling import sample
from polydiff.schedule import EDM, INFINITE, SCHEDULES, VP, Cosine, Discrete, Learned, RectifiedFlow, Schedule, Table
from polydiff.settings import resolve
from polydiff.space import Euclidean

NAMES = list(SCHEDULES)
BY_BETAS = ["linear", "quadratic", "scaled_linear", "cosine_betas", "sigmoid_betas", "sqrt"]
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


def schedule(name: str, options: dict[str, float] | None = None) -> Schedule:
    """A schedule; the learned one away from its start."""
    s = SCHEDULES[name](**(options or {}))
    if isinstance(s, Learned):
        with torch.no_grad():
            s.height.copy_(torch.linspace(-3, 2, len(s.height)))
    return s


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
    sign, tail = torch.sign(0.5 - t), torch.log(1 - 2 * (t - 0.5).abs())
    assert_close(SCHEDULES["laplace"](mean=0.3).log_snr(t), 0.3 - 0.5 * sign * tail, rtol=1e-10, atol=1e-12)
    cauchy = 0.3 + 0.7 * torch.tan(math.pi / 2 * (1 - 2 * t))
    assert_close(SCHEDULES["cauchy"](mean=0.3, scale=0.7).log_snr(t), cauchy, rtol=1e-9, atol=1e-12)


def test_the_vp_sde_has_its_published_inverse() -> None:
    """2 (B1 - B0) log(1 + SNR^-1) / ((sqrt(B0^2 + ...) + B0)(B1 - B0)), DPM-Solver's inverse_lambda."""
    log_snr = torch.linspace(-10, 12, 50, dtype=torch.float64)
    q = 2 * 19.9 * torch.log1p(torch.exp(-log_snr))
    assert_close(VP().time(log_snr), q / ((torch.sqrt(0.01 + q) + 0.1) * 19.9), rtol=1e-12, atol=0)


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


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=15)
@given(times=st.tuples(st.floats(0, 1), st.floats(0, 1), st.floats(0, 1)))
def test_steps_of_the_forward_process_compose(name: str, times: tuple[float, float, float]) -> None:
    """q(t|r) = q(t|s) q(s|r): alpha_t|s = alpha_t / alpha_s, variance sigma_t^2 (1 - SNR_t / SNR_s)."""
    sched = schedule(name)
    low, high = sched.trained_times()
    r, s, t = (torch.tensor(low + x * (high - low), dtype=torch.float64) for x in sorted(times))

    def step(a: torch.Tensor, b: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        (alpha_a, _), (alpha_b, sigma_b) = sched(a), sched(b)
        return alpha_b / alpha_a, -(sigma_b**2) * torch.expm1(sched.log_snr(b) - sched.log_snr(a))

    (first, noise), (second, more) = step(r, s), step(s, t)
    whole, all_noise = step(r, t)
    assert_close(first * second, whole, rtol=1e-12, atol=0)
    assert_close(second**2 * noise + more, all_noise, rtol=1e-10, atol=1e-12 * max(1.0, float(sched(t)[1]) ** 2))


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


def test_shifts_that_make_no_schedule_are_refused() -> None:
    with pytest.raises(ValueError, match="must be positive"):
        SCHEDULES["flow"](shift=0.0)
    with pytest.raises(ValueError, match="noise would fall"):
        SCHEDULES["cosine"](shift=100.0, shift_end=0.01)


def test_the_learned_schedule_belongs_to_its_denoiser() -> None:
    s = SCHEDULES["learned"]()
    denoiser = Denoiser(torch.nn.Identity(), s)
    names = {"schedule.linear", "schedule.height", "schedule.steepness", "schedule.centre"}
    assert {name for name, _ in denoiser.named_parameters()} == names == set(denoiser.state_dict())
    twin = copy.deepcopy(denoiser)
    with torch.no_grad():
        s.height += 3
    t = torch.linspace(0, 1, 11)
    assert (twin.schedule.log_snr(t) - s.log_snr(t)).abs().max() > 0.1
    twin.load_state_dict(denoiser.state_dict())
    assert_close(twin.schedule.log_snr(t), s.log_snr(t), rtol=0, atol=0)
    assert s.log_snr(t).dtype == torch.float64
    assert not s.log_snr(t).requires_grad


def test_noise_levels_of_the_learned_schedule_can_be_functions_of_its_parameters() -> None:
    s = schedule("learned")
    sigma = torch.logspace(-2, 1, 7, dtype=torch.float64)
    attached = s.attach(sigma)
    assert_close(attached.detach(), sigma, rtol=1e-10, atol=0)
    attached.sum().backward()
    assert isinstance(s, Learned)
    gradient = s.height.grad
    assert gradient is not None
    t, h = s.time(-2 * sigma.log()), 1e-2
    with torch.no_grad():
        s.height[5] += h
        up = s.noise_level(t).sum()
        s.height[5] -= 2 * h
        down = s.noise_level(t).sum()
    assert_close(gradient[5].double(), (up - down) / (2 * h), rtol=1e-3, atol=0)


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


def test_mistakes_are_refused() -> None:
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


def test_the_commands_of_the_page_are_taken() -> None:
    told = commands("docs/schedules.md")
    assert len(told) > 2
    for verb, flag, domain, *words in told:
        assert (verb, flag) == ("train", "--domain")
        check_names(resolve(domain, words=dict(word.split("=", 1) for word in words)).config)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("edm", {"sigma_min": 80, "sigma_max": 0.002}),
        ("cosine", {"sigma_min": 10, "sigma_max": 1}),
        ("laplace", {"scale": -1}),
        ("laplace", {"mean": 50}),
        ("vp", {"beta_min": -1}),
        ("flow", {"sigma_max": 0}),
        ("sigmoid", {"start": 3, "end": -3}),
        ("cauchy", {"scale": -1}),
    ],
)
def test_ranges_that_mean_nothing_are_refused(name: str, options: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"needed|would not rise"):
        SCHEDULES[name](**options)


def test_the_slope_of_laplace_has_no_hole_in_the_middle() -> None:
    slope = SCHEDULES["laplace"]().slope(torch.tensor([0.4999, 0.5, 0.5001], dtype=torch.float64))
    assert_close(slope, torch.full_like(slope, -1.0), rtol=1e-3, atol=0)
