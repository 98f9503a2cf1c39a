"""Guidance by two estimates: with and without a condition, or of a good and a worse model.

Symbols: D_c strong, D_u weak, w scale, s noise level.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from polydiff.denoise import Denoise
from polydiff.guidance.base import Wrapper
from polydiff.guidance.method import Linear, Method
from polydiff.schedule import Schedule
from polydiff.space import Condition, Space, State, without

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
    """

    method: Method
    guide: Denoise | None = None
    negative: Condition | None = None
    interval: Interval | None = None

    def __post_init__(self) -> None:
        check_interval(self.interval)

    def __call__(self, x: State, sigma: Tensor, space: Space, cond: Condition | None = None) -> State:
        if without(cond) == (cond or None) and self.guide is None and self.negative is None:
            return self.denoiser(x, sigma, space, cond)  # nothing is asked for
        inside = None if self.interval is None else within(sigma, self.interval)
        if self.method.only == "weak" and inside is None:
            return self.weak(x, sigma, space, cond)
        strong = self.denoiser(x, sigma, space, cond)
        if self.method.only == "strong" or (inside is not None and not inside.any()):
            return strong
        weak = self.weak(x, sigma, space, cond)
        guided = weak if self.method.only == "weak" else self.method(strong, weak, x, sigma, space)
        return guided if inside is None else torch.where(space.expand(inside), guided, strong)

    def weak(self, x: State, sigma: Tensor, space: Space, cond: Condition | None) -> State:
        """Return the weak estimate."""
        if self.negative is not None:
            cond = {**self.negative, **(without(cond) or {})}
        elif self.guide is None:
            cond = without(cond)
        return (self.guide or self.denoiser)(x, sigma, space, cond)


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

    The worse model errs as the good one does, but more, so going away from it mends errors and costs no variety. It
    should be smaller, or trained for less long, on the same data. https://arxiv.org/abs/2406.02507

    Arguments:
        denoiser: The good model, conditional or not.
        guide: The worse one, of the same schedule's noise levels; asked under the same condition.
        scale: w.
        interval: Noise levels with guidance; None: all.
    """
    return Guided(denoiser, Linear(scale), guide, interval=interval)


def within(sigma: Tensor, interval: Interval) -> Tensor:
    """Return which noise levels lie in an interval, ends included, shape (B,)."""
    low, high = interval
    return (sigma >= low) & (sigma <= high)


def check_interval(interval: Interval | None, schedule: Schedule | None = None) -> None:
    """Refuse an interval that holds no noise level, or none of a schedule's."""
    if interval is None:
        return
    if not 0 <= interval[0] < interval[1] <= math.inf:
        raise ValueError(f"interval must be a low and a higher noise level, not {list(interval)}.")
    if schedule is not None and (interval[1] < schedule.sigma_min or interval[0] > schedule.sigma_max):
        ends = f"{schedule.sigma_min:g} to {schedule.sigma_max:g}"
        raise ValueError(f"interval {list(interval)} holds no noise level of this schedule, which go from {ends}.")


def calls(method: Method, interval: Interval | None, level: float) -> int:
    """Return how many estimates guidance computes at a noise level where there is something to guide by."""
    inside = interval is None or interval[0] <= level <= interval[1]
    return 2 if inside and (method.only is None or (method.only == "weak" and interval is not None)) else 1
