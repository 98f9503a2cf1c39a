r"""Stochastic samplers other than ancestral ones: SA-Solver, ER-SDE, DPM-SDE, predictor-corrector, Restart.

Symbols: s noise level, s_0 and s_1 its values at the two ends of a step, D estimate of the clean state, tau strength of
noise (0: the ODE, 1: the reverse SDE), phi noise scale function of ER-SDE, s_m level of the middle stage of DPM-SDE,
xi standard normal noise on the space.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from polydiff.gaussian.sampling.adams import Array, lagrange, quadrature, safe_order, whole
from polydiff.gaussian.sampling.first_order import ancestral, ddim
from polydiff.gaussian.sampling.multistep import adams
from polydiff.gaussian.sampling.plan import SAMPLERS, PlanRow, Renoise, Row, check_falls
from polydiff.gaussian.sampling.single_step import Stage, staged
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
    limit: float = 4.0,
    sigma_data: float = 1.0,
) -> list[Row]:
    """Return the rows of SA-Solver: Adams steps on the SDE of noise strength tau (Xue et al., 2023).

    https://arxiv.org/abs/2309.05019

    Arguments:
        levels: Noise levels.
        tau: Strength of noise for low <= s <= high; it is 0 elsewhere.
        order: Number of estimates in the predictor.
        corrector: Number of estimates in the corrector, with the new one; 0: no corrector.
        low: Lowest noise level from which a step adds noise; the paper uses 0.05.
        high: Highest noise level from which a step adds noise; the paper uses 1 or 50.
        variable: Variable in which estimates are interpolated (`VARIABLES`); the paper uses "log".
        limit: Largest ratio of the weights to those of equal steps, as in `adams`; infinite: the paper's steps.
        sigma_data: Standard deviation of the data, for variables that depend on it.
    """
    return adams(levels, order, "x0", variable, corrector, tau, low, high, limit=limit, sigma_data=sigma_data)


class Scale(NamedTuple):
    """The noise scale function phi of ER-SDE.

    Attributes:
        log: s -> log phi(s).
        slope: s -> d log phi / ds.
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
    r"""Return the rows of ER-SDE-Solver, with integrals by quadrature (Cui et al., 2023).

    https://arxiv.org/abs/2309.06169. With r = phi(s_1) / phi(s_0), a step is
    x <- r x + sum_j B_j D_j + sqrt(s_1^2 - s_0^2 r^2) xi. B_j is the integral of phi(s_1) d(log phi) / phi(s) times the
    Lagrange polynomial l_j(s), from s_1 to s_0.

    Arguments:
        levels: Noise levels.
        order: Largest number of estimates in a step, 1 to 6; the first steps use as many as there are.
        scale: phi(s): "ode", s; "sde", s^2; "default", s (exp(s^0.3) + 10).
        limit: Largest ratio of the weights to those of equal steps, as in `adams`.

    Raises:
        ValueError: `scale` or `order` is none of these.
    """
    if scale not in SCALES:
        raise ValueError(f"scale must be one of {', '.join(SCALES)}, not {scale!r}.")
    whole("order", order, 1, 6)
    phi = SCALES[scale]
    rows: list[Row] = []
    nodes: tuple[float, ...] = ()
    for s0, s1 in pairwise(levels):
        if scale != "ode":
            check_falls(s0, s1, "scale=ode")
        nodes = (s0, *nodes[: order - 1])
        used = np.array(nodes[: safe_order(s1, nodes, order, "sigma", 1.0, limit)])
        if s1 == 0:
            rows.append(Row(s0, 0.0, tuple(lagrange(np.zeros(()), used).tolist()), 0.0, 0.0))
            continue
        s, ds = quadrature(s0, s1, 1.0)
        end = phi.log(np.array([s1, s0]))
        r = math.exp(end[0] - end[1])
        B = lagrange(s, used) @ (-np.exp(end[0] - phi.log(s)) * phi.slope(s) * ds)
        noise = math.sqrt(max(s1**2 - (s0 * r) ** 2, 0.0)) if scale != "ode" else 0.0  # without the error of rounding
        rows.append(Row(s0, r, tuple(B.tolist()), noise, s1))
    return rows


@SAMPLERS.register("dpm_sde")
def dpm_sde(levels: Sequence[float], eta: float = 1.0) -> list[Row]:
    r"""Return the rows of DPM-SDE: DPM-Solver++(2S), r_1 = 1/2, with fresh noise at both stages.

    (Lu et al., 2022, https://arxiv.org/abs/2211.01095; Crowson, k-diffusion, 2022, `sample_dpmpp_sde`.) Both stages
    start from x at s_0 and are ancestral steps (`ancestral`): to s_m = sqrt(s_0 s_1) with D(x, s_0), then to s_1 with
    D(x_m, s_m). The noise of the middle stage and that of the whole step are integrals over the same Brownian path, so
    they are correlated: the first is carried from s_m to s_1 by the factor of the state, and independent noise
    completes its variance. For eta = 1 this is the exact correlation of the two integrals, sqrt(r / (1 + r)) with
    r = s_1 / s_0. In k-diffusion it is 1 / sqrt(1 + sqrt(r)), that of a path with s as its clock. Both tend to
    sqrt(1/2) for short steps.

    Arguments:
        levels: Noise levels.
        eta: Strength of noise, in [0, 1]; 0: `dpmpp_2s`, the ODE.
    """
    rows: list[Row] = []
    for s0, s1 in pairwise(levels):
        if s1 == 0:
            rows.append(Row(s0, 0.0, (1.0,), 0.0, 0.0))
            continue
        middle = math.sqrt(s0 * s1)
        (down_m, up_m), (down, up) = ancestral(s0, middle, eta), ancestral(s0, s1, eta)
        a_m, a = down_m / s0, down / s0
        first, last = staged([Stage(s0, middle, a_m, (1 - a_m,)), Stage(middle, s1, a, (0.0, 1 - a))], clean=True)
        carried = last.A * up_m
        rows += [first._replace(C=up_m), last._replace(C=math.sqrt(max(up**2 - carried**2, 0.0)))]
    return rows


@SAMPLERS.register("pc")
def pc(levels: Sequence[float], snr: float = 0.16, corrections: int = 1, eta: float = 1.0) -> list[Row]:
    r"""Return the rows of a predictor and a Langevin corrector (Song et al., 2021, algorithms 2 and 4).

    https://arxiv.org/abs/2011.13456. The predictor is a step of DDIM with eta. Then, at the new level s, come Langevin
    steps x <- x + e (D - x) / s^2 + sqrt(2 e) xi. The paper takes e = 2 (snr |xi| / |score|)^2 from the norms of each
    batch. Here e = 2 snr^2 s^2, its value where the noise dominates the score, |score| = |xi| / s: coefficients then
    do not depend on the state, and a sample does not depend on the rest of its batch. On data N(0, sd^2), with
    v = sd^2 + s^2, the corrector alone tends to the variance v / (1 - e / (2 v)), at most v / (1 - snr^2).

    Arguments:
        levels: Noise levels.
        snr: Ratio of the step along the score to its noise, in [0, 1); 0: the predictor alone.
        corrections: Number of Langevin steps at each level above 0, each of one evaluation; at most 1000.
        eta: Strength of noise of the predictor, in [0, 1]; 1: ancestral sampling, 0: the ODE.

    Raises:
        ValueError: An option is out of its range.
    """
    if not 0 <= snr < 1:
        raise ValueError(f"snr must be at least 0 and below 1, where Langevin steps diverge, not {snr}.")
    share = 2 * snr**2
    repeats = whole("corrections", corrections, 0, 1000) if share else 0
    rows: list[Row] = []
    for predictor in ddim(levels, eta):
        s = predictor.to
        corrector = Row(s, 1 - share, (share,), math.sqrt(2 * share) * s, s)
        rows += [predictor, *(corrector for _ in range(repeats if s > 0 else 0))]
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
    """Return the rows of Restart: repeatedly add noise and solve down again (Xu et al., 2023).

    https://arxiv.org/abs/2306.14878. At the first level s of the grid at or below `low`, noise of variance high^2 - s^2
    is added, and the base sampler goes from `high` down to s again. Then it continues to the end of the grid.

    Arguments:
        levels: Noise levels.
        low: Noise level at which noise is added, above 0.
        high: Noise level that this restores, above `low`; at most the first level of the grid.
        repeats: Number of times that noise is added.
        steps: Number of steps from `high` down, uniform in log s.
        base: Name of the sampler that solves all parts.
        sigma_data: Standard deviation of the data, for a base that depends on it.

    Raises:
        ValueError: An option is out of its range, or the base is "restart".
    """
    if base == "restart" or not (0 < low < high and repeats >= 0 and steps >= 1):
        raise ValueError(
            "restart needs a base other than itself, 0 < low < high, repeats >= 0 and steps >= 1, not "
            f"{base}, {low}, {high}, {repeats}, {steps}."
        )
    solve = partial(for_data, SAMPLERS[base], sigma_data)
    high = min(high, levels[0])
    place = next((i for i, s in enumerate(levels) if s <= low), len(levels))
    if place in (0, len(levels)) or levels[place] == 0:
        return [*solve(levels)]
    bottom = levels[place]
    up = Renoise(high, C=math.sqrt(high**2 - bottom**2))
    down = solve([high * (bottom / high) ** (i / steps) for i in range(steps + 1)])
    return [*solve(levels[: place + 1]), *((up, *down) * repeats), *solve(levels[place:])]
