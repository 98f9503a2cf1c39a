r"""Single-step samplers, with several evaluations a step: Heun, DPM-Solver-2 and -3, DPM-Solver++(2S), Runge-Kutta 4.

A step has stages. Each is a combination of the state x at the start of the step and the slopes of the stages before,
x_stage = a x + sum_j b_j m_j. `staged` converts stages to rows, each of which starts from the stage before. A stage at
s = 0 cannot be evaluated, so the step to 0 is Euler's. So is a step from far above the data that a method for eps would
overshoot (`safe`), as on a schedule that starts at s = 1e5.

Symbols: s noise level, r = s_1 / s_0 and h = log(s_0 / s_1) for a step from s_0 to s_1, D estimate of the clean state,
eps = (x - D) / s, m_j slopes: eps, or D in DPM-Solver++.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import NamedTuple

from polydiff.gaussian.sampling.first_order import ancestral
from polydiff.gaussian.sampling.plan import SAMPLERS, PlanRow, Renoise, Row


class Stage(NamedTuple):
    """A stage of a step: one evaluation and the state that follows, a x + sum_j b_j m_j with x at the step's start.

    Attributes:
        at: Noise level at which the network is evaluated.
        to: Noise level of the state that follows.
        a: Factor of x.
        b: Factors of the slopes of the step so far, oldest first.
    """

    at: float
    to: float
    a: float
    b: tuple[float, ...]


Step = Callable[[float, float], list[Stage]]


def staged(stages: Sequence[Stage], clean: bool = False) -> list[Row]:
    """Return the rows of a step, each of which starts from the state of the row before.

    Arguments:
        stages: The stages of the step.
        clean: Whether the slopes are estimates D of the clean state; otherwise they are eps.
    """
    rows: list[Row] = []
    a = 1.0
    b: tuple[float, ...] = ()
    for at, to, a_next, b_next in stages:
        A = a_next / a
        before = (*b, *(0.0 for _ in range(len(b_next) - len(b))))
        B = tuple(new - A * old for new, old in zip(reversed(b_next), reversed(before), strict=True))
        rows.append(Row(at, A, B, 0.0, to) if clean else Row(at, A, B, 0.0, to, -1 / at, 1 / at))
        a, b = a_next, b_next
    return rows


def euler_step(s0: float, s1: float) -> list[Stage]:
    """Return the stage of Euler's method, x + (s_1 - s_0) eps."""
    return [Stage(s0, s1, 1.0, (s1 - s0,))]


FAR_STDS = 20.0
"""Noise level, in standard deviations of the data, above which a state is almost noise alone."""
OVERSHOOT, OVERSHOOT_NEAR = 0.05, 1.0
"""Largest error of a step on Gaussian data, a share of the exact state: from far above the data, and from elsewhere."""


def gaussian_error(stages: Sequence[Stage], sd: float) -> float:
    """Return the error of a step for eps on data N(0, sd^2), as a share of the exact state sqrt(s^2 + sd^2)."""
    x, slopes = 1.0, []
    for at, _, a, b in stages:
        slopes.append(x * at / (at**2 + sd**2))
        x = a + sum(factor * m for factor, m in zip(b, slopes, strict=True))
    return abs(x * math.hypot(stages[0].at, sd) / math.hypot(stages[-1].to, sd) - 1)


def safe(stages: Sequence[Stage], sd: float) -> Sequence[Stage]:
    """Return the stages of a step for eps, or Euler's step where the method would overshoot.

    Far above the data eps hardly changes along a trajectory, but methods of higher order multiply its small change near
    s_1 by the length of the step. Heun's step from 1e5 to 60 adds 14 standard deviations of the data.

    Arguments:
        stages: The stages of the step.
        sd: Standard deviation of the data.
    """
    first, last = stages[0].at, stages[-1].to
    error = gaussian_error(stages, sd)
    euler = euler_step(first, last)
    most = OVERSHOOT if first > FAR_STDS * sd else OVERSHOOT_NEAR
    return euler if error > most and gaussian_error(euler, sd) < error else stages


def steps(levels: Sequence[float], one: Step, eta: float = 0.0, sigma_data: float = 1.0) -> list[Row]:
    """Return the rows of a method for eps, with Euler's step to 0 and where the method would overshoot (`safe`).

    Arguments:
        levels: Noise levels.
        one: (s_0, s_1) -> the stages of one step.
        eta: Strength of noise, as in ancestral sampling (`ancestral`); 0: none.
        sigma_data: Standard deviation of the data.
    """
    rows: list[Row] = []
    for s0, s1 in pairwise(levels):
        down, up = ancestral(s0, s1, eta)
        rows += staged(safe(one(s0, down), sigma_data) if down > 0 else euler_step(s0, down))
        rows[-1] = rows[-1]._replace(C=up, to=s1)
    return rows


def trapezoid(s0: float, s1: float) -> list[Stage]:
    """Return the stages of one step of Heun's method on dx/ds = eps."""
    h = s1 - s0
    return [Stage(s0, s1, 1.0, (h,)), Stage(s1, s1, 1.0, (h / 2, h / 2))]


@SAMPLERS.register("heun")
def heun(
    levels: Sequence[float],
    churn: float = 0.0,
    low: float = 0.0,
    high: float = math.inf,
    noise: float = 1.0,
    sigma_data: float = 1.0,
) -> list[PlanRow]:
    """Return the rows of Heun's method with churn, order 2 (Karras et al., 2022, algorithms 1 and 2).

    https://arxiv.org/abs/2206.00364

    Arguments:
        levels: Noise levels.
        churn: S_churn, the amount of noise that is added back over all steps; 0: none, the ODE.
        low: S_tmin, the lowest noise level at which noise is added.
        high: S_tmax, the highest noise level at which noise is added.
        noise: S_noise, the standard deviation of the noise, relative to the one that fits the raised noise level.
        sigma_data: Standard deviation of the data, for steps from far above it.

    Raises:
        ValueError: `churn` or `noise` is negative.
    """
    if churn < 0 or noise < 0:
        raise ValueError(f"churn and noise must not be negative, not {churn:g} and {noise:g}.")
    gamma = min(churn / max(len(levels) - 1, 1), math.sqrt(2) - 1)

    rows: list[PlanRow] = []
    for s0, s1 in pairwise(levels):
        raised = s0 * (1 + gamma) if gamma > 0 and low <= s0 <= high else s0
        if raised > s0:
            rows.append(Renoise(raised, C=noise * math.sqrt(raised**2 - s0**2)))
        rows += steps([raised, s1], trapezoid, sigma_data=sigma_data)
    return rows


@SAMPLERS.register("dpm2")
def dpm2(levels: Sequence[float], eta: float = 0.0, sigma_data: float = 1.0) -> list[Row]:
    """Return the rows of DPM-Solver-2, the midpoint method in log s, order 2 (Lu et al., 2022).

    https://arxiv.org/abs/2206.00927

    Arguments:
        levels: Noise levels.
        eta: Strength of noise, as in ancestral sampling; 0: none.
        sigma_data: Standard deviation of the data, for steps from far above it.
    """

    def midpoint(s0: float, s1: float) -> list[Stage]:
        middle = math.sqrt(s0 * s1)
        return [Stage(s0, middle, 1.0, (middle - s0,)), Stage(middle, s1, 1.0, (0.0, s1 - s0))]

    return steps(levels, midpoint, eta, sigma_data)


@SAMPLERS.register("dpm3")
def dpm3(levels: Sequence[float], sigma_data: float = 1.0) -> list[Row]:
    """Return the rows of DPM-Solver-3 with r_1 = 1/3, r_2 = 2/3, order 3 (Lu et al., 2022, algorithm 2).

    https://arxiv.org/abs/2206.00927
    """

    def third(s0: float, s1: float) -> list[Stage]:
        h = math.log(s0 / s1)
        u, w = s0 * math.exp(-h / 3), s0 * math.exp(-2 * h / 3)
        k = 2 * w * (math.expm1(2 * h / 3) / (2 * h / 3) - 1)
        l = 1.5 * s1 * (math.expm1(h) / h - 1)
        return [
            Stage(s0, u, 1.0, (u - s0,)),
            Stage(u, w, 1.0, (w - s0 + k, -k)),
            Stage(w, s1, 1.0, (s1 - s0 + l, 0.0, -l)),
        ]

    return steps(levels, third, sigma_data=sigma_data)


@SAMPLERS.register("rk4")
def rk4(levels: Sequence[float], sigma_data: float = 1.0) -> list[Row]:
    """Return the rows of the classical Runge-Kutta method in s, order 4 (Kutta, 1901)."""
    return steps(levels, classical, sigma_data=sigma_data)


def classical(s0: float, s1: float) -> list[Stage]:
    """Return the stages of one step of the classical Runge-Kutta method on dx/ds = eps."""
    h, middle = s1 - s0, (s0 + s1) / 2
    return [
        Stage(s0, middle, 1.0, (h / 2,)),
        Stage(middle, middle, 1.0, (0.0, h / 2)),
        Stage(middle, s1, 1.0, (0.0, 0.0, h)),
        Stage(s1, s1, 1.0, (h / 6, h / 3, h / 3, h / 6)),
    ]


@SAMPLERS.register("dpmpp_2s")
def dpmpp_2s(levels: Sequence[float], eta: float = 0.0) -> list[Row]:
    """Return the rows of DPM-Solver++(2S) with r_1 = 1/2, order 2 (Lu et al., 2022, algorithm 1).

    https://arxiv.org/abs/2211.01095

    Arguments:
        levels: Noise levels.
        eta: Strength of noise, as in ancestral sampling; 0: none.
    """
    rows: list[Row] = []
    for s0, s1 in pairwise(levels):
        down, up = ancestral(s0, s1, eta)
        r = down / s0
        middle = math.sqrt(r)
        stages = [Stage(s0, s0 * middle, middle, (1 - middle,)), Stage(s0 * middle, down, r, (0.0, 1 - r))]
        rows += staged(stages if r > 0 else [Stage(s0, 0.0, 0.0, (1.0,))], clean=True)
        rows[-1] = rows[-1]._replace(C=up, to=s1)
    return rows
