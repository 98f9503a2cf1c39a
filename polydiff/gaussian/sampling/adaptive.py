r"""A sampler that chooses its steps: the probability-flow ODE to a tolerance, each sample with steps of its own.

In the frame of rectified flow, y = x / (s + sd) and t = s / (s + sd), the ODE is dy/dt = m with m = eps - D / sd:
smooth over all noise levels, on times between 0 and 1.

Symbols: s noise level, sd the data's standard deviation, t flow time.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from polydiff.core.conditions import Condition
from polydiff.core.space import Space, State
from polydiff.gaussian.denoise import Denoise
from polydiff.gaussian.ode import Parts, integrate
from polydiff.gaussian.sampling.plan import SAMPLERS, PlanRow, Row, Solve
from polydiff.gaussian.tableaux import METHODS


@SAMPLERS.register("adaptive")
def adaptive(
    levels: Sequence[float],
    rtol: float = 1e-3,
    atol: float = 1e-3,
    low: float = 0.002,
    method: str = "dopri5",
    sigma_data: float = 1.0,
) -> list[PlanRow]:
    """An embedded Runge-Kutta method with error control (Dormand & Prince, 1980), then one step from `low` to 0.

    Arguments:
        levels: Noise levels, of which the first and, where it is not 0, the last count.
        rtol: Error allowed in a step, relative to the state in units of sqrt(s^2 + sd^2) or so.
        atol: Error allowed where the state is small, in standard deviations of the data.
        low: Standard deviations of the data at which the estimate is taken for the end.
        method: "dopri5" or "bosh3" (`polydiff.gaussian.ode`).
        sigma_data: Standard deviation of the data.
    """
    if rtol <= 0 or atol <= 0 or low <= 0:
        raise ValueError(f"rtol, atol and low must be above 0, not {rtol:g}, {atol:g} and {low:g}.")
    METHODS[method]
    begin, end = levels[0], levels[-1] or min(low * sigma_data, levels[0] / 2)

    def solve(denoise: Denoise, x: State, space: Space, cond: Condition | None) -> State:
        def slope(t: Tensor, parts: Parts) -> Parts:
            s = sigma_data * t / (1 - t)
            level = space.expand(s.to(x))
            state = parts[0] * (level + sigma_data)
            clean = denoise(state, s.to(x), space, cond)
            return ((state - clean) / level - clean / sigma_data,)

        times = [
            torch.full((space.batch,), s / (s + sigma_data), dtype=torch.float64, device=x.device) for s in (begin, end)
        ]
        y = x / (begin + sigma_data)
        solution = integrate(slope, (y,), [space], *times, rtol=rtol, atol=atol, method=method)
        return solution.y[0] * (end + sigma_data)

    way = Solve(begin, end, solve)
    return [way] if levels[-1] else [way, Row(end, 0.0, (1.0,), 0.0, 0.0)]
