"""Training noise levels by a distribution of t, s or lambda: quantile functions that `TIMES` registers.

A distribution of the schedule's time t depends on the schedule. One of s or lambda depends only on its range.

Symbols: u uniform number, s noise level, lambda = -2 log s log-SNR, t the schedule's time, v = 1 - u.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.special import ndtr, ndtri

from polydiff.gaussian.loss.noise_levels import TIMES
from polydiff.gaussian.schedule.base import Schedule

Curve = Callable[[Tensor], Tensor]


@TIMES.register("logit_normal")
def logit_normal(u: Tensor, schedule: Schedule, mean: float = 0.0, std: float = 1.0) -> Tensor:
    """Return quantiles of logit t ~ N(mean, std^2) (Esser et al., 2024, https://arxiv.org/abs/2403.03206).

    Arguments:
        u: Numbers in (0, 1), of any shape.
        schedule: Maps t to a noise level.
        mean: Mean of logit t.
        std: Standard deviation of logit t, above 0.

    Returns:
        Noise levels of the shape of u, float64.
    """
    low, high = torch.tensor(schedule.trained_times(), dtype=torch.float64).logit().tolist()
    return in_range(schedule.noise_level(torch.sigmoid(normal(u, mean, std, low, high))), schedule)


@TIMES.register("mode")
def mode(u: Tensor, schedule: Schedule, scale: float = 1.29) -> Tensor:
    """Return quantiles of t = 1 - v - scale (cos^2(pi v / 2) - 1 + v), v = 1 - u (Esser et al., 2024).

    https://arxiv.org/abs/2403.03206. A positive scale puts more samples in the middle. Here t = 0 and t = 1 are the
    ends of the trained times.

    Arguments:
        u: Numbers in (0, 1), of any shape.
        schedule: Maps t to a noise level.
        scale: In [-1, 2 / (pi - 2)]; 0: uniform.

    Returns:
        Noise levels of the shape of u, float64.
    """
    if not -1 <= scale <= 2 / (math.pi - 2):
        raise ValueError(f"scale must lie between -1 and {2 / (math.pi - 2):.4g}, not {scale}.")
    u = u.double()
    return at_times((1 + scale) * u - scale * torch.sin(math.pi / 2 * u) ** 2, schedule)


@TIMES.register("kumaraswamy")
def kumaraswamy(u: Tensor, schedule: Schedule, a: float = 1.5, b: float = 1.0) -> Tensor:
    """Return quantiles of Kumaraswamy's distribution, t = (1 - (1 - u)^{1/b})^{1/a}, a close relative of Beta(a, b).

    It equals Beta(a, 1) for b = 1 and Beta(1, b) for a = 1. Here t = 0 and t = 1 are the ends of the trained times.
    (Kumaraswamy, 1980, https://doi.org/10.1016/0022-1694(80)90036-0; Black et al., pi_0, 2024,
    https://arxiv.org/abs/2410.24164, with Beta(1.5, 1))

    Arguments:
        u: Numbers in (0, 1), of any shape.
        schedule: Maps t to a noise level.
        a: First parameter, above 0; above 1: more high noise.
        b: Second parameter, above 0; above 1: more low noise.

    Returns:
        Noise levels of the shape of u, float64.
    """
    if not (a > 0 and b > 0):
        raise ValueError("a and b must be positive.")
    return at_times((-torch.expm1(torch.log1p(-u.double()) / b)) ** (1 / a), schedule)


@TIMES.register("log_normal")
def log_normal(u: Tensor, schedule: Schedule, mean: float = -1.2, std: float = 1.2) -> Tensor:
    """Return quantiles of log s ~ N(mean, std^2) (Karras et al., 2022, https://arxiv.org/abs/2206.00364).

    Arguments:
        u: Numbers in (0, 1), of any shape.
        schedule: Gives the range of noise levels.
        mean: Mean of log s.
        std: Standard deviation of log s, above 0.

    Returns:
        Noise levels of the shape of u, float64.
    """
    low, high = math.log(schedule.sigma_min), math.log(schedule.sigma_max)
    return in_range(normal(u, mean, std, low, high).exp(), schedule)


@TIMES.register("log_snr_normal")
def log_snr_normal(u: Tensor, schedule: Schedule, mean: float = 2.4, std: float = 2.4) -> Tensor:
    """Return quantiles of lambda ~ N(mean, std^2): `log_normal` in terms of the log-SNR.

    Arguments:
        u: Numbers in (0, 1), of any shape.
        schedule: Gives the range of noise levels.
        mean: Mean of the log-SNR.
        std: Standard deviation of the log-SNR, above 0.

    Returns:
        Noise levels of the shape of u, float64.
    """
    return log_normal(u, schedule, -mean / 2, std / 2)


@TIMES.register("laplace")
def laplace(u: Tensor, schedule: Schedule, mean: float = 0.0, scale: float = 0.5) -> Tensor:
    """Return quantiles of lambda ~ Laplace(mean, scale) (Hang et al., 2024, https://arxiv.org/abs/2407.03297).

    Arguments:
        u: Numbers in (0, 1), of any shape.
        schedule: Gives the range of noise levels.
        mean: Mean of the log-SNR.
        scale: Mean absolute deviation of the log-SNR, above 0.

    Returns:
        Noise levels of the shape of u, float64.
    """

    def cdf(x: Tensor) -> Tensor:
        tail = torch.exp(-x.abs()) / 2
        return torch.where(x < 0, tail, 1 - tail)

    def quantile(p: Tensor) -> Tensor:
        tail = torch.log(2 * torch.minimum(p, 1 - p))
        return torch.where(p < 0.5, tail, -tail)

    return symmetric(u, schedule, cdf, quantile, mean, scale)


@TIMES.register("cauchy")
def cauchy(u: Tensor, schedule: Schedule, mean: float = 0.0, scale: float = 1.0) -> Tensor:
    """Return quantiles of lambda ~ Cauchy(mean, scale) (Hang et al., 2024, https://arxiv.org/abs/2407.03297).

    Arguments:
        u: Numbers in (0, 1), of any shape.
        schedule: Gives the range of noise levels.
        mean: Median of the log-SNR.
        scale: Half width of its density at half of the maximum, above 0.

    Returns:
        Noise levels of the shape of u, float64.
    """
    return symmetric(
        u,
        schedule,
        lambda x: 0.5 + torch.atan(x) / math.pi,
        lambda p: torch.tan(math.pi * (p - 0.5)),
        mean,
        scale,
    )


def normal(u: Tensor, mean: float, std: float, low: float, high: float) -> Tensor:
    """Return the quantiles u of N(mean, std^2) truncated to [low, high], float64, of the shape of u.

    Arguments:
        u: Numbers in (0, 1), of any shape.
        mean: Mean before the truncation.
        std: Standard deviation before the truncation, above 0.
        low: Lower bound.
        high: Upper bound.
    """
    if not std > 0:
        raise ValueError(f"std must be positive, not {std}.")
    return truncated(u, lambda x: ndtr((x - mean) / std), lambda p: mean + std * ndtri(p), low, high)


def symmetric(u: Tensor, schedule: Schedule, cdf: Curve, quantile: Curve, mean: float, scale: float) -> Tensor:
    """Return noise levels whose (lambda - mean) / scale follows a distribution that is symmetric about 0.

    Arguments:
        u: Numbers in (0, 1), of any shape.
        schedule: Gives the range of noise levels.
        cdf: Distribution function of the symmetric distribution.
        quantile: Its inverse.
        mean: Centre of the log-SNR.
        scale: Scale of the log-SNR.
    """
    if not scale > 0:
        raise ValueError(f"scale must be positive, not {scale}.")
    low, high = 2 * math.log(schedule.sigma_min), 2 * math.log(schedule.sigma_max)
    x = truncated(u, lambda x: cdf((x + mean) / scale), lambda p: scale * quantile(p) - mean, low, high)
    return in_range(torch.exp(x / 2), schedule)


def truncated(u: Tensor, cdf: Curve, quantile: Curve, low: float, high: float) -> Tensor:
    """Return the quantiles u of a distribution truncated to [low, high], in float64.

    Arguments:
        u: Numbers in (0, 1), of any shape.
        cdf: Its distribution function.
        quantile: Its quantile function.
        low: Lower bound.
        high: Upper bound.
    """
    first, last = cdf(torch.tensor([low, high], dtype=torch.float64, device=u.device))
    return quantile(first + u.double() * (last - first)).clamp(low, high)


def at_times(share: Tensor, schedule: Schedule) -> Tensor:
    """Return the noise levels at times between the ends of the trained times, given as shares in [0, 1] of the way."""
    low, high = schedule.trained_times()
    return in_range(schedule.noise_level(low + share * (high - low)), schedule)


def in_range(s: Tensor, schedule: Schedule) -> Tensor:
    """Return noise levels clamped to the schedule's range, which rounding may exceed in the last digit."""
    return s.clamp(schedule.sigma_min, schedule.sigma_max)
