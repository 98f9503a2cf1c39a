r"""Schedules defined by a distribution: the log-SNR of a uniform time has this law.

The log-SNR is the quantile function of the distribution at 1 - t, and the time is its survival function. So the
distribution says directly how often each noise level is trained.

Symbols: t time, lambda log-SNR.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from polydiff.gaussian.schedule.base import SCHEDULES, Frame
from polydiff.gaussian.schedule.open_ended import Open, as_time


@SCHEDULES.register("laplace")
@dataclass(frozen=True)
class Laplace(Open):
    """lambda = mean - scale sgn(1/2 - t) log(1 - 2 |t - 1/2|): Laplace(mean, scale) for uniform t.

    (Hang et al., 2024, https://arxiv.org/abs/2407.03297)

    Arguments:
        sigma_min: Lowest noise level trained.
        sigma_max: Highest noise level trained.
        mean: Mean of the log-SNR, its value at t = 1/2.
        scale: Mean absolute deviation of the log-SNR from `mean`.
    """

    mean: float = 0.0
    scale: float = 0.5
    frame: ClassVar[Frame] = "vp"

    def log_snr(self, t: Tensor) -> Tensor:
        t = as_time(t)
        # each branch is clamped to its own half, so that the gradient at t = 1/2 is that of one branch
        early, late = torch.log(2 * t.clamp(max=0.5)), torch.log(2 * (1 - t.clamp(min=0.5)))
        return self.mean + self.scale * torch.where(t < 0.5, -early, late)

    def time(self, log_snr: Tensor) -> Tensor:
        z = (log_snr.double() - self.mean) / self.scale
        tail = torch.exp(-z.abs()) / 2
        return torch.where(z > 0, tail, 1 - tail)


@SCHEDULES.register("cauchy")
@dataclass(frozen=True)
class Cauchy(Open):
    """lambda = mean + scale tan(pi/2 (1 - 2 t)): Cauchy(mean, scale) for uniform t.

    (Hang et al., 2024, https://arxiv.org/abs/2407.03297)

    Arguments:
        sigma_min: Lowest noise level trained.
        sigma_max: Highest noise level trained.
        mean: Median of the log-SNR, its value at t = 1/2.
        scale: Half width of the density of the log-SNR at half of its maximum.
    """

    mean: float = 0.0
    scale: float = 1.0
    frame: ClassVar[Frame] = "vp"

    def log_snr(self, t: Tensor) -> Tensor:
        return self.mean + self.scale / torch.tan(math.pi * as_time(t))

    def time(self, log_snr: Tensor) -> Tensor:
        z = (log_snr.double() - self.mean) / self.scale
        return torch.atan2(torch.ones_like(z), z) / math.pi
