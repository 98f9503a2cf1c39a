"""Guidance by two estimates: with and without a condition, or of a good and a worse model.

Symbols: D_c strong, D_u weak, w scale, s noise level.
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
    """A denoiser whose estimate is that of a method of guidance, where the noise level lies in an interval.

    Arguments:
        denoiser: Gives the strong estimate; trained with dropout of its condition where that is what guides.
        method: How strong and weak become one (`GUIDANCE`).
        guide: Gives the weak estimate, of the same condition; None: the denoiser itself, without the condition.
        negative: Condition of the weak estimate instead: what to stay away from.
        interval: Lowest and highest noise level with guidance; outside, the strong estimate alone counts
            (Kynkäänniemi et al., 2024, https://arxiv.org/abs/2404.07724). None: everywhere.
        joined: Whether one call of the denoiser with the batch twice computes both estimates, if there is no guide
            and the space can be repeated: the same but for rounding, and faster where a batch alone leaves the machine
            idle. What is not given is then -1 or NaN to the denoiser, not a missing name.
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
        """Return the strong and the weak estimate, by one call of the denoiser or by two. Arguments as in `Denoise`."""
        if not self.joined or self.guide is not None or not provides(space, Repeats):
            return self.denoiser(x, sigma, space, cond), self.weak(x, sigma, space, cond)
        twice = join_conditions([cond, self.other(cond)])
        sigma = torch.cat([sigma, sigma]) if sigma.ndim else sigma
        strong, weak = self.denoiser(torch.cat([x, x]), sigma, space.repeat(2), twice).chunk(2)
        return strong, weak

    def other(self, cond: Condition | None) -> Condition | None:
        """Return the condition of the weak estimate."""
        if self.negative is not None:
            return {**self.negative, **(without(cond) or {})}
        return without(cond) if self.guide is None else cond

    def weak(self, x: State, sigma: Tensor, space: Space, cond: Condition | None) -> State:
        """Return the weak estimate by a call of its own. Arguments as in `Denoise`; cond is the strong one's."""
        return (self.guide or self.denoiser)(x, sigma, space, self.other(cond))


def ClassifierFree(denoiser: Denoise, scale: float, interval: Interval | None = None) -> Guided:
    """Return classifier-free guidance: D = D_u + w (D_c - D_u) (Ho & Salimans, 2022).

    w = 1 is the conditional model, w = 0 the unconditional one, w > 1 pushes towards the condition. The same in any
    of the targets, since each is affine in x_0. https://arxiv.org/abs/2207.12598

    Arguments:
        denoiser: A conditional denoiser trained with dropout of its condition.
        scale: w.
        interval: Noise levels with guidance; None: all.
    """
    return Guided(denoiser, Linear(scale), interval=interval)


def Autoguidance(denoiser: Denoise, guide: Denoise, scale: float, interval: Interval | None = None) -> Guided:
    """Return guidance by a worse model: D = D_g + w (D_c - D_g) (Karras et al., 2024).

    The worse model makes the same errors as the good one, only larger. Moving away from it reduces errors and keeps
    variety. It should be smaller, or trained for less long, on the same data. https://arxiv.org/abs/2406.02507

    Arguments:
        denoiser: The good model, conditional or not.
        guide: The worse one, of the same schedule's noise levels; it gets the same condition.
        scale: w.
        interval: Noise levels with guidance; None: all.
    """
    return Guided(denoiser, Linear(scale), guide, interval=interval)


def within(sigma: Tensor, interval: Interval | None) -> bool | Tensor:
    """Return whether noise levels lie in an interval, ends included: one answer for all, or where they differ (B,)."""
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
        raise ValueError(f"interval {list(interval)} holds no noise level of this schedule, which go from {ends}.")


def calls(method: Method, interval: Interval | None, level: float) -> int:
    """Return the number of estimates that guidance computes at a noise level, if there is a weak estimate."""
    inside = interval is None or interval[0] <= level <= interval[1]
    return 2 if inside and method.only is None else 1
