"""Samplers against closed forms: exact laws on Gaussians, orders, and the coefficients themselves."""

import math
from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from oracles import GaussianDenoiser, dense, euclidean, packed
from torch.testing import assert_close

from polydiff.random import streams
from polydiff.sampling import SAMPLERS, SPACINGS, evaluations, noise_levels, run_plan, sample
from polydiff.schedule import EDM, SCHEDULES
from polydiff.space import Space, sqnorm

VARIANTS: dict[str, dict[str, object]] = {
    "ddpm-small": {"sampler": "ddpm"},
    "ddpm-large": {"sampler": "ddpm", "variance": "large"},
    "ddim": {"sampler": "ddim"},
    "ddim-half": {"sampler": "ddim", "eta": 0.5},
    "euler": {"sampler": "euler"},
    "heun": {"sampler": "heun"},
    "dpmpp_2m": {"sampler": "dpmpp_2m"},
}
SPACES: dict[str, Callable[[int], Space]] = {
    "euclidean": euclidean,
    **{f"dense-{n}": lambda b, n=n: dense(b, n) for n in (2, 5, 9)},
    "packed-5": lambda b: packed(b, 5),
}


def law(variant: str, steps: int, std: float) -> float:
    """The exact variance that a sampler gives data N(0, std^2), from its coefficients alone.

    On Gaussian data every sampler is linear: x is a combination of the independent draws, and its variance the sum
    of the squared weights. Nothing here is shared with the executor.
    """
    options = dict(VARIANTS[variant])
    levels = noise_levels(EDM(), steps)
    rows = SAMPLERS[str(options.pop("sampler"))](levels, **options)
    x, estimates = np.array([levels[0]]), []
    for row in rows:
        if row.at is not None:
            estimates.insert(0, std**2 / (std**2 + row.at**2) * x)
        x = row.A * x
        for b, m in zip(row.B, estimates, strict=False):
            x = x + b * np.pad(m, (0, len(x) - len(m)))
        x = np.append(x, row.C) if row.C else x
    return float((x**2).sum())


@pytest.mark.parametrize("variant", list(VARIANTS))
@pytest.mark.parametrize("where", list(SPACES))
def test_samplers_reproduce_an_analytic_gaussian(where: str, variant: str) -> None:
    """Mean and variance in every true dimension; a plain randn would have 3 N instead of 3 (N - 1) degrees."""
    n, std, steps = 1500, 0.8, 40
    space = SPACES[where](n)
    mean = space.project(torch.full_like(space.noise(streams(0, "x", range(n))), 0.3))
    denoiser = GaussianDenoiser(mean, std)
    x = sample(denoiser, space, generators=streams(1, "sample", range(n)), steps=steps, **VARIANTS[variant])
    assert_close(space.project(x), x, atol=1e-9, rtol=0)
    d = space.dim[0].item()
    norms = sqnorm(space, x - mean) / (d * law(variant, steps, std))
    assert abs(norms.mean().item() - 1) < 5 * (2 / d / n) ** 0.5
    drift = 0.3 * std / 80  # sampling starts from noise alone, whose mean is 0 and not that of the data
    mean_error = (x - mean).reshape(-1, x[0].numel() if x.ndim == 3 else x.shape[1] * 5).mean(0)
    assert mean_error.abs().max().item() < drift + 5 * std / n**0.5


@pytest.mark.parametrize("variant", list(VARIANTS))
def test_the_law_of_a_sampler_tends_to_that_of_the_data(variant: str) -> None:
    order = 2 if variant in ("heun", "dpmpp_2m") else 1
    errors = [abs(law(variant, steps, 0.8) / 0.64 - 1) for steps in (125, 250, 500, 1000)]
    assert errors[-1] < (2e-4 if order == 2 else 2e-2)
    if order == 1:  # the higher-order ones reach the floor that the finite first noise level sets
        assert all(b < 0.6 * a for a, b in pairwise(errors))


def exact_flow(x: torch.Tensor, s0: float, s1: float, mean: float, std: float) -> torch.Tensor:
    """The probability-flow ODE of a Gaussian from s0 to s1: x - mean scales as sqrt(std^2 + s^2)."""
    return mean + (x - mean) * math.sqrt((std**2 + s1**2) / (std**2 + s0**2))


def convergence_order(sampler: str) -> float:
    """The slope of the error of a sampler on a Gaussian's probability-flow ODE, from 128 to 256 steps."""
    space, mean, std = euclidean(1), 0.5, 0.7
    x = 5 * space.noise(streams(0, "x", [0]))
    denoiser = GaussianDenoiser(torch.full_like(x, mean), std)
    errors = []
    for n in (128, 256):
        levels = [5.0 * (0.01 / 5.0) ** (i / n) for i in range(n + 1)]
        *_, last = run_plan(SAMPLERS[sampler](levels), denoiser, x, space, None, streams(0, "y", [0]))
        errors.append((last.x - exact_flow(x, 5.0, 0.01, mean, std)).abs().max().item())
    return math.log2(errors[0] / errors[1])


@pytest.mark.parametrize(("sampler", "order"), [("euler", 1), ("ddim", 1), ("heun", 2), ("dpmpp_2m", 2)])
def test_deterministic_samplers_converge_at_their_order(sampler: str, order: int) -> None:
    assert abs(convergence_order(sampler) - order) < 0.1


def test_dpmpp_2m_has_the_published_coefficients() -> None:
    """x_t = (s_t / s_0) x - (e^{-h} - 1) [(1 + 1/2r) D_0 - (1/2r) D_1] (Lu et al., 2022, algorithm 2)."""
    levels = [10.0, 4.0, 1.0, 0.2]
    for i, row in enumerate(SAMPLERS["dpmpp_2m"](levels)):
        h = math.log(levels[i] / levels[i + 1])
        half = 1 / (2 * math.log(levels[i - 1] / levels[i]) / h) if i else 0.0
        phi = -math.expm1(-h)
        assert pytest.approx(levels[i + 1] / levels[i], rel=1e-14) == row.A
        assert pytest.approx((phi * (1 + half), -phi * half), rel=1e-12) == row.B


def test_heun_equals_the_two_line_algorithm() -> None:
    space = euclidean(3)
    x = 8 * space.noise(streams(0, "x", range(3)))
    denoiser = GaussianDenoiser(torch.full_like(x, 0.4), 0.6)
    levels = [8.0, 3.0, 0.5, 0.0]
    y = x.clone()
    for s0, s1 in pairwise(levels):
        slope = (y - denoiser(y, torch.full((3,), s0), space)) / s0
        euler = y + (s1 - s0) * slope
        if s1 > 0:
            slope = (slope + (euler - denoiser(euler, torch.full((3,), s1), space)) / s1) / 2
        y = y + (s1 - s0) * slope
    *_, last = run_plan(SAMPLERS["heun"](levels), denoiser, x, space, None, streams(0, "y", range(3)))
    assert_close(last.x, y, rtol=1e-12, atol=1e-12)


def test_ddpm_is_the_posterior_of_the_forward_process() -> None:
    """In the vp frame: mean and variance of q(x_s | x_t, x_0) (Ho et al., 2020, eq. 7), at every grid point."""
    schedule = SCHEDULES["linear"](T=50)
    t = torch.arange(50, dtype=torch.float64) / 49
    (alpha, _), level = schedule(t), schedule.noise_level(t)
    bar = alpha**2
    for i in range(1, 50):
        beta = 1 - bar[i] / bar[i - 1]
        for variance, expected in (("small", (1 - bar[i - 1]) / (1 - bar[i]) * beta), ("large", beta)):
            row = SAMPLERS["ddpm"]([level[i].item(), level[i - 1].item()], variance=variance)[0]
            # x_t = alpha_t x: the factors of x_t and x_0 in the mean of x_s, and its variance
            assert row.A * alpha[i - 1] / alpha[i] == pytest.approx(
                ((1 - beta).sqrt() * (1 - bar[i - 1]) / (1 - bar[i])).item(), rel=1e-9
            )
            assert row.B[0] * alpha[i - 1] == pytest.approx((alpha[i - 1] * beta / (1 - bar[i])).item(), rel=1e-9)
            assert (row.C * alpha[i - 1]) ** 2 == pytest.approx(expected.item(), rel=1e-9)


@given(
    st.sampled_from(list(SAMPLERS)),
    st.sampled_from(list(SPACINGS)),
    st.integers(1, 200),
    st.sampled_from(list(SCHEDULES)),
)
def test_plans_preserve_a_point_and_end_at_zero(sampler: str, spacing: str, steps: int, schedule: str) -> None:
    """If every estimate is c, a state at c stays there: A + sum B = 1; levels fall strictly to 0."""
    levels = noise_levels(SCHEDULES[schedule](), steps, spacing)
    assert len(levels) == steps + 1
    assert levels[-1] == 0
    assert all(a > b for a, b in pairwise(levels))
    rows = SAMPLERS[sampler](levels)
    assert evaluations(rows) == (2 * steps - 1 if sampler == "heun" else steps)
    for row in rows:
        assert row.A + sum(row.B) == pytest.approx(1, abs=1e-9)
        assert all(map(math.isfinite, (row.A, row.C, *row.B)))
    assert rows[-1].to == 0
    assert rows[-1].C == 0


def test_evaluations_are_what_the_network_is_called() -> None:
    space = euclidean(2)
    denoiser = GaussianDenoiser(torch.zeros(2, 2, 3, dtype=torch.float64), 1.0)
    sample(denoiser, space, generators=streams(0, "x", range(2)), steps=7, sampler="heun")
    assert denoiser.calls == 13


@pytest.mark.parametrize("variant", list(VARIANTS))
def test_a_sample_does_not_depend_on_its_batch(variant: str) -> None:
    def draw(indices: list[int]) -> torch.Tensor:
        space = euclidean(len(indices))
        denoiser = GaussianDenoiser(torch.full((len(indices), 2, 3), 0.3, dtype=torch.float64), 0.5)
        return sample(denoiser, space, generators=streams(5, "x", indices), steps=10, **VARIANTS[variant])

    assert torch.equal(draw([0, 1, 2, 3])[2], draw([2])[0])


def test_eta_one_is_ddpm_and_euler_is_ddim() -> None:
    levels = noise_levels(EDM(), 12)
    assert SAMPLERS["ddim"](levels, eta=1.0) == SAMPLERS["ddpm"](levels)
    assert SAMPLERS["euler"](levels) == SAMPLERS["ddim"](levels)


def test_zero_steps_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        noise_levels(EDM(), 0)
