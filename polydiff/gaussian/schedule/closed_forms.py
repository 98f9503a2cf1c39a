r"""Schedules that give signal and noise as formulas of time, each with its inverse in closed form.

Symbols: t time, alpha_t signal, sigma_t noise, s = sigma_t / alpha_t, lambda log-SNR.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn.functional import softplus

from polydiff.gaussian.schedule.base import SCHEDULES, Frame, Schedule
from polydiff.gaussian.schedule.open_ended import Open, as_time


@SCHEDULES.register("cosine")
@dataclass(frozen=True)
class Cosine(Open):
    r"""alpha_t = cos(pi t / 2), sigma_t = sin(pi t / 2): log-SNR = -2 log tan(pi t / 2).

    The continuous cosine schedule (Salimans & Ho, 2022, https://arxiv.org/abs/2202.00512).

    Arguments:
        sigma_min: Lowest noise level trained.
        sigma_max: Highest noise level trained.
    """

    frame: ClassVar[Frame] = "vp"

    def log_snr(self, t: Tensor) -> Tensor:
        return -2 * torch.log(torch.tan(as_time(t) * math.pi / 2))

    def time(self, log_snr: Tensor) -> Tensor:
        return torch.atan(torch.exp(-log_snr.double() / 2)) * 2 / math.pi


@SCHEDULES.register("flow")
@dataclass(frozen=True)
class RectifiedFlow(Open):
    r"""alpha_t = 1 - t, sigma_t = t: log-SNR = 2 log((1 - t) / t).

    (Liu et al., 2022, https://arxiv.org/abs/2209.03003; Lipman et al., 2022, https://arxiv.org/abs/2210.02747)

    Arguments:
        sigma_min: Lowest noise level trained.
        sigma_max: Highest noise level trained.
    """

    frame: ClassVar[Frame] = "flow"

    def log_snr(self, t: Tensor) -> Tensor:
        return -2 * torch.logit(as_time(t))

    def time(self, log_snr: Tensor) -> Tensor:
        return torch.sigmoid(-log_snr.double() / 2)


@SCHEDULES.register("vp")
@dataclass(frozen=True)
class VP(Open):
    r"""The VP SDE: log alpha_t = -t^2 (beta_max - beta_min) / 4 - t beta_min / 2 (Song et al., 2021).

    https://arxiv.org/abs/2011.13456. The default of sigma_min, 1e-3, is the noise level at the paper's t = 1e-5.

    Arguments:
        sigma_min: Lowest noise level trained.
        sigma_max: Highest noise level trained.
        beta_min: beta(0), the rate of noise at t = 0.
        beta_max: beta(1), the rate of noise at t = 1.

    Raises:
        ValueError: Not 0 <= beta_min < beta_max.
    """

    beta_min: float = 0.1
    beta_max: float = 20.0
    frame: ClassVar[Frame] = "vp"

    def __post_init__(self) -> None:
        if not 0 <= self.beta_min < self.beta_max:
            raise ValueError(f"0 <= beta_min < beta_max is needed, not {self.beta_min:g} and {self.beta_max:g}.")
        super().__post_init__()

    def decay(self, t: Tensor) -> Tensor:
        """Return -2 log alpha_t, the integral of beta from 0 to t."""
        t = as_time(t)
        return t * (self.beta_min + t * (self.beta_max - self.beta_min) / 2)

    def when(self, decay: Tensor) -> Tensor:
        """Return the time at which -2 log alpha_t has this value, in a form without cancellation."""
        root = torch.sqrt(self.beta_min**2 + 2 * (self.beta_max - self.beta_min) * decay)
        return 2 * decay / (self.beta_min + root)

    def log_snr(self, t: Tensor) -> Tensor:
        decay = self.decay(t)
        return -decay - torch.log(-torch.expm1(-decay))

    def time(self, log_snr: Tensor) -> Tensor:
        return self.when(softplus(-log_snr.double()))


@SCHEDULES.register("subvp")
@dataclass(frozen=True)
class SubVP(VP):
    """The sub-VP SDE: alpha_t of the VP SDE, sigma_t = 1 - alpha_t^2 (Song et al., 2021).

    https://arxiv.org/abs/2011.13456. Arguments as in `VP`.
    """

    frame: ClassVar[Frame] = "subvp"

    def log_snr(self, t: Tensor) -> Tensor:
        decay = self.decay(t)
        return -decay - 2 * torch.log(-torch.expm1(-decay))

    def time(self, log_snr: Tensor) -> Tensor:
        return self.when(2 * torch.asinh(torch.exp(-log_snr.double() / 2) / 2))  # -log alpha = asinh(s / 2)


@SCHEDULES.register("sigmoid")
@dataclass(frozen=True)
class Sigmoid(Open):
    r"""alpha_t^2 = (g(1) - g(t)) / (g(1) - g(0)), g(t) = sigmoid((start + t (end - start)) / tau).

    (Jabri et al., 2022, https://arxiv.org/abs/2212.11972; Chen, 2023, https://arxiv.org/abs/2301.10972). It is computed
    as SNR = r sinh((1 - t) w) / sinh(t w), with w = (end - start) / (2 tau) and
    r = cosh(start / (2 tau)) / cosh(end / (2 tau)), a form that keeps its digits at both ends.

    Arguments:
        sigma_min: Lowest noise level trained.
        sigma_max: Highest noise level trained.
        start: Argument of the sigmoid at t = 0, before the division by tau.
        end: Argument of the sigmoid at t = 1, before the division by tau; above `start`.
        tau: Temperature.
    """

    start: float = -3.0
    end: float = 3.0
    tau: float = 1.0
    frame: ClassVar[Frame] = "vp"

    @property
    def width(self) -> float:
        """The number w = (end - start) / (2 tau)."""
        return (self.end - self.start) / (2 * self.tau)

    @property
    def log_ratio(self) -> float:
        """The number log r."""
        return math.log(math.cosh(self.start / (2 * self.tau))) - math.log(math.cosh(self.end / (2 * self.tau)))

    def log_snr(self, t: Tensor) -> Tensor:
        t = as_time(t)
        return self.log_ratio + log_sinh((1 - t) * self.width) - log_sinh(t * self.width)

    def time(self, log_snr: Tensor) -> Tensor:
        k, w = torch.exp(log_snr.double() - self.log_ratio), self.width
        return torch.log1p(2 * math.sinh(w) / (k + math.exp(-w))) / (2 * w)


def log_sinh(x: Tensor) -> Tensor:
    """Return log sinh x for x > 0."""
    return x + torch.log(-torch.expm1(-2 * x) / 2)


@SCHEDULES.register("exponential")
@dataclass(frozen=True)
class Exponential(Schedule):
    """s_t = sigma_min (sigma_max / sigma_min)^t: the log-SNR is linear in time.

    By default the ends are the initial ones of VDM, log-SNR 13.3 and -5 (Kingma et al., 2021,
    https://arxiv.org/abs/2107.00630).

    Arguments:
        sigma_min: Noise level at t = 0.
        sigma_max: Noise level at t = 1.
    """

    sigma_min: float = math.exp(-13.3 / 2)
    sigma_max: float = math.exp(5 / 2)
    frame: ClassVar[Frame] = "vp"

    def log_snr(self, t: Tensor) -> Tensor:
        return -2 * (math.log(self.sigma_min) + t.double().clamp(0, 1) * math.log(self.sigma_max / self.sigma_min))

    def time(self, log_snr: Tensor) -> Tensor:
        return (-log_snr.double() / 2 - math.log(self.sigma_min)) / math.log(self.sigma_max / self.sigma_min)


@SCHEDULES.register("ve")
@dataclass(frozen=True)
class VE(Exponential):
    """The VE SDE: alpha = 1, sigma_t = sigma_min (sigma_max / sigma_min)^t (Song et al., 2021).

    https://arxiv.org/abs/2011.13456

    Arguments:
        sigma_min: Noise level at t = 0.
        sigma_max: Noise level at t = 1.
    """

    sigma_min: float = 0.01
    sigma_max: float = 50.0
    frame: ClassVar[Frame] = "ve"


@SCHEDULES.register("edm")
@dataclass(frozen=True)
class EDM(Schedule):
    r"""alpha = 1, sigma_t = (sigma_min^{1/rho} + t (sigma_max^{1/rho} - sigma_min^{1/rho}))^rho.

    (Karras et al., 2022, eq. 5, https://arxiv.org/abs/2206.00364) These times are those of sampling. Training draws
    log sigma from a normal distribution.

    Arguments:
        sigma_min: Noise level at t = 0.
        sigma_max: Noise level at t = 1.
        rho: Power; higher values spend more of the time at low noise.
    """

    sigma_min: float = 0.002
    sigma_max: float = 80.0
    rho: float = 7.0
    frame: ClassVar[Frame] = "ve"
    suited_times: ClassVar[str] = "log_normal"

    @property
    def ends(self) -> tuple[float, float]:
        """The numbers sigma_min^{1/rho} and sigma_max^{1/rho}."""
        return math.pow(self.sigma_min, 1 / self.rho), math.pow(self.sigma_max, 1 / self.rho)

    def log_snr(self, t: Tensor) -> Tensor:
        low, high = self.ends
        return -2 * self.rho * torch.log(low + t.double().clamp(0, 1) * (high - low))

    def time(self, log_snr: Tensor) -> Tensor:
        low, high = self.ends
        return (torch.exp(-log_snr.double() / 2 / self.rho) - low) / (high - low)
