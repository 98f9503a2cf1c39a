r"""Schedules that are published as a table: exact at their grid points, with a linear log-SNR between them.

$$ \bar\alpha_i = \prod_{j \le i} (1 - \beta_j), \qquad \alpha_i^2 = \bar\alpha_i, \qquad
   \lambda_i = \log \bar\alpha_i - \log(1 - \bar\alpha_i). $$

The papers publish their betas for the default of T. With another T, multiply `beta_1` and `beta_T` by 1000 / T to keep
nearly the same schedule. The option `zero_terminal_snr` of tables of betas makes the last state pure noise; see
`Discrete`.

Symbols: beta_i variance of the i-th of T forward steps, alpha_bar_i product of 1 - beta up to step i, a_i =
sqrt(alpha_bar_i) amplitude of the signal, lambda_i log-SNR.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, ParamSpec

import torch
from torch import Tensor

from polydiff.gaussian.schedule.base import SCHEDULES, Frame, Schedule, extended

P = ParamSpec("P")

INFINITE = 1e5
"""Noise level that stands for infinity: the signal in x / s is 1e-5, far below what a network can resolve."""


@dataclass(frozen=True, eq=False)
class Table(Schedule):
    """The schedule that interpolates log-SNRs linearly between the times i / (n - 1), i = 0 ... n - 1.

    Arguments:
        grid: The log-SNRs, strictly decreasing, shape (n,) with n >= 2, float64.

    Raises:
        ValueError: The grid is not such a vector.
    """

    grid: Tensor
    frame: ClassVar[Frame] = "vp"

    def __post_init__(self) -> None:
        if self.grid.ndim != 1 or len(self.grid) < 2 or not bool((self.grid.diff() < 0).all()):
            raise ValueError("A table needs a vector of at least two log-SNRs, each below the one before.")

    @property
    def sigma_min(self) -> float:  # type: ignore[override]
        return math.exp(-float(self.grid[0]) / 2)

    @property
    def sigma_max(self) -> float:  # type: ignore[override]
        return math.exp(min(-float(self.grid[-1]) / 2, math.log(INFINITE)))

    def log_snr(self, t: Tensor) -> Tensor:
        place = t.double().clamp(0, 1) * (len(self.grid) - 1)
        return interpolate(place, torch.arange(len(self.grid), dtype=torch.float64), self.grid)

    def time(self, log_snr: Tensor) -> Tensor:
        places = torch.arange(len(self.grid), dtype=torch.float64)
        place = interpolate(log_snr.double(), self.grid.flip(0), places.flip(0))
        return place / (len(self.grid) - 1)


def interpolate(x: Tensor, xs: Tensor, ys: Tensor) -> Tensor:
    """Return the linear interpolation at x through the points (xs, ys), constant outside; xs must increase."""
    xs, ys = xs.to(x.device), ys.to(x.device)
    right = torch.searchsorted(xs, x.detach().contiguous()).clamp(1, len(xs) - 1)
    x0, x1, y0, y1 = xs[right - 1], xs[right], ys[right - 1], ys[right]
    weight = ((x - x0) / (x1 - x0)).clamp(0, 1)
    return torch.lerp(y0, y1, weight)


class Discrete(Table):
    r"""The schedule of T forward steps with given betas (Ho et al., 2020, https://arxiv.org/abs/2006.11239).

    With `zero_terminal_snr` the amplitudes a_i become (a_i - a_T) a_1 / (a_1 - a_T), so that the last state is pure
    noise (Lin et al., 2023, algorithm 1, https://arxiv.org/abs/2305.08891). Its noise level would be infinite. The
    table replaces this one level by the larger of `INFINITE` and e^{1/2} times the level before; sampling starts at
    `INFINITE`. A network that starts there must predict something about x_0: use the target v, flow, edm or x0, not eps
    or score. `sample.spacing=time` places steps as that paper does.

    Arguments:
        betas: Variances of the forward steps, in (0, 1), shape (T,) with T >= 2.
        zero_terminal_snr: Whether the last state is pure noise.

    Raises:
        ValueError: The betas are not such a vector.
    """

    def __init__(self, betas: Tensor, zero_terminal_snr: bool = False) -> None:
        betas = betas.double()
        if betas.ndim != 1 or len(betas) < 2 or not bool(((betas > 0) & (betas < 1)).all()):
            raise ValueError("betas must be a vector of at least two numbers strictly between 0 and 1.")
        log_alpha_bar = torch.log1p(-betas).cumsum(0)
        grid = rescaled(log_alpha_bar) if zero_terminal_snr else log_ratio(log_alpha_bar)
        super().__init__(grid)
        object.__setattr__(self, "zero_terminal_snr", zero_terminal_snr)


def log_ratio(log_alpha_bar: Tensor) -> Tensor:
    """Return the log-SNR log(alpha_bar / (1 - alpha_bar)), of the shape of log alpha_bar."""
    return log_alpha_bar - torch.log(-torch.expm1(log_alpha_bar))


def rescaled(log_alpha_bar: Tensor) -> Tensor:
    """Return the log-SNRs (T,) with zero terminal SNR, the last one finite, from log alpha_bar (T,)."""
    log_a = log_alpha_bar / 2
    fall = torch.log(-torch.expm1(log_a[-1] - log_a[:-1]))  # log((a_i - a_T) / a_i), finite also if a_T underflows
    grid = log_ratio(2 * (log_a[:-1] + fall - fall[0]))
    return torch.cat([grid, (grid[-1:] - 1).clamp(max=-2 * math.log(INFINITE))])


def by_betas(name: str) -> Callable[[Callable[P, Tensor]], Callable[..., Discrete]]:
    """Return a decorator that registers a function that returns betas as a schedule with `zero_terminal_snr`."""

    def file(make: Callable[P, Tensor]) -> Callable[..., Discrete]:
        def made(*args: Any, zero_terminal_snr: bool = False, **options: Any) -> Discrete:
            return Discrete(make(*args, **options), zero_terminal_snr)

        return SCHEDULES.register(name)(extended(made, make, zero_terminal_snr=False))

    return file


@by_betas("linear")
def linear(T: int = 1000, beta_1: float = 1e-4, beta_T: float = 0.02) -> Tensor:
    """Return betas (T,), linear from beta_1 to beta_T (Ho et al., 2020, https://arxiv.org/abs/2006.11239)."""
    return torch.linspace(beta_1, beta_T, T, dtype=torch.float64)


@by_betas("quadratic")
def quadratic(T: int = 1000, beta_1: float = 1e-4, beta_T: float = 0.02) -> Tensor:
    """Return betas (T,) with linear square roots (Song et al., DDIM, 2021, https://arxiv.org/abs/2010.02502)."""
    return torch.linspace(beta_1**0.5, beta_T**0.5, T, dtype=torch.float64) ** 2


@by_betas("scaled_linear")
def scaled_linear(T: int = 1000, beta_1: float = 8.5e-4, beta_T: float = 0.012) -> Tensor:
    """Return the betas (T,) of latent diffusion: `quadratic` with other ends (Rombach et al., 2022).

    https://arxiv.org/abs/2112.10752
    """
    return torch.linspace(beta_1**0.5, beta_T**0.5, T, dtype=torch.float64) ** 2


@by_betas("cosine_betas")
def cosine_betas(T: int = 1000, offset: float = 0.008, beta_max: float = 0.999) -> Tensor:
    """Return the betas (T,) of alpha_bar(t) ~ cos^2(pi/2 (t + s) / (1 + s)), clipped (Nichol & Dhariwal, 2021, eq. 17).

    https://arxiv.org/abs/2102.09672

    Arguments:
        T: Number of steps; t = i / T.
        offset: s, which keeps the first betas from being too small.
        beta_max: Highest beta.
    """
    return cut(T, lambda t: torch.cos((t + offset) / (1 + offset) * math.pi / 2) ** 2, beta_max, offset)


@by_betas("sigmoid_betas")
def sigmoid_betas(T: int = 1000, beta_1: float = 1e-4, beta_T: float = 0.02) -> Tensor:
    """Return the betas (T,) sigmoid(linspace(-6, 6)) (beta_T - beta_1) + beta_1 (Xu et al., GeoDiff, 2022).

    https://arxiv.org/abs/2203.02923
    """
    ramp = torch.sigmoid(torch.linspace(-6, 6, T, dtype=torch.float64))
    return ramp * (beta_T - beta_1) + beta_1


@by_betas("sqrt")
def sqrt(T: int = 1000, offset: float = 1e-4, beta_max: float = 0.999) -> Tensor:
    """Return the betas (T,) of alpha_bar(t) ~ 1 - sqrt(t + s), clipped: early noise (Li et al., Diffusion-LM, 2022).

    https://arxiv.org/abs/2205.14217

    Arguments:
        T: Number of steps; t = i / T.
        offset: s.
        beta_max: Highest beta.
    """
    return cut(T, lambda t: 1 - torch.sqrt(t + offset), beta_max, offset)


def cut(T: int, alpha_bar: Callable[[Tensor], Tensor], beta_max: float, offset: float) -> Tensor:
    """Return the betas 1 - alpha_bar(i / T) / alpha_bar((i - 1) / T), i = 1 ... T, clipped to beta_max, shape (T,).

    Arguments:
        T: Number of steps.
        alpha_bar: Function of times; it may reach 0 in the last step.
        beta_max: Highest beta.
        offset: Option of `alpha_bar`, for the message.

    Raises:
        ValueError: alpha_bar reaches 0 before the last step, or rises.
    """
    values = alpha_bar(torch.arange(T + 1, dtype=torch.float64) / T)
    if not bool((values[:-1] > 0).all() and (values.diff() < 0).all()):
        raise ValueError(
            f"With T={T}, offset={offset:g}, the signal alpha_bar is not above 0 and falling before the last step. "
            f"Use an offset of at least 0 and below 1 / T = {1 / T:g}."
        )
    return (1 - values[1:] / values[:-1]).clamp(max=beta_max)


@SCHEDULES.register("polynomial_2")
def polynomial_2(T: int = 1000, precision: float = 1e-5, power: float = 2.0) -> Table:
    """Return the table of alpha_bar(t) = (1 - 2 p) (1 - t^power)^2 + p (Hoogeboom et al., EDM for molecules, 2022).

    https://arxiv.org/abs/2203.17003. The ratios of neighbouring (1 - t^power)^2 are clipped to at least 0.001. The
    T + 1 grid points are t = i / T.

    Arguments:
        T: Number of steps.
        precision: p, between 0 and 0.5: the signal that is left at t = 1, and the noise at t = 0.
        power: Exponent of t.
    """
    if not 0 < precision < 0.5:
        raise ValueError(f"precision must lie between 0 and 0.5, not {precision}.")
    t = torch.arange(T + 1, dtype=torch.float64) / T
    clean = (1 - t**power) ** 2
    ratios = (clean[1:] / clean[:-1]).clamp(0.001, 1)
    alpha_bar = (1 - 2 * precision) * torch.cat([clean[:1], ratios]).cumprod(0) + precision
    return Table(alpha_bar.log() - torch.log1p(-alpha_bar))
