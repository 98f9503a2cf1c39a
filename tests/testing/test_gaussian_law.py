"""Tests of `polydiff.testing.gaussian_law`."""

from __future__ import annotations

import math

import pytest
import torch
from oracles import GaussianDenoiser, euclidean

from polydiff.core.streams import streams
from polydiff.gaussian.sampling.execute import run_plan
from polydiff.gaussian.sampling.plan import SAMPLERS, rows_on
from polydiff.testing.gaussian_law import sampled_std

LEVELS = [9.0, 4.0, 1.5, 0.6, 0.2, 0.05, 0.0]


@pytest.mark.parametrize("name", ["ddim", "heun", "rk4", "plms", "unipc", "dpmpp_3m", "auto"])
def test_without_noise_it_is_the_factor_that_the_executor_applies(name: str) -> None:
    """On data of mean 0 a state is multiplied by a number, whichever state it is."""
    rows = rows_on(LEVELS, name, 0.7)
    x = torch.full((1, 2, 3), 9.0, dtype=torch.float64)
    *_, last = run_plan(rows, GaussianDenoiser(torch.zeros_like(x), 0.7), x, euclidean(1), None, streams(0, "x", [0]))
    assert sampled_std(rows, 9.0, 0.7) == pytest.approx(abs(float(last.x[0, 0, 0])), rel=1e-9)


@pytest.mark.parametrize("name", ["ddpm", "restart", "sa_solver", "dpm_sde", "pc"])
def test_with_noise_it_is_the_spread_of_many_samples(name: str) -> None:
    n, rows = 4000, rows_on(LEVELS, name, 0.7)
    space = euclidean(n)
    x = 9 * space.noise(streams(0, "x", range(n)))
    *_, last = run_plan(rows, GaussianDenoiser(torch.zeros_like(x), 0.7), x, space, None, streams(1, "y", range(n)))
    error = 1 / math.sqrt(2 * last.x.numel())  # standard error of a standard deviation, as a share of it
    assert float(last.x.std()) == pytest.approx(sampled_std(rows, 9.0, 0.7), rel=5 * error)


def test_an_integrator_has_no_coefficients() -> None:
    with pytest.raises(TypeError, match="Solve"):
        sampled_std([*SAMPLERS["ddim"]([9.0, 4.0]), *SAMPLERS["adaptive"]([4.0, 0.0])], 9.0)
