r"""Stochastic samplers beyond ancestral ones: SA-Solver, ER-SDE, Restart.

Symbols: s noise level, D the estimate of the clean state, tau the strength of noise (0: the ODE, 1: the reverse SDE).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from polydiff.gaussian.sampling.adams import Array, lagrange, quadrature, safe_order, whole
from polydiff.gaussian.sampling.multistep import adams
from polydiff.gaussian.sampling.plan import SAMPLERS, PlanRow, Renoise, Row
from polydiff.gaussian.sampling.spacing import for_data


@SAMPLERS.register("sa_solver")
def sa_solver(
    levels: Sequence[float],
    tau: float = 1.0,
    order: int = 3,
    corrector: int = 4,
    low: float = 0.0,
    high: float = math.inf,
    variable: str = "sigma",
    sigma_data: float = 1.0,
) -> list[Row]:
    """SA-Solver (Xue et al., 2023, https://arxiv.org/abs/2309.05019): Adams steps on the SDE of noise strength tau.

    Arguments:
        levels: Noise levels.
        tau: Strength of noise where low <= s <= high, 0 elsewhere.
        order: Estimates that the predictor uses.
        corrector: Estimates that the corrector uses, the new one included; 0: none.
        low: Lowest noise level with noise; the paper uses 0.05.
        high: The highest; the paper uses 1 or 50.
        variable: In which estimates are interpolated; "log" as in the paper.
        sigma_data: Standard deviation of the data, for variables that depend on it.
    """
    return adams(levels, order, "x0", variable, corrector, tau, low, high, sigma_data=sigma_data)


class Scale(NamedTuple):
    """phi of ER-SDE.

    Attributes:
        log: log phi(s).
        slope: Its derivative.
    """

    log: Callable[[Array], Array]
    slope: Callable[[Array], Array]


SCALES = {
    "ode": Scale(np.log, lambda s: 1 / s),
    "sde": Scale(lambda s: 2 * np.log(s), lambda s: 2 / s),
    "default": Scale(
        lambda s: np.log(s) + np.logaddexp(s**0.3, math.log(10)),
        lambda s: 1 / s + 0.3 * s**-0.7 / (1 + 10 * np.exp(-(s**0.3))),
    ),
}


@SAMPLERS.register("er_sde")
def er_sde(levels: Sequence[float], order: int = 3, scale: str = "default", limit: float = 4.0) -> list[Row]:
    r"""ER-SDE-Solver (Cui et al., 2023, https://arxiv.org/abs/2309.06169), the integrals by quadrature.

    With r = phi(s_1) / phi(s_0): x <- r x + sum_j B_j D_j + sqrt(s_1^2 - s_0^2 r^2) xi, where B_j is the integral of
    the Lagrange polynomial l_j(s) against -d(phi(s_1) / phi(s)).

    Arguments:
        levels: Noise levels.
        order: Estimates that a step uses, once there are so many.
        scale: phi: "ode", s; "sde", s^2; "default", s (exp(s^0.3) + 10).
        limit: As in `adams`.
    """
    if scale not in SCALES:
        raise ValueError(f"scale must be one of {', '.join(SCALES)}, not {scale!r}.")
    whole("order", order, 1, 6)
    phi = SCALES[scale]
    rows: list[Row] = []
    nodes: tuple[float, ...] = ()
    for s0, s1 in pairwise(levels):
        nodes = (s0, *nodes[: order - 1])
        used = np.array(nodes[: safe_order(s1, nodes, order, "sigma", 1.0, limit)])
        if s1 == 0:
            rows.append(Row(s0, 0.0, tuple(lagrange(np.zeros(()), used).tolist()), 0.0, 0.0))
            continue
        s, ds = quadrature(s0, s1, 1.0)
        end = phi.log(np.array([s1, s0]))
        r = math.exp(end[0] - end[1])
        B = lagrange(s, used) @ (-np.exp(end[0] - phi.log(s)) * phi.slope(s) * ds)
        rows.append(Row(s0, r, tuple(B.tolist()), math.sqrt(max(s1**2 - (s0 * r) ** 2, 0.0)), s1))
    return rows


@SAMPLERS.register("restart")
def restart(
    levels: Sequence[float],
    low: float = 0.1,
    high: float = 1.0,
    repeats: int = 2,
    steps: int = 4,
    base: str = "heun",
    sigma_data: float = 1.0,
) -> list[PlanRow]:
    """Restart (Xu et al., 2023, https://arxiv.org/abs/2306.14878): go back up in noise and come down again.

    Where the plan first reaches `low`, noise of variance high^2 - low^2 is added and the ODE is solved down again. A
    plan that begins below `high` goes back to its own beginning at most.

    Arguments:
        levels: Noise levels.
        low: Where it turns: the first level of the grid at or below.
        high: Where it goes back to.
        repeats: How often.
        steps: Steps of each way down, uniform in log s.
        base: Sampler of all the ways.
        sigma_data: Standard deviation of the data, for a base that depends on it.
    """
    if base == "restart" or not (0 < low < high and repeats >= 0 and steps >= 1):
        raise ValueError(
            "restart needs a base other than itself, 0 < low < high, repeats >= 0 and steps >= 1, not "
            f"{base}, {low}, {high}, {repeats}, {steps}."
        )
    solve = partial(for_data, SAMPLERS[base], sigma_data)
    high = min(high, levels[0])
    turn = next((i for i, s in enumerate(levels) if s <= low), len(levels))
    if turn in (0, len(levels)) or levels[turn] == 0:
        return [*solve(levels)]
    bottom = levels[turn]
    up = Renoise(high, C=math.sqrt(high**2 - bottom**2))
    down = solve([high * (bottom / high) ** (i / steps) for i in range(steps + 1)])
    return [*solve(levels[: turn + 1]), *((up, *down) * repeats), *solve(levels[turn:])]
