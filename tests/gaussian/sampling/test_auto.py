"""The default sampler: what it promises on problems that it was not chosen on, and the parts of its recipe."""

import math

import pytest
import torch
from oracles import GaussianDenoiser, euclidean
from torch.testing import assert_close

from polydiff.core.streams import streams
from polydiff.gaussian.sampling.execute import run_plan, sample
from polydiff.gaussian.sampling.plan import evaluation_rows, evaluations, plan
from polydiff.gaussian.schedule.base import SCHEDULES, Schedule
from polydiff.gaussian.schedule.closed_forms import EDM
from polydiff.testing.exact_flow import flow
from polydiff.testing.problems import SUITES, Problem

HELD_OUT = {problem.name: problem for problem in SUITES["held-out"]()}


def errors(problem: Problem, schedule: Schedule, n: int, **how: object) -> float:
    """The median relative distance from the exact end of the probability-flow ODE, 24 samples in float32."""
    space, denoise = problem.space(24), problem.denoise(schedule)
    begin = schedule.sigma_max * space.noise(streams(3, "x", range(24)))
    truth = flow(problem.exact, begin.double().flatten(1), schedule.sigma_max).reshape(begin.shape)
    rows = plan(schedule, n, sigma_data=denoise.sigma_data, **how)
    *_, last = run_plan(rows, denoise, begin, space, None, streams(0, "y", range(24)))
    distance = (last.x - truth).flatten(1).norm(dim=1) / truth.flatten(1).norm(dim=1)
    return float(distance.median())


@pytest.mark.parametrize("name", ["ring2b", "gmm16", "cloud12", "cfg32", "img144unit"])
def test_auto_beats_the_published_samplers_on_problems_it_was_not_chosen_on(name: str) -> None:
    """At 5, 10 and 20 evaluations, whatever grid the others take; the geometric mean of the ratios is below 0.6."""
    problem, schedule = HELD_OUT[name], EDM()
    ratios = []
    for n in (5, 10, 20):
        others = [
            errors(problem, schedule, n, sampler=sampler, spacing=spacing)
            for sampler in ("ddim", "dpmpp_2m", "unipc", "deis", "ipndm")
            for spacing in ("karras", "log_snr", "asinh")
        ]
        ratios.append(errors(problem, schedule, n) / min(others))
    assert max(ratios) < 1.1
    assert math.prod(ratios) ** (1 / len(ratios)) < 0.6


@pytest.mark.parametrize("schedule", ["linear", "edm", "flow"])
def test_more_evaluations_are_better_at_every_count(schedule: str) -> None:
    """No count between 4 and 40 is worse than a smaller one by more than 15 %."""
    problem = HELD_OUT["gmm16"]
    curve = [errors(problem, SCHEDULES[schedule](), n) for n in range(4, 41)]
    best = math.inf
    for error in curve:
        assert error < 1.15 * best
        best = min(best, error)


def test_a_wrong_guess_of_the_mean_is_mended() -> None:
    """The free step takes mean 0; for data of mean 3 standard deviations the rest makes that good."""
    space = euclidean(8)
    x = 80 * space.noise(streams(0, "x", range(8)))
    for mean, bound in ((0.0, 4e-3), (3.0, 4e-3)):
        denoiser = GaussianDenoiser(torch.full_like(x, mean), 1.0)
        truth = mean + (x - mean) / math.hypot(80, 1)
        *_, last = run_plan(plan(EDM(), 12), denoiser, x, space, None, streams(0, "y", range(8)))
        assert (last.x - truth).norm() / truth.norm() < bound


def test_every_count_of_evaluations_is_kept_and_works() -> None:
    for schedule in ("linear", "edm", "flow", "cosine"):
        for n in (1, 2, 3, 4, 5, 6, 11, 12, 13, 100, 1000):
            rows = plan(SCHEDULES[schedule](), n)
            assert evaluations(rows) == n
            assert all(math.isfinite(row.A) for row in rows)
            assert all(math.isfinite(v) for row in evaluation_rows(rows) for v in (row.P, row.Q, *row.B))


def test_auto_starts_anywhere_and_on_any_levels() -> None:
    """From a low level there is no free step; on levels of one's own the recipe's rows are used."""
    space = euclidean(8)
    denoiser = GaussianDenoiser(torch.zeros(8, 2, 3, dtype=torch.float64), 1.0)
    init = space.noise(streams(4, "init", range(8)))
    noise = space.noise(streams(2, "x", range(8)))
    x = sample(denoiser, space, generators=streams(2, "x", range(8)), steps=20, init=init, start=0.5)
    assert denoiser.calls == 20
    assert_close(x, (init + 0.5 * noise) / math.hypot(0.5, 1), rtol=1e-4, atol=1e-4)
    assert evaluations(plan(EDM(), levels=[3.0, 2.0, 1.0, 0.3, 0.0])) == 4


def test_the_data_s_standard_deviation_is_a_unit() -> None:
    """Scaling data and noise by c scales the samples by c."""
    space = euclidean(4)
    ends = []
    for c in (1.0, 7.0):
        schedule = EDM(sigma_min=0.002 * c, sigma_max=80 * c)
        denoiser = GaussianDenoiser(torch.full((4, 2, 3), 0.4 * c, dtype=torch.float64), 0.6 * c, schedule)
        denoiser.sigma_data = c
        ends.append(sample(denoiser, space, generators=streams(2, "x", range(4)), steps=9) / c)
    assert_close(ends[0], ends[1], rtol=1e-10, atol=1e-10)
