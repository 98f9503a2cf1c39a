r"""The default sampler: one recipe for every number of evaluations, chosen on exact models (`benchmarks/samplers.py`).

1. The frame of rectified flow, y = x / (s + sd) with slopes eps - D / sd, in which trajectories bend least:
   Adams-Bashforth of a low order, then, for free, an Adams-Moulton corrector of two more slopes. From 12 evaluations on
   slopes are polynomials of the flow's time s / (s + sd), before that of s, which extrapolates less.
2. A free beginning. Far above the data, x ~ N(0, s^2) and D hardly changes; in the angle theta = atan(s / sd) the flow
   of N(mu, sd^2) has the constant slope mu / sd. So the state is scaled down to `start` without asking the network, and
   the first estimate, taken there, mends that by one implicit Euler step in theta: exact for any mean to first order
   in 1 / start.
3. Levels s_i = sd sinh(asinh(start / sd) (1 - i / n)^1.95), start = n min(0.35 n, 4.2) sd: with few evaluations the
   range is cut at a few standard deviations, with many it opens; the last step ends at exactly 0.

Symbols: s noise level, sd the data's standard deviation, n evaluations.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from polydiff.sampling.engine import FRAMES
from polydiff.sampling.grid import SPACINGS
from polydiff.sampling.multistep import adams
from polydiff.sampling.rows import SAMPLERS, Row
from polydiff.schedule import Schedule

POWER = 1.95
FREE = 5.0
"""Standard deviations of the data above which a first step may end and be free."""


@SPACINGS.register("auto")
def auto_spacing(n: int, schedule: Schedule, sigma_data: float = 1.0) -> list[float]:
    """The levels of the sampler "auto": the schedule's highest, then n levels from `start` down."""
    start = max(1.2 * FREE, n * min(0.35 * n, 4.2))
    top = min(start * sigma_data, schedule.sigma_max)
    turn = math.asinh(top / sigma_data)
    levels = [sigma_data * math.sinh(turn * (1 - i / n) ** POWER) for i in range(n)]
    return [schedule.sigma_max, *levels] if top < schedule.sigma_max else levels


@SAMPLERS.register("auto")
def auto(levels: Sequence[float], sigma_data: float = 1.0) -> list[Row]:
    """The best training-free recipe measured, deterministic, one evaluation a step (module docstring).

    Arguments:
        levels: Noise levels. A first step that ends above 5 standard deviations of the data is free.
        sigma_data: Standard deviation of the data.
    """
    free = len(levels) > 2 and levels[1] > FREE * sigma_data
    grid = levels[1:] if free else levels
    n = len(grid) - 1
    order = 1 if n < 6 else 2 if n < 12 else 3
    rows = adams(grid, order, "flow", "ratio" if order == 3 else "sigma", order + 2, last="none", sigma_data=sigma_data)
    return [*beginning(levels[0], rows[0], sigma_data), *rows[1:]] if free else rows


def beginning(top: float, first: Row, sd: float) -> list[Row]:
    """Return the free step from the highest level, and the first row with the implicit Euler step that mends it.

    With N = sqrt(s^2 + sd^2), the change is N (theta_start - theta_top) m_v, m_v the slope of the angle's frame, which
    is a combination of the state and of the estimate that the row has.
    """
    start = first.at
    assert start is not None
    scale = math.hypot(start, sd)
    turn = scale * (math.atan(start / sd) - math.atan(top / sd))
    v = FRAMES["v"]
    of_d, of_x = turn * v.P(start, sd), turn * v.Q(start, sd)  # the change, of D and x; D = (m - Q x) / P
    mended = first._replace(
        A=first.A * (1 + of_x - of_d * first.Q / first.P), B=(first.B[0] + first.A * of_d / first.P, *first.B[1:])
    )
    return [Row(None, scale / math.hypot(top, sd), (), 0.0, start), mended]
