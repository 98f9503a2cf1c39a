r"""The default sampler "auto": one recipe for every number of evaluations.

It was chosen on exact models together with trained networks of three modalities (`benchmarks/samplers.py` and
`benchmarks/networks.py`). On exact models alone, higher orders would be better.

1. The frame of rectified flow, y = x / (s + sd) with slopes eps - D / sd, in which trajectories are straightest. The
   steps are Adams-Bashforth of order 1 (fewer than 6 evaluations), 2, or 3 (18 and more), with a free Adams-Moulton
   corrector of up to 5 slopes. In these three cases the slopes are interpolated in s, in sqrt(s) and in the flow's time
   s / (s + sd).
2. A free first step. Far above the data, x ~ N(0, s^2) and D hardly changes. In the angle theta = atan(s / sd) the flow
   of N(mu, sd^2) has the constant slope mu / sd. So the state is first scaled down to the level `start` without an
   evaluation. The first estimate is made there, and corrects this step by one implicit Euler step in theta, which is
   exact for any mean to first order in 1 / start.
3. Levels s_i = c sinh(asinh(start / c) (1 - i / n)^p), c = 0.65 sd, p = 1.2 + 0.36 log n, and then 0. `start` rises
   from 6 sd to 62 sd at 20 evaluations, then as n^2. With few evaluations a low start saves steps. With many it is so
   high that the error of the free step, of second order in 1 / start, is below the others.

Symbols: s noise level, sd standard deviation of the data, n number of evaluations, D estimate of the clean state,
eps = (x - D) / s, c noise level at which the spacing changes from linear to logarithmic.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from polydiff.gaussian.sampling.adams import FRAMES
from polydiff.gaussian.sampling.multistep import adams
from polydiff.gaussian.sampling.plan import SAMPLERS, PlanRow, Renoise, Row
from polydiff.gaussian.sampling.spacing import SPACINGS
from polydiff.gaussian.schedule.base import Schedule

KNEE_STDS = 0.65
"""The noise level c, in standard deviations of the data."""
FREE_STEP_STDS = 5.0
"""Lowest noise level at which a free step may end, in standard deviations of the data."""
FREE_STEP_RATIO = 1.02
"""Least ratio of the noise levels at the two ends of a free step."""


@SPACINGS.register("auto")
def auto_spacing(n: int, schedule: Schedule, sigma_data: float = 1.0) -> list[float]:
    """Return the levels of the sampler "auto": the schedule's highest, then n levels from `start` down, above 0.

    If the schedule's highest level is too low for a free step, `start` is this level and there are n levels.

    Arguments:
        n: Number of evaluations.
        schedule: Gives the highest level.
        sigma_data: Standard deviation of the data.
    """
    c = KNEE_STDS * sigma_data
    high = schedule.sigma_max
    free = high > FREE_STEP_RATIO * FREE_STEP_STDS * sigma_data
    stds = max(1.2 * FREE_STEP_STDS, n * min(0.35 * n, max(3.1, 0.155 * n)))
    start = min(sigma_data * stds, high / FREE_STEP_RATIO) if free else high
    power = 1.2 + 0.36 * math.log(n)
    levels = [c * math.sinh(math.asinh(start / c) * (1 - i / n) ** power) for i in range(n)]
    return [high, *levels] if free else levels


def recipe(n: int) -> dict[str, Any]:
    """Return the arguments order, variable and corrector of `adams` for n evaluations."""
    if n < 6:
        return {"order": 1, "variable": "sigma", "corrector": 4}
    return (
        {"order": 2, "variable": "root", "corrector": 5}
        if n < 18
        else {"order": 3, "variable": "ratio", "corrector": 5}
    )


@SAMPLERS.register("auto")
def auto(levels: Sequence[float], sigma_data: float = 1.0) -> list[PlanRow]:
    """Return the rows of the default sampler: deterministic, one evaluation a step (see the module docstring).

    Arguments:
        levels: Noise levels. The first step is free if it ends at 5 standard deviations of the data or more, and if its
            two levels have a ratio of at least 1.02.
        sigma_data: Standard deviation of the data.
    """
    free = (
        len(levels) > 2
        and levels[1] >= FREE_STEP_STDS * sigma_data
        and levels[0] >= FREE_STEP_RATIO * levels[1] * (1 - 1e-12)
    )
    return auto_rows(levels, free, sigma_data)


def auto_rows(levels: Sequence[float], free: bool, sigma_data: float) -> list[PlanRow]:
    """Return the rows of "auto", with a free first step or without one.

    Arguments:
        levels: Noise levels, at least 3 with a free step.
        free: Whether the step from the first level needs no evaluation.
        sigma_data: Standard deviation of the data.
    """
    grid = levels[1:] if free else levels
    rows = adams(grid, frame="flow", last="none", sigma_data=sigma_data, **recipe(len(grid) - 1))
    return [*free_step(levels[0], rows[0], sigma_data), *rows[1:]] if free else [*rows]


def free_step(top: float, first: Row, sd: float) -> list[PlanRow]:
    """Return the free step from the highest level, and the first row with the implicit Euler step that corrects it.

    With N = sqrt(s^2 + sd^2), the correction is N (theta_start - theta_top) m_v. The slope m_v of the frame "v" is a
    combination of the state x and the estimate D, and both are available in the first row.

    Arguments:
        top: Highest noise level, where the free step starts.
        first: The row after it, without the correction.
        sd: Standard deviation of the data.
    """
    start = first.at
    scale = math.hypot(start, sd)
    step = scale * (math.atan(start / sd) - math.atan(top / sd))
    v = FRAMES["v"]
    of_d, of_x = step * v.P(start, sd), step * v.Q(start, sd)  # factors of D and x in it; D = (m - Q x) / P
    corrected = first._replace(
        A=first.A * (1 + of_x - of_d * first.Q / first.P), B=(first.B[0] + first.A * of_d / first.P, *first.B[1:])
    )
    return [Renoise(start, A=scale / math.hypot(top, sd)), corrected]
