"""Guidance by two estimates: with and without a condition, or of a good and a worse model.

Symbols: D_c strong estimate, D_u weak estimate, w scale, s noise level, B batch size.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from polydiff.core.condition_batch import join_conditions, without
from polydiff.core.conditions import Condition
from polydiff.core.space import Repeats, Space, State, level_of
from polydiff.gaussian.denoise import Denoise
from polydiff.gaussian.guidance.method import Linear, Method
from polydiff.gaussian.schedule.base import Schedule
from polydiff.gaussian.wrapper import Wrapper
from polydiff.support.protocols import provides

Interval = tuple[float, float]


@dataclass(frozen=True, eq=False)
class Guided(Wrapper):
    """A denoiser that combines a strong and a weak estimate by a method, within an interval of noise levels.

    Arguments:
        denoiser: Gives the strong estimate. Without a guide it must be trained with dropout of its condition.
        method: Combines the two estimates (`polydiff.gaussian.guidance.method.GUIDANCE`).
        guide: Gives the weak estimate, with the same condition; None: the denoiser itself, without the condition.
        negative: Condition of the weak estimate, from which guidance moves away; None: no condition.
        interval: Lowest and highest noise level with guidance; the estimate outside is the strong one
            (Kynkäänniemi et al., 2024, https://arxiv.org/abs/2404.07724). None: all noise levels.
        joined: Whether one call of the denoiser, with the batch twice, computes both estimates. This needs a space that
            can be repeated and no guide. The result is the same to rounding, and faster if one batch does not fill the
            machine. Conditions that are not given then reach the denoiser as -1 or NaN, not as missing names.

    Raises:
        ValueError: The interval contains no noise level.
    """

    method: Method
    guide: Denoise | None = None
    negative: Condition | None = None
    interval: Interval | None = None
    joined: bool = False

    def __post_init__(self) -> None:
        check_interval(self.interval)

    def __call__(self, x: State, sigma: Tensor, space: Space, cond: Condition | None = None) -> State:
        if without(cond) == (cond or None) and self.guide is None and self.negative is None:
            return self.denoiser(x, sigma, space, cond)  # no condition to guide by
        inside = within(sigma, self.interval)
        if inside is True and self.method.only == "weak":
            return self.weak(x, sigma, space, cond)
        if inside is False or self.method.only == "strong":
            return self.denoiser(x, sigma, space, cond)
        strong, weak = self.both(x, sigma, space, cond)
        guided = weak if self.method.only == "weak" else self.method(strong, weak, x, sigma, space)
        return guided if inside is True else torch.where(space.expand(inside), guided, strong)

    def both(self, x: State, sigma: Tensor, space: Space, cond: Condition | None) -> tuple[State, State]:
        """Return the strong and the weak estimate, from one call of the denoiser or two. Arguments as in `Denoise`."""
        if not self.joined or self.guide is not None or not provides(space, Repeats):
            return self.denoiser(x, sigma, space, cond), self.weak(x, sigma, space, cond)
        twice = join_conditions([cond, self.other(cond)])
        sigma = torch.cat([sigma, sigma]) if sigma.ndim else sigma
        strong, weak = self.denoiser(torch.cat([x, x]), sigma, space.repeat(2), twice).chunk(2)
        return strong, weak

    def other(self, cond: Condition | None) -> Condition | None:
        """Return the condition of the weak estimate; conditions that are not guided by, such as a task's, stay."""
        if self.negative is not None:
            return {**self.negative, **(without(cond) or {})}
        return without(cond) if self.guide is None else cond

    def weak(self, x: State, sigma: Tensor, space: Space, cond: Condition | None) -> State:
        """Return the weak estimate. Arguments as in `Denoise`; cond is that of the strong estimate."""
        return (self.guide or self.denoiser)(x, sigma, space, self.other(cond))


def ClassifierFree(denoiser: Denoise, scale: float, interval: Interval | None = None) -> Guided:
    """Return classifier-free guidance: D = D_u + w (D_c - D_u) (Ho & Salimans, 2022).

    w = 1 is the conditional model, w = 0 the unconditional one, and w > 1 extrapolates towards the condition. The
    formula is the same for all targets, since each is affine in x_0. https://arxiv.org/abs/2207.12598

    Arguments:
        denoiser: A conditional denoiser trained with dropout of its condition.
        scale: w.
        interval: Lowest and highest noise level with guidance; None: all.
    """
    return Guided(denoiser, Linear(scale), interval=interval)


def Autoguidance(denoiser: Denoise, guide: Denoise, scale: float, interval: Interval | None = None) -> Guided:
    """Return guidance by a worse model: D = D_g + w (D_c - D_g) (Karras et al., 2024).

    D_c is the estimate of the good model, D_g that of the worse one. The worse model makes the same errors, only
    larger. Moving away from it reduces errors and keeps variety. It should be a smaller model, or one trained for fewer
    steps, on the same data. https://arxiv.org/abs/2406.02507

    Arguments:
        denoiser: The good model, conditional or not.
        guide: The worse model, trained on the same range of noise levels; it receives the same condition.
        scale: w.
        interval: Lowest and highest noise level with guidance; None: all.
    """
    return Guided(denoiser, Linear(scale), guide, interval=interval)


def within(sigma: Tensor, interval: Interval | None) -> bool | Tensor:
    """Return whether noise levels () or (B,) lie in an interval, ends included: one bool, or (B,) if they differ."""
    if interval is None:
        return True
    low, high = interval
    level = level_of(sigma)
    if level is not None:
        return low <= level <= high
    inside = (sigma >= low) & (sigma <= high)
    return bool(inside.any()) and inside


def check_interval(interval: Interval | None, schedule: Schedule | None = None) -> None:
    """Raise ValueError if an interval contains no noise level, or none of a schedule."""
    if interval is None:
        return
    if not 0 <= interval[0] < interval[1] <= math.inf:
        raise ValueError(f"interval must be a low and a higher noise level, not {list(interval)}.")
    if schedule is not None and (interval[1] < schedule.sigma_min or interval[0] > schedule.sigma_max):
        ends = f"{schedule.sigma_min:g} to {schedule.sigma_max:g}"
        raise ValueError(
            f"interval {list(interval)} holds no noise level of this schedule, which go from {ends}. Set null to "
            "guide at all levels."
        )


def calls(method: Method, interval: Interval | None, level: float) -> int:
    """Return the number of estimates computed at a noise level, 1 or 2, if guidance has a weak estimate."""
    inside = interval is None or interval[0] <= level <= interval[1]
    return 2 if inside and method.only is None else 1
