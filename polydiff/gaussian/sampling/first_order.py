"""Samplers whose steps use one evaluation and the latest estimate: DDPM, DDIM and similar methods.

The one exception is `gradient_estimation`, which also uses the estimate before the latest.

Symbols: s noise level, s_0 and s_1 its values at the two ends of a step, s_d level to which the deterministic part of a
step goes, s_u standard deviation of the noise that is added there, sd standard deviation of the data, D estimate of the
clean state, eps = (x - D) / s, xi standard normal noise on the space.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

from polydiff.core.rules import Rule, rules
from polydiff.gaussian.sampling.plan import SAMPLERS, Row, check_falls


def ancestral(s0: float, s1: float, eta: float) -> tuple[float, float]:
    """Return (s_d, s_u): the level to go down to and the noise to add there, with s_d^2 + s_u^2 = s_1^2.

    s_u = eta s_1 sqrt(1 - s_1^2 / s_0^2). For eta = 1 this is the noise of the DDPM posterior (Song et al., DDIM, 2021,
    eq. 16, https://arxiv.org/abs/2010.02502).

    Arguments:
        s0: Noise level at the start of the step.
        s1: Noise level at its end.
        eta: Strength of noise, in [0, 1].

    Raises:
        ValueError: eta is not in [0, 1], or it is not 0 and the step rises.
    """
    if not 0 <= eta <= 1:
        raise ValueError(f"eta must be between 0 and 1, not {eta}.")
    if eta:
        check_falls(s0, s1, "eta=0, or the sampler ddim")
    if s1 > s0:
        return s1, 0.0
    up = eta * s1 * math.sqrt(1 - (s1 / s0) ** 2)
    return math.sqrt(max(s1**2 - up**2, 0.0)), up


@SAMPLERS.register("ddim")
def ddim(levels: Sequence[float], eta: float = 0.0) -> list[Row]:
    """Return the rows of DDIM: x <- D + s_d / s_0 (x - D) + s_u xi (Song et al., 2021).

    https://arxiv.org/abs/2010.02502. With eta = 0 it is Euler's method on the probability-flow ODE, with eta = 1 DDPM
    with the small variance.

    Arguments:
        levels: Noise levels. With eta = 0 they may rise from above 0: the rows, run by `run_plan`, are DDIM inversion.
        eta: Strength of noise, in [0, 1].
    """

    def row(s0: float, s1: float) -> Row:
        down, up = ancestral(s0, s1, eta)
        return Row(s0, down / s0, (1 - down / s0,), up, s1)

    return [row(s0, s1) for s0, s1 in pairwise(levels)]


@SAMPLERS.register("euler")
def euler(levels: Sequence[float]) -> list[Row]:
    """Return the rows of Euler's method on the probability-flow ODE, order 1: in this frame, DDIM with eta = 0."""
    return ddim(levels, eta=0.0)


@SAMPLERS.register("shortcut")
@rules(
    Rule(
        "backbone.step_size",
        (True,),
        "needs loss.objective=shortcut or mean_flow, which train a network with step sizes. Use ddim or dpmpp_2m.",
    )
)
def shortcut(levels: Sequence[float]) -> list[Row]:
    """Return the rows of `euler`, for a network conditioned on the size of each step (Frans et al., 2024).

    https://arxiv.org/abs/2410.12557. In flow time, a step of the network's velocity u is x_t - d u with D = x_t - t u.
    In this frame it is a step of DDIM (`polydiff.gaussian.objective.shortcut`).
    """
    return ddim(levels, eta=0.0)


@SAMPLERS.register("consistency")
def consistency(levels: Sequence[float]) -> list[Row]:
    """Return the rows x <- D(x, s_0) + s_1 xi: estimate the data, then add noise (Song et al., 2023, algorithm 1).

    https://arxiv.org/abs/2303.01469. For consistency models: one step gives a sample, and more steps improve it.
    """
    return [Row(s0, 0.0, (1.0,), s1, s1) for s0, s1 in pairwise(levels)]


@SAMPLERS.register("euler_ancestral")
def euler_ancestral(levels: Sequence[float], eta: float = 1.0) -> list[Row]:
    """Return the rows of Euler steps to a lower level, each followed by noise: in this frame, DDIM with eta.

    (Crowson, k-diffusion, 2022, https://github.com/crowsonkb/k-diffusion)
    """
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
    """Return the rows of ancestral sampling (Ho et al., 2020, https://arxiv.org/abs/2006.11239), order 1.

    The last step, to 0, adds no noise.

    Arguments:
        levels: Noise levels.
        variance: Variance of the noise of a step. "small": the posterior's for data at a point. "large": the
            posterior's for Gaussian data, the paper's beta, here (s_0^2 - s_1^2) (sd^2 + s_1^2) / (sd^2 + s_0^2).
            "learned": small^{1 - v} large^v with v in (0, 1) from the network (Nichol & Dhariwal, 2021,
            https://arxiv.org/abs/2102.09672).
        sigma_data: sd; 1 in the paper.

    Raises:
        ValueError: `variance` is none of the three.
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
    """Return the rows of DDIM with gamma eps_i + (1 - gamma) eps_{i-1} in place of eps_i (Permenter & Yuan, 2023).

    https://arxiv.org/abs/2306.04848. The first step is that of DDIM.
    """

    def row(i: int, s0: float, s1: float) -> Row:
        h = s1 - s0
        return Row(s0, 1.0, (gamma * h, (1 - gamma) * h) if i else (h,), 0.0, s1, -1 / s0, 1 / s0)

    return [row(i, s0, s1) for i, (s0, s1) in enumerate(pairwise(levels))]
