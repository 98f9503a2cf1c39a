r"""Multistep samplers: one evaluation a step, combined with the estimates of earlier steps.

`adams` is the general method. DEIS, LMS and DPM-Solver++(3M) are choices of its frame and variable. The methods whose
published coefficients are not exact integrals (DPM-Solver++(2M), UniPC, PLMS) keep these coefficients.

Symbols: s noise level, r = s_1 / s_0 and h = log(s_0 / s_1) for a step from s_0 to s_1, D_0, D_1, ... latest estimates
of the clean state, newest first, eps_j = (x_j - D_j) / s_j.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from polydiff.gaussian.sampling.adams import FRAMES, add_padded, check_options, safe_order, step, whole
from polydiff.gaussian.sampling.plan import SAMPLERS, Row, check_falls
from polydiff.gaussian.sampling.single_step import classical, steps, trapezoid


@SAMPLERS.register("adams")
def adams(
    levels: Sequence[float],
    order: int = 3,
    frame: str = "eps",
    variable: str = "log",
    corrector: int = 0,
    tau: float = 0.0,
    low: float = 0.0,
    high: float = math.inf,
    last: str = "same",
    limit: float = 4.0,
    sigma_data: float = 1.0,
) -> list[Row]:
    """Return the rows of Adams-Bashforth in any frame and variable (see `polydiff.gaussian.sampling.adams`).

    Arguments:
        levels: Noise levels.
        order: Largest number of slopes in a step; the first steps use as many as there are.
        frame: Slope that is integrated: x0, eps, v or flow (`FRAMES`).
        variable: Variable in which slopes are interpolated: log, sigma, root, cbrt, angle, ratio or time (`VARIABLES`).
        corrector: Number of slopes in the free Adams-Moulton corrector, with the new one; 0 or 1: no corrector.
        tau: Strength of noise, in the frame x0 only.
        low: Lowest noise level from which a step adds noise.
        high: Highest noise level from which a step adds noise.
        last: Variable of the step to 0; "same": `variable`, but ratio for log (infinite at 0); "none": order 1.
        limit: Largest ratio of the weights to those of equal steps; a step beyond it has a lower order (`safe_order`).
        sigma_data: Standard deviation of the data.
    """
    check_options(order, frame, variable, corrector, tau, last)
    rows: list[Row] = []
    nodes: tuple[float, ...] = ()
    before: tuple[float, tuple[float, ...], float] | None = None
    for s0, s1 in pairwise(levels):
        nodes = (s0, *nodes[: max(order, corrector) - 1])
        noise = tau if low <= s0 <= high else 0.0
        if noise:
            check_falls(s0, s1, "a noise strength (tau, eta) of 0")
        V, k = last_step(variable, last, order) if s1 == 0 else (variable, order)
        k = safe_order(s1, nodes, k, V, sigma_data, limit)
        A, weights, C = step(s0, s1, nodes[:k], frame, V, sigma_data, noise)
        B = tuple(weights)
        P, Q = FRAMES[frame].P(s0, sigma_data), FRAMES[frame].Q(s0, sigma_data)
        corrected = B
        if before is not None and corrector > 1:
            start, used, strength = before
            better = step(start, s0, nodes[:corrector], frame, variable, sigma_data, strength)[1]
            corrected = add_padded(B, add_padded(better, (0.0, *used), -1.0), A)
        rows.append(Row(s0, A, corrected, C, s1, P, Q))
        before = (s0, B, noise)
    return rows


def last_step(variable: str, last: str, order: int) -> tuple[str, int]:
    """Return the variable and the order of a step to 0, from arguments of `adams`."""
    if last == "none":
        return "sigma", 1
    return ("ratio" if variable == "log" else variable) if last == "same" else last, order


def not_negative(name: str, value: float) -> float:
    """Return a number; raise ValueError if it is below 0."""
    if value < 0:
        raise ValueError(f"{name} must not be negative; it is {value}.")
    return value


@SAMPLERS.register("deis")
def deis(levels: Sequence[float], order: int = 3, variable: str = "time", sigma_data: float = 1.0) -> list[Row]:
    """Return the rows of DEIS tAB-k, with eps a polynomial of the VP SDE's time (Zhang & Chen, 2023).

    https://arxiv.org/abs/2204.13902

    Arguments:
        levels: Noise levels.
        order: Number of slopes in a step, 1 to 4.
        variable: Variable in which slopes are interpolated, as in `adams`.
        sigma_data: Standard deviation of the data.
    """
    return adams(levels, whole("order", order, 1, 4), "eps", variable, limit=math.inf, sigma_data=sigma_data)


@SAMPLERS.register("lms")
def lms(levels: Sequence[float], order: int = 4) -> list[Row]:
    """Return the rows of a linear multistep method with eps a polynomial of s (Crowson, k-diffusion, 2022)."""
    return adams(levels, whole("order", order, 1, 4), "eps", "sigma", limit=math.inf)


@SAMPLERS.register("dpmpp_3m")
def dpmpp_3m(levels: Sequence[float], eta: float = 0.0) -> list[Row]:
    """Return the rows of DPM-Solver++(3M) (Lu et al., 2022, https://arxiv.org/abs/2211.01095), order 3; eta > 0: SDE.

    The second difference is weighted as in the Taylor series. The published code halves it, and so is of order 2.
    """
    return adams(levels, 3, "x0", "log", tau=math.sqrt(not_negative("eta", eta)), last="none")


@SAMPLERS.register("dpmpp_2m")
def dpmpp_2m(levels: Sequence[float], eta: float = 0.0, high: float = math.inf) -> list[Row]:
    """Return the rows of DPM-Solver++(2M) (Lu et al., 2022, https://arxiv.org/abs/2211.01095), order 2; eta > 0: SDE.

    x <- r x + (1 - r) ((1 + k) D_0 - k D_1), k = h / (2 h_before). The first step and the step to 0 are of order 1.
    For the SDE, r^{1 + eta} replaces r, and noise of standard deviation s_1 sqrt(1 - r^{2 eta}) is added.

    Arguments:
        levels: Noise levels.
        eta: Share of new noise; 0: none, 1: the SDE of the diffusion.
        high: Highest noise level from which a step adds noise; the steps before are those of the ODE. New noise lets
            a network correct its errors at low levels, and at high ones lets it lose what the state has decided.
    """
    not_negative("eta", eta)
    not_negative("high", high)
    rows: list[Row] = []
    before = math.inf
    for s0, s1 in pairwise(levels):
        noise = eta if s0 <= high else 0.0
        if noise:
            check_falls(s0, s1, "eta=0")
        r = s1 / s0
        h = math.log(s0 / s1) if s1 > 0 else 0.0
        k, a = h / (2 * before), r ** (1 + noise)
        rows.append(Row(s0, a, ((1 - a) * (1 + k), -(1 - a) * k), s1 * math.sqrt(1 - r ** (2 * noise)), s1))
        before = h
    return rows


@SAMPLERS.register("dpmpp_2m_sde")
def dpmpp_2m_sde(levels: Sequence[float], eta: float = 1.0, high: float = math.inf) -> list[Row]:
    """Return the rows of SDE-DPM-Solver++(2M): `dpmpp_2m` with noise (Lu et al., 2022)."""
    return dpmpp_2m(levels, eta, high)


@SAMPLERS.register("dpmpp_3m_sde")
def dpmpp_3m_sde(levels: Sequence[float], eta: float = 1.0) -> list[Row]:
    """Return the rows of SDE-DPM-Solver++(3M): `dpmpp_3m` with noise (Lu et al., 2022; Crowson, k-diffusion, 2023)."""
    return dpmpp_3m(levels, eta)


BASHFORTH = ((1.0,), (3 / 2, -1 / 2), (23 / 12, -16 / 12, 5 / 12), (55 / 24, -59 / 24, 37 / 24, -9 / 24))
"""Coefficients of Adams-Bashforth for equal steps, newest slope first, of orders 1 to 4 (Bashforth & Adams, 1883)."""


def equal_steps(levels: Sequence[float], order: int = 4, earlier: Sequence[int] = ()) -> list[Row]:
    """Return the rows of Adams-Bashforth for eps with the coefficients of equal steps, on any grid.

    Arguments:
        levels: Noise levels.
        order: Largest number of slopes in a step, 1 to 4; the first steps use as many as there are.
        earlier: Places of the usable slopes in the history before the first step; 0 is the newest.
    """
    whole("order", order, 1, 4)
    rows: list[Row] = []
    for i, (s0, s1) in enumerate(pairwise(levels)):
        places = [*range(min(i + 1, order)), *(i + 1 + place for place in earlier)][:order]
        B = [0.0] * (max(places) + 1)
        for place, b in zip(places, BASHFORTH[len(places) - 1], strict=True):
            B[place] = (s1 - s0) * b
        rows.append(Row(s0, 1.0, tuple(B), 0.0, s1, -1 / s0, 1 / s0))
    return rows


@SAMPLERS.register("ipndm")
def ipndm(levels: Sequence[float], order: int = 4) -> list[Row]:
    """Return the rows of iPNDM: PLMS that starts with lower orders (Zhang & Chen, 2023).

    https://arxiv.org/abs/2204.13902. Its coefficients are those of equal steps, so it is of order 1 on other grids. It
    is robust at few steps.
    """
    return equal_steps(levels, order)


@SAMPLERS.register("plms")
def plms(levels: Sequence[float], sigma_data: float = 1.0) -> list[Row]:
    """Return the rows of PLMS after a first step of Heun (Liu et al., PNDM, 2022, https://arxiv.org/abs/2202.09778)."""
    first = steps(levels[:2], trapezoid, sigma_data=sigma_data)
    return [*first, *equal_steps(levels[1:], 4, earlier=starts(first, levels[:1]) if levels[1] > 0 else ())]


@SAMPLERS.register("pndm")
def pndm(levels: Sequence[float], sigma_data: float = 1.0) -> list[Row]:
    """Return the rows of PNDM: 3 steps of Runge-Kutta 4, then PLMS (Liu et al., 2022, https://arxiv.org/abs/2202.09778)."""
    first = steps(levels[:4], classical, sigma_data=sigma_data)
    return [*first, *equal_steps(levels[3:], 4, earlier=starts(first, levels[:3]))]


def starts(rows: Sequence[Row], levels: Sequence[float]) -> list[int]:
    """Return the places, newest first, of the slopes at the starts of steps in the history after single-step rows."""
    last = {row.at: i for i, row in enumerate(rows)}  # the step before may evaluate its end at the same level
    places = [last[s] for s in levels if s in last]
    return [len(rows) - 1 - place for place in reversed(places)]


@SAMPLERS.register("unipc")
def unipc(
    levels: Sequence[float], order: int = 2, solver: str = "bh2", corrector: bool = True, falling: bool = True
) -> list[Row]:
    r"""Return the rows of UniPC in the frame x0 (Zhao et al., 2023, algorithms 5, 6, https://arxiv.org/abs/2302.04867).

    With R_{ki} = r_i^{k-1}, b_k = k! phi_{k+1}(-h) (-h) / B(h) and r_i = (log s_0 - log s_i) / h, the differences
    D_i - D_0 are weighted by B(h) R^{-1} b / r_i. Order 2 has the published weight 1/2.

    Arguments:
        levels: Noise levels.
        order: Order p of the predictor, 1 to 6; the corrector has order p + 1.
        solver: "bh1", B(h) = -h, or "bh2", B(h) = exp(-h) - 1.
        corrector: Whether each new estimate corrects the step before it.
        falling: Whether orders fall to 1 at the end, as published.
    """
    if solver not in ("bh1", "bh2"):
        raise ValueError(f"solver must be 'bh1' or 'bh2', not {solver!r}.")
    whole("order", order, 1, 6)
    n = len(levels) - 1
    rows: list[Row] = []
    for i, (s0, s1) in enumerate(pairwise(levels)):
        p = min(order, i + 1, n - i if falling else order)
        B = unip_weights(s0, s1, levels[max(i - p + 1, 0) : i][::-1], solver)
        change: tuple[float, ...] = ()
        if corrector and i:
            q = min(order, i, n - i + 1 if falling else order)  # of the step before
            start, earlier = levels[i - 1], levels[max(i - q, 0) : i - 1][::-1]
            better = unip_weights(start, s0, earlier, solver, new=True)
            change = add_padded(better, (0.0, *unip_weights(start, s0, earlier, solver)), -1.0)
        rows.append(Row(s0, s1 / s0, add_padded(B, change, s1 / s0), 0.0, s1))
    return rows


def unip_weights(s0: float, s1: float, earlier: Sequence[float], solver: str, new: bool = False) -> tuple[float, ...]:
    """Return the weights of estimates, newest first, in a step of UniP or, if the estimate at s1 is known, of UniC.

    Arguments:
        s0: Noise level at the start of the step; its estimate is always used.
        s1: Noise level at its end.
        earlier: Noise levels of the estimates before, newest first.
        solver: "bh1" or "bh2".
        new: Whether the estimate at s1 is known; its weight then comes first.
    """
    if s1 == 0:
        return (1.0,)
    h = -math.log(s0 / s1)
    ratios = [math.log(s / s0) / h for s in earlier] + [1.0] * new
    k = len(ratios)
    scale = h if solver == "bh1" else math.expm1(h)
    b, phi = [], math.expm1(h) / h - 1
    for j in range(1, k + 1):
        b.append(phi * math.factorial(j) / scale)
        phi = phi / h - 1 / math.factorial(j + 1)
    rho = np.array([0.5]) if k == 1 else np.linalg.solve(np.vander(ratios, k, increasing=True).T, b)
    weights = [-scale * w / r for w, r in zip(rho.tolist(), ratios, strict=True)]
    zeroth = -math.expm1(h) - sum(weights)
    return (weights[-1], zeroth, *weights[:-1]) if new else (zeroth, *weights)
