r"""Distributions of training noise levels: (u, schedule, **options) -> s, rising with u in (0, 1).

To add one, register a function with these arguments. A distribution that keeps state, or knows its density in closed
form, is an instance of a subclass of `Times`.

Each is a quantile function, so that evenly spread u (`stratified`) give evenly spread noise levels, and it never leaves
the schedule's range: a distribution that would is cut there, not piled up. Its density follows from it,

$$ \frac{1}{p(\lambda)} = -\frac{d \lambda}{d u}, $$

and `importance` gives this number, by which a loss becomes an integral over the log-SNR.

Symbols: u uniform number, s noise level, lambda = -2 log s, t the schedule's time, p density.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, cast

import torch
from torch import Tensor, nn
from torch.special import ndtr, ndtri

from polydiff.core.registry import Registry
from polydiff.gaussian.loss.state import History
from polydiff.gaussian.schedule.base import Schedule, bisect

TIMES: Registry[Callable[..., Tensor]] = Registry("distribution of training times")
Curve = Callable[[Tensor], Tensor]


class Times:
    """A distribution of training noise levels, which may keep state on the denoiser.

    Attributes:
        state: Name -> class of a module that is kept on the denoiser and made with the distribution's options.
        trains_schedule: Whether `importance` is a function of a learned schedule's parameters, which it then trains.
    """

    state: ClassVar[Mapping[str, Callable[..., nn.Module]]] = {}
    trains_schedule: ClassVar[bool] = False

    def __call__(self, *args: Any, **options: Any) -> Tensor:
        """Return noise levels (u, schedule, **options) -> s, float64, rising with u."""
        raise NotImplementedError

    def importance(self, s: Tensor, schedule: Schedule, **options: Any) -> Tensor:
        """Return 1 / p(lambda) at noise levels s of any shape, in float64, found from the quantiles."""
        with torch.enable_grad():
            u = bisect(lambda u: self(u, schedule, **options), s.detach()).clamp(1e-7, 1 - 1e-7).requires_grad_()
            return 2 * torch.autograd.grad(self(u, schedule, **options).log().sum(), u)[0]

    def draw(self, u: Tensor, state: nn.ModuleDict) -> tuple[Tensor, Tensor | None]:
        """Return the numbers to train at for uniform u, and the weights (B,) that correct for them; None: 1."""
        return u, None

    def record(self, u: Tensor, losses: Tensor, state: nn.ModuleDict) -> None:
        """Update the state with the losses (B,) of the numbers u (B,)."""


class Quantiles(Times):
    """A distribution by its quantile function.

    Arguments:
        levels: (u, schedule, **options) -> s.
    """

    def __init__(self, levels: Callable[..., Tensor]) -> None:
        self.levels = levels

    def __call__(self, *args: Any, **options: Any) -> Tensor:
        return self.levels(*args, **options)


class Uniform(Times):
    """t uniform between the times of the lowest and the highest noise level trained."""

    trains_schedule: ClassVar[bool] = True

    def __call__(self, u: Tensor, schedule: Schedule) -> Tensor:
        low, high = schedule.trained_times()
        return schedule.noise_level(low + u.double() * (high - low))

    def importance(self, s: Tensor, schedule: Schedule, **options: Any) -> Tensor:
        """Return 1 / p(lambda); a function of a learned schedule's parameters where s is one (`Schedule.attach`)."""
        low, high = schedule.trained_times()
        slope = schedule.slope(schedule.time(-2 * s.detach().double().log()))
        return -(slope if s.requires_grad else slope.detach()) * (high - low)


class Adaptive(Uniform):
    """`Uniform` until losses are known, then t in proportion to their root mean square; the gradient stays the same.

    Its options are those of `History`, which draws the numbers u (Nichol & Dhariwal, 2021, eq. 18,
    https://arxiv.org/abs/2102.09672).
    """

    state: ClassVar[Mapping[str, Callable[..., nn.Module]]] = {"history": History}
    trains_schedule: ClassVar[bool] = False

    def __call__(
        self, u: Tensor, schedule: Schedule, bins: float = 64, depth: float = 10, floor: float = 0.001
    ) -> Tensor:
        return super().__call__(u, schedule)

    def draw(self, u: Tensor, state: nn.ModuleDict) -> tuple[Tensor, Tensor | None]:
        return cast(History, state["history"]).draw(u)

    def record(self, u: Tensor, losses: Tensor, state: nn.ModuleDict) -> None:
        cast(History, state["history"]).remember(u, losses)


TIMES.register("uniform")(Uniform())
TIMES.register("adaptive")(Adaptive())


@TIMES.register("logit_normal")
def logit_normal(u: Tensor, schedule: Schedule, mean: float = 0.0, std: float = 1.0) -> Tensor:
    """logit t ~ N(mean, std^2) (Esser et al., 2024, https://arxiv.org/abs/2403.03206)."""
    low, high = torch.tensor(schedule.trained_times(), dtype=torch.float64).logit().tolist()
    return in_range(schedule.noise_level(torch.sigmoid(normal(u, mean, std, low, high))), schedule)


@TIMES.register("mode")
def mode(u: Tensor, schedule: Schedule, scale: float = 1.29) -> Tensor:
    """t = 1 - v - scale (cos^2(pi v / 2) - 1 + v), v = 1 - u: more of the middle (Esser et al., 2024).

    https://arxiv.org/abs/2403.03206. On the times that are trained; scale in [-1, 2 / (pi - 2)].
    """
    if not -1 <= scale <= 2 / (math.pi - 2):
        raise ValueError(f"scale must lie between -1 and {2 / (math.pi - 2):.4g}, not {scale}.")
    u = u.double()
    return at_times((1 + scale) * u - scale * torch.sin(math.pi / 2 * u) ** 2, schedule)


@TIMES.register("kumaraswamy")
def kumaraswamy(u: Tensor, schedule: Schedule, a: float = 1.5, b: float = 1.0) -> Tensor:
    """t = (1 - (1 - u)^{1/b})^{1/a}: Beta(a, 1) where b = 1, Beta(1, b) where a = 1, much like Beta(a, b) elsewhere.

    On the times that are trained. (Kumaraswamy, 1980, https://doi.org/10.1016/0022-1694(80)90036-0; t ~ Beta(1.5, 1) in
    Black et al., pi_0, 2024, https://arxiv.org/abs/2410.24164.)
    """
    if not (a > 0 and b > 0):
        raise ValueError("a and b must be positive.")
    return at_times((-torch.expm1(torch.log1p(-u.double()) / b)) ** (1 / a), schedule)


@TIMES.register("log_normal")
def log_normal(u: Tensor, schedule: Schedule, mean: float = -1.2, std: float = 1.2) -> Tensor:
    """log s ~ N(mean, std^2) (Karras et al., 2022, https://arxiv.org/abs/2206.00364)."""
    low, high = math.log(schedule.sigma_min), math.log(schedule.sigma_max)
    return in_range(normal(u, mean, std, low, high).exp(), schedule)


@TIMES.register("log_snr_normal")
def log_snr_normal(u: Tensor, schedule: Schedule, mean: float = 2.4, std: float = 2.4) -> Tensor:
    """lambda ~ N(mean, std^2): `log_normal` in other words."""
    return log_normal(u, schedule, -mean / 2, std / 2)


@TIMES.register("laplace")
def laplace(u: Tensor, schedule: Schedule, mean: float = 0.0, scale: float = 0.5) -> Tensor:
    """lambda ~ Laplace(mean, scale) (Hang et al., 2024, https://arxiv.org/abs/2407.03297)."""

    def cdf(x: Tensor) -> Tensor:
        tail = torch.exp(-x.abs()) / 2
        return torch.where(x < 0, tail, 1 - tail)

    def quantile(p: Tensor) -> Tensor:
        tail = torch.log(2 * torch.minimum(p, 1 - p))
        return torch.where(p < 0.5, tail, -tail)

    return spread(u, schedule, cdf, quantile, mean, scale)


@TIMES.register("cauchy")
def cauchy(u: Tensor, schedule: Schedule, mean: float = 0.0, scale: float = 1.0) -> Tensor:
    """lambda ~ Cauchy(mean, scale) (Hang et al., 2024, https://arxiv.org/abs/2407.03297)."""
    return spread(
        u,
        schedule,
        lambda x: 0.5 + torch.atan(x) / math.pi,
        lambda p: torch.tan(math.pi * (p - 0.5)),
        mean,
        scale,
    )


def normal(u: Tensor, mean: float, std: float, low: float, high: float) -> Tensor:
    """Return quantiles of N(mean, std^2) between two bounds."""
    if not std > 0:
        raise ValueError(f"std must be positive, not {std}.")
    return truncated(u, lambda x: ndtr((x - mean) / std), lambda p: mean + std * ndtri(p), low, high)


def spread(u: Tensor, schedule: Schedule, cdf: Curve, quantile: Curve, mean: float, scale: float) -> Tensor:
    """Return noise levels with (lambda - mean) / scale of a symmetric distribution."""
    if not scale > 0:
        raise ValueError(f"scale must be positive, not {scale}.")
    low, high = 2 * math.log(schedule.sigma_min), 2 * math.log(schedule.sigma_max)
    x = truncated(u, lambda x: cdf((x + mean) / scale), lambda p: scale * quantile(p) - mean, low, high)
    return in_range(torch.exp(x / 2), schedule)


def truncated(u: Tensor, cdf: Curve, quantile: Curve, low: float, high: float) -> Tensor:
    """Return quantiles of a distribution between two bounds, in float64."""
    first, last = cdf(torch.tensor([low, high], dtype=torch.float64, device=u.device))
    return quantile(first + u.double() * (last - first)).clamp(low, high)


def at_times(v: Tensor, schedule: Schedule) -> Tensor:
    """Return noise levels at the share v in [0, 1] of the times that are trained."""
    low, high = schedule.trained_times()
    return in_range(schedule.noise_level(low + v * (high - low)), schedule)


def in_range(s: Tensor, schedule: Schedule) -> Tensor:
    """Return noise levels without the last digit by which rounding may leave the schedule's range."""
    return s.clamp(schedule.sigma_min, schedule.sigma_max)


def times_of(name: str) -> Times:
    """Return the distribution of a name, a plain function with the behaviour of one that keeps no state."""
    found = TIMES[name]
    return found if isinstance(found, Times) else Quantiles(found)


def importance(times: str, s: Tensor, schedule: Schedule, options: Mapping[str, Any] | None = None) -> Tensor:
    """Return 1 / p(lambda) at noise levels s of any shape, in float64.

    Arguments:
        times: Name of the distribution.
        s: Noise levels, within the schedule's range.
        schedule: Gives the range, and the time of a noise level.
        options: Further arguments of the distribution.
    """
    return times_of(times).importance(s, schedule, **(options or {}))
