r"""The terms of a likelihood bound in the frame x = x_0 + s eps, in nats, on the space.

$$ -\log p(x_0) \le \underbrace{\mathrm{KL}(q(x_T | x_0) \,\|\, p(x_T))}_{\text{prior}}
   + \sum_{i=2}^T \mathrm{KL}(q(x_{i-1} | x_i, x_0) \,\|\, p(x_{i-1} | x_i))
   \underbrace{- \log p(x_0 | x_1)}_{\text{decoder}} $$

(Ho et al., 2020, eq. 5, https://arxiv.org/abs/2006.11239). From s_0 to s_1 < s_0, with r = s_1 / s_0,

$$ q(x_1 | x_0, x) = \mathcal N(r^2 x + (1 - r^2) x_0,\ b P), \qquad b = s_1^2 (1 - r^2), $$

p has D in the place of x_0, and a variance Sigma = b^{1-v} B^v, elementwise. v = 0 gives b, which is exact for data at
a point. v = 1 gives B = (s_0^2 - s_1^2) (s_d^2 + s_1^2) / (s_d^2 + s_0^2), which is exact for Gaussian data of standard
deviation s_d (Nichol & Dhariwal, 2021, https://arxiv.org/abs/2102.09672). v must commute with P: elements that P mixes
must share one v.

Symbols: B batch size, R rows of a state, s noise level, x_0 clean state, D its estimate, d error x_0 - D, P projector,
c standard deviation of the decoder. c is that of the posterior for Gaussian data: c^2 = s^2 s_d^2 / (s^2 + s_d^2).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from polydiff.core.likelihood import Estimate
from polydiff.core.space import Space, State, sqnorm
from polydiff.core.units import Units
from polydiff.gaussian.likelihood.directions import diagonal
from polydiff.gaussian.schedule.base import Schedule

LOG_2PI = math.log(2 * math.pi)
Prior = Literal["data", "noise"]


def total(parts: dict[str, Tensor], errors: list[Tensor], evaluations: Tensor) -> Estimate:
    """Return the bound that is the sum of these parts, (B,) each; `errors`, (B,) each, are of independent parts."""
    error = torch.stack([e.double() ** 2 for e in errors]).sum(0).sqrt()
    return Estimate(torch.stack([part.double() for part in parts.values()]).sum(0), error, parts, evaluations)


def averaged(draws: list[Tensor]) -> tuple[Tensor, Tensor]:
    """Return the mean and the standard error, each (B,), of draws (B,); the error of one draw is NaN."""
    values = torch.stack(draws).double()
    return values.mean(0), values.std(0) / math.sqrt(len(draws)) if len(draws) > 1 else values[0] * math.nan


def bottom(schedule: Schedule, lowest: float | None) -> float:
    """Return the noise level where the decoder takes over: `lowest`, or the schedule's lowest if it is None."""
    if lowest is None:
        return schedule.sigma_min
    if not 0 < lowest < schedule.sigma_max:
        raise ValueError(f"A bound ends at a noise level above 0 and below {schedule.sigma_max:g}, not {lowest}.")
    return lowest


def decoder_level(units: Sequence[Units | None], schedule: Schedule) -> float:
    """Return the noise level where the decoder takes over: a quarter of the narrowest bin, above the schedule's lowest.

    At this level the bin of a number is hardly in doubt. Below it, a network that does not know the bins loses a nat a
    dimension for each factor e of noise that it removes. Every level gives a valid bound. For continuous data, and for
    bins that all reach to infinity, this is the schedule's lowest level.
    """
    widths = [
        (high - low)[torch.isfinite(high - low)]
        for low, high in ((u.low, u.high) for u in units if u is not None)
        if low is not None and high is not None and not low.isnan().any()
    ]
    narrowest = min((float(w.min()) for w in widths if len(w)), default=0.0)
    return max(schedule.sigma_min, narrowest / 4)


def prior_variance(sigma_max: float, sigma_data: float, prior: Prior) -> float:
    """Return the variance of p(x_T): that of data plus noise, or of noise alone, from which samplers start."""
    if prior not in ("data", "noise"):
        raise ValueError(f"prior must be 'data' or 'noise', not {prior!r}.")
    return sigma_max**2 + (sigma_data**2 if prior == "data" else 0.0)


def prior_kl(space: Space, x_0: State, sigma_max: float, variance: float) -> Tensor:
    """Return KL(N(x_0, s^2 P) || N(0, variance P)) in nats, shape (B,).

    Arguments:
        space: Where states live; P is its projector.
        x_0: Clean states, (R, ...).
        sigma_max: s, the highest noise level.
        variance: Variance of the prior (`prior_variance`).
    """
    ratio = sigma_max**2 / variance
    return (space.dim * (ratio - 1 - math.log(ratio)) + sqnorm(space, x_0) / variance) / 2


def log_normal(space: Space, x: State, variance: float) -> Tensor:
    """Return log N(x; 0, variance P) on the space, shape (B,)."""
    return -(sqnorm(space, x) / variance + space.dim * (LOG_2PI + math.log(variance))) / 2


def reverse_variances(s0: Tensor, s1: Tensor, sigma_data: float) -> tuple[Tensor, Tensor]:
    """Return (b, B), the smallest and the largest variance of a step from s_0 to s_1, in the shape of s_0."""
    shrink = (s0**2 - s1**2) / s0**2
    return s1**2 * shrink, shrink * s0**2 * (sigma_data**2 + s1**2) / (sigma_data**2 + s0**2)


def step_kl(
    space: Space, x_0: State, estimate: State, s0: Tensor, s1: Tensor, sigma_data: float, v: State | float = 0.0
) -> Tensor:
    """Return KL(q(x_1 | x_0, x) || p(x_1 | x)) of a step, shape (B,).

    (1 / 2) sum [P_ii (b / Sigma - 1 + log Sigma / b) + (1 / s_1^2 - 1 / s_0^2) (b / Sigma) d^2].

    Arguments:
        space: Where states live.
        x_0: Clean states.
        estimate: D at s_0.
        s0: Noise level before the step, float64 (B,).
        s1: Noise level after it, above 0, float64 (B,).
        sigma_data: s_d.
        v: 0 for Sigma = b, 1 for Sigma = B, or a state of numbers between.
    """
    b, large = reverse_variances(s0, s1, sigma_data)
    gain = space.expand((s1**-2 - s0**-2).to(x_0))
    error = gain * (x_0 - estimate) ** 2
    if isinstance(v, float) and v == 0.0:
        return space.sum(error) / 2
    ratio = space.expand((large / b).log().to(x_0)) * v
    spread = torch.expm1(-ratio) + ratio
    return space.sum(diagonal(space, x_0) * spread + (-ratio).exp() * error) / 2


def decoder_std(sigma: Tensor, sigma_data: float) -> Tensor:
    """Return c at noise levels s (B,)."""
    return sigma * sigma_data / torch.hypot(sigma, torch.full_like(sigma, sigma_data))


def decoder(space: Space, x_0: State, estimate: State, c: Tensor, units: Units | None = None) -> Tensor:
    """Return -log p(x_0 | x_1) in nats, shape (B,).

    p is the mass of a number's bin under N(D, c^2), or the density if it has no bin. A one-hot code of `units` counts
    as one number, its category.

    Arguments:
        space: Where states live.
        x_0: Clean states, (R, ...).
        estimate: D at s_1, (R, ...).
        c: Standard deviation, shape (B,).
        units: Bins; None: x_0 is continuous.
    """
    std = space.expand(c.double())
    d = (x_0 - estimate).double() / std
    density = d * d / 2 + diagonal(space, x_0) * (std.log() + LOG_2PI / 2)
    if units is None or units.low is None or units.high is None:
        return space.sum(density)
    low, high = ((bound.double() - estimate.double()) / std for bound in (units.low, units.high))
    mass = -log_mass(low.nan_to_num(nan=-math.inf, neginf=-math.inf), high.nan_to_num(nan=math.inf, posinf=math.inf))
    if units.category is not None:
        mass = categorical(mass, x_0, *units.category)
    return space.sum(torch.where(units.low.isnan(), density, mass))


def categorical(mass: Tensor, x_0: State, first: int, last: int) -> Tensor:
    """Return -log mass with that of a one-hot code replaced by that of its one category.

    The mass of category k is that of the bin "on" of its number, normalised over all categories (Hoogeboom et al.,
    2022, https://arxiv.org/abs/2203.17003). It stands in the place of the taken category; the other places are 0.

    Arguments:
        mass: -log mass of each number, (..., K).
        x_0: Clean states, (..., K).
        first: Place of the code's first number.
        last: Place after its last number.
    """
    code = slice(first, last)
    taken = functional.one_hot(x_0[..., code].argmax(-1), last - first)
    category = -functional.log_softmax(-mass[..., code], -1) * taken
    return torch.cat([mass[..., :first], category, mass[..., last:]], -1)


def log_mass(low: Tensor, high: Tensor) -> Tensor:
    """Return log(Phi(high) - Phi(low)), Phi the standard normal distribution, to full precision in both tails."""
    flip = low > 0
    low, high = torch.where(flip, -high, low), torch.where(flip, -low, high)
    top, bottom = torch.special.log_ndtr(high), torch.special.log_ndtr(low)
    mass: Tensor = top + torch.log1p(-torch.exp(bottom - top))
    return mass


def in_units(space: Space, units: Units | None) -> dict[str, Tensor]:
    """Return the parts "units" and "size", (B,): what the data's units add to -log p, and -log p of sizes if given."""
    if units is None:
        return {"units": torch.zeros_like(space.dim)}
    size = {} if units.size is None else {"size": units.size.to(space.dim)}
    return {"units": units.log_scale.to(space.dim), **size}
