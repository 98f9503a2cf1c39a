"""Samplers of one evaluation and one step: DDPM, DDIM and their kin.

Symbols: s noise level, r = s_1 / s_0 of a step from s_0 to s_1, D the estimate of the clean state, xi fresh noise.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

from polydiff.sampling.rows import SAMPLERS, Row


@SAMPLERS.register("ddim")
def ddim(levels: Sequence[float], eta: float = 0.0) -> list[Row]:
    """DDIM (Song et al., 2021, https://arxiv.org/abs/2010.02502): x <- D + s_d / s_0 (x - D) + s_u xi.

    s_u = eta s_1 sqrt(1 - s_1^2 / s_0^2) and s_d^2 = s_1^2 - s_u^2. eta = 0 is Euler's method on the probability-flow
    ODE, eta = 1 is DDPM with the small variance.
    """
    if not 0 <= eta <= 1:
        raise ValueError(f"eta must be between 0 and 1, not {eta}.")

    def row(s0: float, s1: float) -> Row:
        up = eta * s1 * math.sqrt(1 - (s1 / s0) ** 2)
        down = math.sqrt(max(s1**2 - up**2, 0.0))
        return Row(s0, down / s0, (1 - down / s0,), up, s1)

    return [row(s0, s1) for s0, s1 in pairwise(levels)]


@SAMPLERS.register("euler")
def euler(levels: Sequence[float]) -> list[Row]:
    """Euler's method on the probability-flow ODE, order 1: in this frame, DDIM with eta = 0."""
    return ddim(levels, eta=0.0)


@SAMPLERS.register("ddpm")
def ddpm(levels: Sequence[float], variance: str = "small") -> list[Row]:
    """Ancestral sampling (Ho et al., 2020, https://arxiv.org/abs/2006.11239), order 1.

    Arguments:
        levels: Noise levels.
        variance: "small", the posterior's variance for data at a point, or "large", beta, that for unit-variance data.
            In this frame beta = (s_0^2 - s_1^2) (1 + s_1^2) / (1 + s_0^2). The last step adds no noise.
    """
    rows = ddim(levels, eta=1.0)
    if variance == "small":
        return rows
    if variance != "large":
        raise ValueError(f"variance must be 'small' or 'large', not {variance!r}.")

    def beta(s0: float, s1: float) -> float:
        return (s0**2 - s1**2) * (1 + s1**2) / (1 + s0**2) if s1 > 0 else 0.0

    return [row._replace(C=math.sqrt(beta(s0, s1))) for row, (s0, s1) in zip(rows, pairwise(levels), strict=True)]


@SAMPLERS.register("heun")
def heun(levels: Sequence[float]) -> list[Row]:
    """Heun's method (Karras et al., 2022, algorithm 1, https://arxiv.org/abs/2206.00364), order 2, 2 calls a step.

    From Euler's x' at s_1 the trapezoid is x' + (1 - r) / (2 r) (D' - D). The step to 0 is Euler's.
    """
    rows: list[Row] = []
    for s0, s1 in pairwise(levels):
        r = s1 / s0
        rows.append(Row(s0, r, (1 - r,), 0.0, s1))
        if s1 > 0:
            half = (1 - r) / (2 * r)
            rows.append(Row(s1, 1.0, (half, -half), 0.0, s1))
    return rows


@SAMPLERS.register("dpmpp_2m")
def dpmpp_2m(levels: Sequence[float]) -> list[Row]:
    """DPM-Solver++(2M) (Lu et al., 2022, https://arxiv.org/abs/2211.01095), order 2, 1 evaluation a step.

    x <- r x + (1 - r) ((1 + k) D_0 - k D_1), k = h / (2 h_before). The first step and the step to 0 are of order 1.
    """
    rows: list[Row] = []
    before = math.inf
    for s0, s1 in pairwise(levels):
        r = s1 / s0
        h = math.log(s0 / s1) if s1 > 0 else 0.0
        k = h / (2 * before)
        rows.append(Row(s0, r, ((1 - r) * (1 + k), -(1 - r) * k), 0.0, s1))
        before = h
    return rows
