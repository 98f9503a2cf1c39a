r"""The default sampler: one recipe for every number of evaluations.

It was chosen on exact models and on trained networks of three modalities together (`benchmarks/samplers.py` and
`benchmarks/networks.py`): exact models alone would have higher orders.

1. The frame of rectified flow, y = x / (s + sd) with slopes eps - D / sd, in which trajectories bend least:
   Adams-Bashforth of order 1 (fewer than 6 evaluations), 2 or 3 (18 and more), then, for free, an Adams-Moulton
   corrector of up to 5 slopes. Slopes are polynomials of s, of sqrt(s) and of the flow's time s / (s + sd).
2. A free beginning. Far above the data, x ~ N(0, s^2) and D hardly changes; in the angle theta = atan(s / sd) the flow
   of N(mu, sd^2) has the constant slope mu / sd. So the state is scaled down to `start` without asking the network, and
   the first estimate, taken there, corrects that by one implicit Euler step in theta: exact for any mean to first order
   in 1 / start.
3. Levels s_i = c sinh(asinh(start / c) (1 - i / n)^p), c = 0.65 sd, p = 1.2 + 0.36 log n, and start a number of sd
   that rises from 6 to 62 at 20 evaluations, then as n^2: with few the range is cut, with many it opens until the free
   beginning's error, of second order in 1 / start, is below the rest. The last step ends at 0.

Symbols: s noise level, sd the data's standard deviation, n evaluations.
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

KNEE = 0.65
"""c, in standard deviations of the data."""
FREE = 5.0
"""Standard deviations of the data above which a first step may end and be free."""
LEAST = 1.02
"""Least ratio of the levels between which it goes."""


@SPACINGS.register("auto")
def auto_spacing(n: int, schedule: Schedule, sigma_data: float = 1.0) -> list[float]:
    """The levels of the sampler "auto": the schedule's highest, then n levels from `start` down."""
    c = KNEE * sigma_data
    high = schedule.sigma_max
    free = high > LEAST * FREE * sigma_data
    start = min(sigma_data * max(1.2 * FREE, n * min(0.35 * n, max(3.1, 0.155 * n))), high / LEAST) if free else high
    power = 1.2 + 0.36 * math.log(n)
    levels = [c * math.sinh(math.asinh(start / c) * (1 - i / n) ** power) for i in range(n)]
    return [high, *levels] if free else levels


def recipe(n: int) -> dict[str, Any]:
    """Return the order, the variable and the corrector for n evaluations."""
    if n < 6:
        return {"order": 1, "variable": "sigma", "corrector": 4}
    return (
        {"order": 2, "variable": "root", "corrector": 5}
        if n < 18
        else {"order": 3, "variable": "ratio", "corrector": 5}
    )


@SAMPLERS.register("auto")
def auto(levels: Sequence[float], sigma_data: float = 1.0) -> list[PlanRow]:
    """The best training-free recipe measured, deterministic, one evaluation a step (module docstring).

    Arguments:
        levels: Noise levels. A first step that ends above 5 standard deviations of the data, and is not a tiny one, is
            free.
        sigma_data: Standard deviation of the data.
    """
    free = len(levels) > 2 and levels[1] >= FREE * sigma_data and levels[0] >= LEAST * levels[1] * (1 - 1e-12)
    grid = levels[1:] if free else levels
    rows = adams(grid, frame="flow", last="none", sigma_data=sigma_data, **recipe(len(grid) - 1))
    return [*free_step(levels[0], rows[0], sigma_data), *rows[1:]] if free else [*rows]


def free_step(top: float, first: Row, sd: float) -> list[PlanRow]:
    """Return the free step from the highest level, and the first row with the implicit Euler step that corrects it.

    With N = sqrt(s^2 + sd^2), the change is N (theta_start - theta_top) m_v, m_v the slope of the angle's frame, which
    is a combination of the state and of the estimate that the row has.
    """
    start = first.at
    scale = math.hypot(start, sd)
    turn = scale * (math.atan(start / sd) - math.atan(top / sd))
    v = FRAMES["v"]
    of_d, of_x = turn * v.P(start, sd), turn * v.Q(start, sd)  # the change, of D and x; D = (m - Q x) / P
    mended = first._replace(
        A=first.A * (1 + of_x - of_d * first.Q / first.P), B=(first.B[0] + first.A * of_d / first.P, *first.B[1:])
    )
    return [Renoise(start, A=scale / math.hypot(top, sd)), mended]
