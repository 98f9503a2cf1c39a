r"""Noise schedules: how much signal and how much noise at time t.

$$ x_t = \alpha_t x_0 + \sigma_t \epsilon, \qquad \lambda_t = \log(\alpha_t^2 / \sigma_t^2), \qquad
   s_t = \sigma_t / \alpha_t = e^{-\lambda_t / 2}. $$

A schedule is a decreasing function t in [0, 1] -> log-SNR, its inverse, and a *frame* that says how alpha and sigma
follow from the log-SNR:

    vp      alpha^2 + sigma^2 = 1         DDPM (Ho et al., 2020)
    ve      alpha = 1                     EDM (Karras et al., 2022)
    flow    alpha + sigma = 1             rectified flow (Liu et al., 2022)

All schedules share one probability-flow ODE in the frame x / alpha against s, so samplers and denoisers see only the
noise level s; the frame matters where a state is written in a schedule's own scale. Everything here is float64: in
float32, 1 - alpha^2 has lost its digits at both ends.

Symbols: t time, `log_snr` lambda, `sigma` (of functions that take or give a noise level) s, beta variance of a DDPM
step.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import ClassVar, Literal

import torch
from torch import Tensor

from polydiff.registry import Registry

Frame = Literal["vp", "ve", "flow"]
SCHEDULES: Registry[Callable[..., Schedule]] = Registry("schedule")

LOWEST, HIGHEST = 1e-3, 1e3
"""Noise levels between which a schedule that reaches 0 and infinity is trained and sampled."""


class Schedule(ABC):
    """A decreasing log-SNR with its inverse, in one of three frames.

    Attributes:
        frame: How alpha and sigma follow from the log-SNR.
        sigma_min: Lowest noise level s that a network is trained at.
        sigma_max: Highest noise level s, where sampling begins.
    """

    frame: ClassVar[Frame]
    sigma_min: float
    sigma_max: float

    @abstractmethod
    def log_snr(self, t: Tensor) -> Tensor:
        """Return the log-SNR at time t, in float64."""

    @abstractmethod
    def time(self, log_snr: Tensor) -> Tensor:
        """Return the time at which the log-SNR has this value: the inverse of `log_snr`."""

    def __call__(self, t: Tensor) -> tuple[Tensor, Tensor]:
        """Return (alpha_t, sigma_t) in float64."""
        return self.coefficients(self.log_snr(t))

    def coefficients(self, log_snr: Tensor) -> tuple[Tensor, Tensor]:
        """Return (alpha, sigma) at a log-SNR, in this schedule's frame."""
        log_snr = log_snr.double()
        match self.frame:
            case "vp":
                return torch.sigmoid(log_snr).sqrt(), torch.sigmoid(-log_snr).sqrt()
            case "ve":
                return torch.ones_like(log_snr), torch.exp(-log_snr / 2)
            case "flow":
                return torch.sigmoid(log_snr / 2), torch.sigmoid(-log_snr / 2)

    def noise_level(self, t: Tensor) -> Tensor:
        """Return s = sigma_t / alpha_t, in float64."""
        return torch.exp(-self.log_snr(t) / 2)

    def trained_times(self) -> tuple[float, float]:
        """Return the times of `sigma_min` and `sigma_max`."""
        ends = torch.tensor([self.sigma_min, self.sigma_max], dtype=torch.float64)
        low, high = self.time(-2 * ends.log()).tolist()
        return low, high


def as_time(t: Tensor) -> Tensor:
    """Return t in float64, kept off the two ends where a log-SNR may be infinite."""
    return t.double().clamp(1e-9, 1 - 1e-9)


@dataclass(frozen=True)
class Discrete(Schedule):
    """The schedule of T given betas: exact at its grid points t = (i - 1) / (T - 1), log-SNR linear between them.

    alpha_i^2 = prod_{j <= i} (1 - beta_j). (Ho et al., 2020, https://arxiv.org/abs/2006.11239)

    Arguments:
        betas: Variances of the T >= 2 forward steps, in (0, 1), float64.
    """

    betas: Tensor
    grid: Tensor = field(init=False, repr=False)
    frame: ClassVar[Frame] = "vp"

    def __post_init__(self) -> None:
        betas = self.betas.double()
        if betas.ndim != 1 or len(betas) < 2 or not bool(((betas > 0) & (betas < 1)).all()):
            raise ValueError("betas must be a vector of at least two numbers strictly between 0 and 1.")
        log_alpha_bar = torch.log1p(-betas).cumsum(0)
        object.__setattr__(self, "grid", log_alpha_bar - torch.log(-torch.expm1(log_alpha_bar)))

    @property
    def sigma_min(self) -> float:  # type: ignore[override]
        return math.exp(-float(self.grid[0]) / 2)

    @property
    def sigma_max(self) -> float:  # type: ignore[override]
        return math.exp(-float(self.grid[-1]) / 2)

    def log_snr(self, t: Tensor) -> Tensor:
        place = t.double().clamp(0, 1) * (len(self.grid) - 1)
        return interpolate(place, torch.arange(len(self.grid), dtype=torch.float64), self.grid)

    def time(self, log_snr: Tensor) -> Tensor:
        places = torch.arange(len(self.grid), dtype=torch.float64)
        place = interpolate(log_snr.double(), self.grid.flip(0), places.flip(0))
        return place / (len(self.grid) - 1)


def interpolate(x: Tensor, xs: Tensor, ys: Tensor) -> Tensor:
    """Interpolate linearly through (xs, ys), xs increasing; constant outside."""
    xs, ys = xs.to(x.device), ys.to(x.device)
    right = torch.searchsorted(xs, x.contiguous()).clamp(1, len(xs) - 1)
    x0, x1, y0, y1 = xs[right - 1], xs[right], ys[right - 1], ys[right]
    weight = ((x - x0) / (x1 - x0)).clamp(0, 1)
    return torch.lerp(y0, y1, weight)


@SCHEDULES.register("linear")
def linear(T: int = 1000, beta_1: float = 1e-4, beta_T: float = 0.02) -> Discrete:
    """Linear betas (Ho et al., 2020, https://arxiv.org/abs/2006.11239)."""
    return Discrete(torch.linspace(beta_1, beta_T, T, dtype=torch.float64))


@SCHEDULES.register("quadratic")
def quadratic(T: int = 1000, beta_1: float = 1e-4, beta_T: float = 0.02) -> Discrete:
    """Betas whose square roots are linear (Song et al., DDIM, 2021, https://arxiv.org/abs/2010.02502)."""
    return Discrete(torch.linspace(beta_1**0.5, beta_T**0.5, T, dtype=torch.float64) ** 2)


@SCHEDULES.register("cosine_betas")
def cosine_betas(T: int = 1000, offset: float = 0.008, beta_max: float = 0.999) -> Discrete:
    """alpha^2(t) = cos^2(pi/2 (t + s)/(1 + s)), betas cut at 0.999 (Nichol & Dhariwal, 2021, eq. 17).

    https://arxiv.org/abs/2102.09672
    """
    t = torch.arange(T + 1, dtype=torch.float64) / T
    alpha_bar = torch.cos((t + offset) / (1 + offset) * math.pi / 2) ** 2
    return Discrete((1 - alpha_bar[1:] / alpha_bar[:-1]).clamp(max=beta_max))


@SCHEDULES.register("sigmoid_betas")
def sigmoid_betas(T: int = 1000, beta_1: float = 1e-4, beta_T: float = 0.02) -> Discrete:
    """beta = sigmoid(linspace(-6, 6)) (beta_T - beta_1) + beta_1 (Xu et al., GeoDiff, 2022).

    https://arxiv.org/abs/2203.02923
    """
    ramp = torch.sigmoid(torch.linspace(-6, 6, T, dtype=torch.float64))
    return Discrete(ramp * (beta_T - beta_1) + beta_1)


@SCHEDULES.register("cosine")
@dataclass(frozen=True)
class Cosine(Schedule):
    r"""alpha_t = cos(pi t / 2), sigma_t = sin(pi t / 2): log-SNR = -2 log tan(pi t / 2).

    The continuous form (Salimans & Ho, 2022, https://arxiv.org/abs/2202.00512).

    Arguments:
        sigma_min: Lowest noise level trained.
        sigma_max: Highest noise level trained.
    """

    sigma_min: float = LOWEST
    sigma_max: float = HIGHEST
    frame: ClassVar[Frame] = "vp"

    def log_snr(self, t: Tensor) -> Tensor:
        return -2 * torch.log(torch.tan(as_time(t) * math.pi / 2))

    def time(self, log_snr: Tensor) -> Tensor:
        return torch.atan(torch.exp(-log_snr.double() / 2)) * 2 / math.pi


@SCHEDULES.register("edm")
@dataclass(frozen=True)
class EDM(Schedule):
    r"""alpha = 1, sigma_t = (sigma_min^{1/rho} + t (sigma_max^{1/rho} - sigma_min^{1/rho}))^rho.

    (Karras et al., 2022, eq. 5, https://arxiv.org/abs/2206.00364)

    Arguments:
        sigma_min: Noise level at t = 0.
        sigma_max: Noise level at t = 1.
        rho: How much of the time is spent at low noise.
    """

    sigma_min: float = 0.002
    sigma_max: float = 80.0
    rho: float = 7.0
    frame: ClassVar[Frame] = "ve"

    @property
    def ends(self) -> tuple[float, float]:
        """sigma_min^{1/rho} and sigma_max^{1/rho}."""
        return math.pow(self.sigma_min, 1 / self.rho), math.pow(self.sigma_max, 1 / self.rho)

    def log_snr(self, t: Tensor) -> Tensor:
        low, high = self.ends
        return -2 * self.rho * torch.log(low + t.double().clamp(0, 1) * (high - low))

    def time(self, log_snr: Tensor) -> Tensor:
        low, high = self.ends
        return (torch.exp(-log_snr.double() / 2 / self.rho) - low) / (high - low)


@SCHEDULES.register("flow")
@dataclass(frozen=True)
class RectifiedFlow(Schedule):
    r"""alpha_t = 1 - t, sigma_t = t: log-SNR = 2 log((1 - t) / t).

    (Liu et al., 2022, https://arxiv.org/abs/2209.03003; Lipman et al., 2022, https://arxiv.org/abs/2210.02747)

    Arguments:
        sigma_min: Lowest noise level sigma / alpha trained.
        sigma_max: Highest noise level sigma / alpha trained.
    """

    sigma_min: float = LOWEST
    sigma_max: float = HIGHEST
    frame: ClassVar[Frame] = "flow"

    def log_snr(self, t: Tensor) -> Tensor:
        return -2 * torch.logit(as_time(t))

    def time(self, log_snr: Tensor) -> Tensor:
        return torch.sigmoid(-log_snr.double() / 2)
