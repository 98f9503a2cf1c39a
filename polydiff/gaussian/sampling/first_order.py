"""Samplers of one evaluation and one step: DDPM, DDIM and their kin.

Symbols: s noise level, r = s_1 / s_0 of a step from s_0 to s_1, D the estimate of the clean state, xi fresh noise.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

from polydiff.core.rules import Rule, rules
from polydiff.gaussian.sampling.plan import SAMPLERS, Row


def ancestral(s0: float, s1: float, eta: float) -> tuple[float, float]:
    """Return (s_d, s_u): the level to go down to and the noise to add there, s_d^2 + s_u^2 = s_1^2.

    s_u = eta s_1 sqrt(1 - s_1^2 / s_0^2), the noise of the DDPM posterior for eta = 1 (Song et al., 2021, eq. 16).
    """
    if not 0 <= eta <= 1:
        raise ValueError(f"eta must be between 0 and 1, not {eta}.")
    up = eta * s1 * math.sqrt(1 - (s1 / s0) ** 2)
    return math.sqrt(max(s1**2 - up**2, 0.0)), up


@SAMPLERS.register("ddim")
def ddim(levels: Sequence[float], eta: float = 0.0) -> list[Row]:
    """DDIM (Song et al., 2021, https://arxiv.org/abs/2010.02502): x <- D + s_d / s_0 (x - D) + s_u xi.

    eta = 0 is Euler's method on the probability-flow ODE, eta = 1 is DDPM with the small variance.
    """

    def row(s0: float, s1: float) -> Row:
        down, up = ancestral(s0, s1, eta)
        return Row(s0, down / s0, (1 - down / s0,), up, s1)

    return [row(s0, s1) for s0, s1 in pairwise(levels)]


@SAMPLERS.register("euler")
def euler(levels: Sequence[float]) -> list[Row]:
    """Euler's method on the probability-flow ODE, order 1: in this frame, DDIM with eta = 0."""
    return ddim(levels, eta=0.0)


@SAMPLERS.register("shortcut")
@rules(
    Rule(
        "backbone.step_size",
        (True,),
        "needs loss.objective=shortcut, which trains a network with step sizes. Use ddim or dpmpp_2m.",
    )
)
def shortcut(levels: Sequence[float]) -> list[Row]:
    """Euler's rows for a network conditioned on the size of each step (Frans et al., 2024).

    A step of its velocity u in flow time, x_t - d u with D = x_t - t u, is in this frame DDIM's
    (`polydiff.gaussian.objective.shortcut`).
    """
    return ddim(levels, eta=0.0)


@SAMPLERS.register("consistency")
def consistency(levels: Sequence[float]) -> list[Row]:
    """x <- D(x, s_0) + s_1 xi: jump to the data, add noise of the next level (Song et al., 2023, algorithm 1).

    For consistency models, where one step gives a sample and more steps improve it. https://arxiv.org/abs/2303.01469
    """
    return [Row(s0, 0.0, (1.0,), s1, s1) for s0, s1 in pairwise(levels)]


@SAMPLERS.register("euler_ancestral")
def euler_ancestral(levels: Sequence[float], eta: float = 1.0) -> list[Row]:
    """Euler to a lower level, then noise (Crowson, k-diffusion, 2022): in this frame, DDIM with eta."""
    return ddim(levels, eta)


@SAMPLERS.register("ddpm")
@rules(
    Rule(
        "backbone.variance",
        (True,),
        "with variance=learned: this network predicts no variance; loss.objective=hybrid trains one that does. "
        "Use variance=small or large.",
        when={"sample.options.variance": "learned"},
    )
)
def ddpm(levels: Sequence[float], variance: str = "small", sigma_data: float = 1.0) -> list[Row]:
    """Ancestral sampling (Ho et al., 2020, https://arxiv.org/abs/2006.11239), order 1.

    Arguments:
        levels: Noise levels.
        variance: "small", the posterior's variance for data at a point, or "large", beta, that for Gaussian data. In
            this frame beta = (s_0^2 - s_1^2) (s_d^2 + s_1^2) / (s_d^2 + s_0^2). "learned": small^{1 - v} large^v, v by
            the network (Nichol & Dhariwal, 2021, https://arxiv.org/abs/2102.09672). The last step adds no noise.
        sigma_data: s_d, 1 in the paper.
    """
    rows = ddim(levels, eta=1.0)
    if variance == "small":
        return rows
    if variance not in ("large", "learned"):
        raise ValueError(f"variance must be 'small', 'large' or 'learned', not {variance!r}.")

    def beta(s0: float, s1: float) -> float:
        return (s0**2 - s1**2) * (sigma_data**2 + s1**2) / (sigma_data**2 + s0**2) if s1 > 0 else 0.0

    stds = [math.sqrt(beta(s0, s1)) for s0, s1 in pairwise(levels)]
    if variance == "large":
        return [row._replace(C=std) for row, std in zip(rows, stds, strict=True)]
    return [row._replace(C_large=std if row.C else None) for row, std in zip(rows, stds, strict=True)]


@SAMPLERS.register("gradient_estimation")
def gradient_estimation(levels: Sequence[float], gamma: float = 2.0) -> list[Row]:
    """DDIM with eps <- gamma eps_i + (1 - gamma) eps_{i-1} (Permenter & Yuan, 2023, https://arxiv.org/abs/2306.04848)."""

    def row(i: int, s0: float, s1: float) -> Row:
        h = s1 - s0
        return Row(s0, 1.0, (gamma * h, (1 - gamma) * h) if i else (h,), 0.0, s1, -1 / s0, 1 / s0)

    return [row(i, s0, s1) for i, (s0, s1) in enumerate(pairwise(levels))]
