r"""A sampler with error control: it solves the probability-flow ODE to a tolerance, each sample with its own steps.

In the frame of rectified flow, y = x / (s + sd) and t = s / (s + sd), the ODE is dy/dt = m with m = eps - D / sd. The
slope m is smooth over all noise levels, and t lies in [0, 1).

Symbols: s noise level, sd standard deviation of the data, t flow time, D estimate of the clean state,
eps = (x - D) / s.
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
    """Return an embedded Runge-Kutta method with error control as one row, then a step from `low` to D.

    (Dormand & Prince, 1980, https://doi.org/10.1016/0771-050X(80)90013-3; Bogacki & Shampine, 1989,
    https://doi.org/10.1016/0893-9659(89)90079-7)

    Arguments:
        levels: Noise levels; only the first and, if it is above 0, the last are used.
        rtol: Error allowed in a step, relative to |y|.
        atol: Absolute error allowed in a step of y, in addition to the relative one.
        low: Noise level, in standard deviations of the data, at which the integrator ends if the last level is 0.
        method: "dopri5", of order 5, or "bosh3", of order 3 (`polydiff.gaussian.tableaux`).
        sigma_data: Standard deviation of the data.

    Raises:
        ValueError: A tolerance or `low` is not above 0.
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

    integration = Solve(begin, end, solve)
    return [integration] if levels[-1] else [integration, Row(end, 0.0, (1.0,), 0.0, 0.0)]
