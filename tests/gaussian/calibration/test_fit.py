"""The search for levels and coefficients, against a search by brute force and where an exact answer exists."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from polydiff.core.space import Euclidean
from polydiff.core.streams import streams
from polydiff.gaussian.calibration.fit import Form, Point, Solution, fit, form_of
from polydiff.gaussian.sampling.auto import auto_spacing
from polydiff.gaussian.sampling.execute import run_plan
from polydiff.gaussian.sampling.plan import PlanRow, Row
from polydiff.gaussian.schedule.closed_forms import EDM
from polydiff.testing.analytic import GaussianMixture
from polydiff.testing.exact_flow import flow


class Case:
    """Runs of plans on an exact Gaussian, and its exact solution."""

    def __init__(self, stds: Sequence[float], top: float, n: int = 32) -> None:
        variances = torch.tensor([stds], dtype=torch.float64).square()
        self.exact = GaussianMixture(torch.zeros_like(variances), variances)
        self.space = Euclidean(n, (len(stds),), dtype=torch.float64)
        self.xi = self.space.noise(streams(0, "x", range(n)))
        self.solution = Solution(flow(self.exact, top * self.xi, top), self.space)

    def __call__(self, levels: Sequence[float], rows: Sequence[PlanRow], again: bool = False) -> Tensor:
        *_, last = run_plan(rows, self.exact, levels[0] * self.xi, self.space, None, ())
        return last.x

    def fit(self, form: Form, rounds: int = 4) -> Point:
        return fit(form, self, self.solution, rounds, lambda plans: None)


def test_the_level_of_two_steps_is_that_of_a_search_by_brute_force() -> None:
    """Without corrections and with one level to place, every place can be tried."""
    case, form = Case([1.5, 0.8, 0.3, 0.1], 4.0), Form((4.0, 2.5, 0.0), 2, 0, 1.0)
    places = torch.linspace(0.05, 3.9, 800, dtype=torch.float64).log()[:, None]
    errors = []
    for theta in places:
        made = form.rows(theta)
        assert made is not None
        errors.append(case.solution.error(case(*made)))
    least = min(errors)
    best = case.fit(form, rounds=8)
    assert best.error < 1.01 * least < 0.8 * case.solution.error(case(*form.rows(form.start())))  # type: ignore[misc]
    assert float(best.theta[0].exp()) == pytest.approx(float(places[errors.index(least), 0].exp()), rel=0.08)


def test_two_steps_are_exact_on_data_of_one_standard_deviation() -> None:
    """There the solution is a multiple of the noise, which one correction can reach."""
    case = Case([0.3] * 4, 4.0)
    best = case.fit(form_of((4.0, 0.7, 0.0), 2, 1.0), rounds=8)
    assert best.error < 1e-6


@pytest.mark.parametrize("n", [4, 9])
def test_a_free_first_step_stays_free_and_levels_fall(n: int) -> None:
    case = Case([1.5, 0.8, 0.3, 0.1], 80.0)
    form = form_of([*auto_spacing(n, EDM(), 1.0), 0.0], n, 1.0)
    assert form.free
    before = case.fit(form, rounds=0)
    best = case.fit(form, rounds=2)
    assert best.error < 0.5 * before.error
    levels, rows = form.rows(best.theta)  # type: ignore[misc]
    assert levels == sorted(levels, reverse=True)
    assert sum(isinstance(row, Row) for row in rows) == n
    assert case.solution.error(case(levels, rows)) == best.error


def test_levels_that_do_not_fall_have_no_rows() -> None:
    form = form_of((4.0, 2.0, 1.0, 0.0), 3, 1.0)
    theta = form.start()
    theta[1] = theta[0]
    assert form.rows(theta) is None
