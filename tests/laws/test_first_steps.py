"""Samplers that start far above the data, as on schedules with zero terminal SNR, on an exact Gaussian N(0, 1)."""

from __future__ import annotations

import math

import pytest

from polydiff.gaussian.sampling.plan import SAMPLERS, rows_on
from polydiff.gaussian.sampling.spacing import SPACINGS, noise_levels
from polydiff.gaussian.schedule.base import SCHEDULES, Schedule
from polydiff.gaussian.schedule.tables import INFINITE
from polydiff.testing.gaussian_law import sampled_std

PLANNED = [name for name in SAMPLERS if name not in ("adaptive", "calibrated")]  # which have no steps of their own
PLACED = [name for name in SPACINGS if name != "own"]
TABLES = ["linear", "quadratic", "scaled_linear", "cosine_betas", "sigmoid_betas", "sqrt"]
FIRST_ORDER = {"ddim", "ddpm", "euler", "euler_ancestral", "shortcut"}
NO_SOLVER = {"consistency"}
"""Estimates the data from pure noise in each step: right for consistency models alone."""


def found(schedule: Schedule, steps: int) -> dict[tuple[str, str], float]:
    """Return the standard deviation of samples for each placement and sampler."""
    levels = {name: noise_levels(schedule, steps, name) for name in PLACED}
    return {(s, name): sampled_std(rows_on(levels[s], name), levels[s][0]) for s in PLACED for name in PLANNED}


def check(schedule: Schedule, steps: int) -> None:
    """No number is infinite, and no sampler adds much more than it does on the schedule of EDM, which starts at 80."""
    for (spacing, sampler), std in found(schedule, steps).items():
        assert std < 8, (spacing, sampler, steps, std)  # NaN is not below 8


@pytest.mark.parametrize("name", TABLES)
@pytest.mark.parametrize("sampler", ["heun", "rk4", "pndm", "plms", "restart", "dpm2", "dpm3"])
def test_single_steps_do_not_overshoot_with_zero_terminal_snr(sampler: str, name: str) -> None:
    """On the placement that zero terminal SNR is used with; a step of Heun from 1e5 used to add 13 deviations."""
    schedule = SCHEDULES[name](zero_terminal_snr=True)
    assert schedule.sigma_max == pytest.approx(INFINITE)
    for steps in (10, 20, 50, 250):
        levels = noise_levels(schedule, steps, "time")
        assert abs(sampled_std(rows_on(levels, sampler), levels[0]) - 1) < (0.15 if steps == 10 else 0.1), steps
        levels = noise_levels(schedule, steps, "trailing")  # whose last step, to 0, may be long
        assert 0.8 < sampled_std(rows_on(levels, sampler), levels[0]) < 1.1, steps


@pytest.mark.parametrize("name", ["scaled_linear", "cosine_betas"])
def test_no_sampler_overshoots_with_few_steps(name: str) -> None:
    for steps in (1, 2, 3, 10):
        check(SCHEDULES[name](zero_terminal_snr=True), steps)


@pytest.mark.parametrize(("high", "low"), [(80.0, 0.002), (1e3, 1e-3)])
def test_first_order_methods_lose_a_share_that_falls_with_the_steps(high: float, low: float) -> None:
    """On levels uniform in log s, L / (4 n) of the standard deviation with L = log(high / low), or twice that."""
    for n in (100, 400):
        levels = [high * (low / high) ** (i / n) for i in range(n + 1)]
        share = math.log(high / low) / (4 * n)
        for sampler, times in (("ddim", 1), ("ddpm", 2)):
            lost = 1 - sampled_std(rows_on(levels, sampler), math.hypot(high, 1)) / math.hypot(low, 1)
            assert lost == pytest.approx(times * share, rel=0.06 if n == 100 else 0.02)


def test_a_step_from_near_the_data_is_the_published_one() -> None:
    """The schedule of EDM has no step that would overshoot: coefficients are those of the method."""
    levels = noise_levels(SCHEDULES["edm"](), 18, "karras")
    assert len(SAMPLERS["heun"](levels)) == 2 * 18 - 1
    assert len(SAMPLERS["rk4"](levels)) == 4 * 18 - 3
    assert len(SAMPLERS["dpm3"](levels)) == 3 * 18 - 2


def test_the_order_is_lowered_for_data_of_any_scale() -> None:
    levels = [1e5, 60.0, 8.0, 2.0, 0.5, 0.0]
    for name in ("heun", "rk4", "dpm2", "dpm3", "plms", "pndm"):
        small, large = rows_on(levels, name, 1.0), rows_on([10 * s for s in levels], name, 10.0)
        assert [row.at for row in large] == pytest.approx([10 * row.at for row in small])  # type: ignore[union-attr]


@pytest.mark.slow
@pytest.mark.parametrize("zero", [False, True])
@pytest.mark.parametrize("name", list(SCHEDULES))
def test_every_sampler_is_bounded_on_every_schedule_and_placement(name: str, zero: bool) -> None:
    """From 1 to 250 steps. From 50 steps on, methods of higher order that draw no noise are right to 10 %.

    The schedule laplace is an exception on placements in time: half of its levels lie within a factor of 1.2.
    """
    if zero and name not in TABLES:
        pytest.skip("only tables of betas have zero_terminal_snr")
    schedule = SCHEDULES[name](zero_terminal_snr=True) if zero else SCHEDULES[name]()
    for steps in (1, 2, 3, 5, 10, 20):
        check(schedule, steps)
    for steps in (50, 250):
        for (spacing, sampler), std in found(schedule, steps).items():
            noisy = any(getattr(row, "C", 0) for row in rows_on(noise_levels(schedule, steps, spacing), sampler))
            exact = not (noisy or sampler in FIRST_ORDER | NO_SOLVER or name == "laplace")
            assert abs(std - 1) < 0.1 if exact else std < 4, (spacing, sampler, steps, std)
