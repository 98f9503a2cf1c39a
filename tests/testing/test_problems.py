"""Tests of `polydiff.testing.problems`."""

import pytest
import torch
from torch.testing import assert_close

from polydiff.core.streams import streams
from polydiff.gaussian.sampling.execute import sample
from polydiff.gaussian.schedule.closed_forms import EDM
from polydiff.testing.analytic import Guided
from polydiff.testing.exact_flow import flow
from polydiff.testing.problems import SUITES, Problem
from polydiff.testing.space import check_space

PROBLEMS = [pytest.param(p, id=f"{suite}-{p.name}") for suite, make in SUITES.items() for p in make()]


@pytest.mark.parametrize("problem", PROBLEMS)
def test_each_problem_has_its_stated_moments_and_space(problem: Problem) -> None:
    exact = problem.denoise(EDM())
    whole = exact.whole if isinstance(exact, Guided) else exact
    assert whole.sigma_data == pytest.approx(1.0 if "unit" in problem.name else 0.5, rel=1e-9)
    shifted = "mean" in problem.name
    assert (whole.centre.norm().item() > 0.3) if shifted else (whole.centre.abs().max().item() < 1e-12)
    space = problem.space(4)
    check_space(space)
    assert int(space.dim[0]) == whole.dim
    x = 80 * space.noise(streams(0, "x", range(4)))
    d = exact(x, torch.full((4,), 80.0), space)
    assert d.shape == x.shape
    assert d.dtype == torch.float32
    assert_close(space.project(d), d, rtol=0, atol=1e-6)
    assert exact.calls == 1
    assert problem.exact.calls == 0


@pytest.mark.parametrize("problem", [p for p in SUITES["core"]() if p.name in ("gauss64", "ring2", "gmm64")])
def test_a_sampler_with_many_steps_agrees_with_the_exact_flow(problem: Problem) -> None:
    n = 8
    exact, space = problem.denoise(EDM()), problem.space(n, torch.float64)
    x = sample(exact, space, generators=streams(0, "x", range(n)), steps=400, sampler="heun")
    truth = flow(exact, 80 * space.noise(streams(0, "x", range(n))).reshape(n, -1), 80.0)
    error = (x.reshape(n, -1) - truth).norm(dim=1) / truth.norm(dim=1)
    assert error.median() < 1e-3
