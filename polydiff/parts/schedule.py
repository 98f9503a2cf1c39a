"""Schedules of levels in [0, 1], and the clock that drives those of all parts.

A schedule maps a time t in [0, 1] to a level, from the data at 0 to the prior at 1. The ends are
exact, since no letter may stay masked at the end of sampling, and the prior must hold nothing of the data.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from polydiff.core.registry import Registry

LevelSchedule = Callable[..., Tensor]
LEVEL_SCHEDULES: Registry[LevelSchedule] = Registry("schedule")
"""Name -> function (t, **options) -> level, for t float64 in [0, 1]; increasing from 0 to 1."""


@LEVEL_SCHEDULES.register("linear")
def linear(t: Tensor) -> Tensor:
    """l = t: letters are masked at a constant rate (Sahoo et al., MDLM, 2024, https://arxiv.org/abs/2406.07524)."""
    return t


@LEVEL_SCHEDULES.register("cosine")
def cosine(t: Tensor) -> Tensor:
    """l = sin(pi t / 2): few letters appear in the first steps of sampling, when few are known (Shi et al., MD4, 2024).

    https://arxiv.org/abs/2406.04329
    """
    return torch.sin(t * (math.pi / 2))


@LEVEL_SCHEDULES.register("poly")
def poly(t: Tensor, power: float = 2.0) -> Tensor:
    """l = t^power; above 1, letters appear early in sampling, and the last ones slowly."""
    return t**power


@LEVEL_SCHEDULES.register("logistic")
def logistic(t: Tensor, middle: float = 0.1, power: float = 1.5) -> Tensor:
    """logit l = power (logit t - logit middle): most letters are decided at times around `middle`.

    Beside a Gaussian lead, time is about proportional to its noise level s while s is small, so l is a logistic
    function of log s. With the median and the spread of the noise levels of training, letters are lost at those levels
    that training meets most often, and hardly any at the others.
    """
    if not 0 < middle < 1 or power <= 0:
        raise ValueError(f"middle={middle:g}, power={power:g}: middle must be between 0 and 1, power above 0.")
    lost, kept = (t * (1 - middle)) ** power, (middle * (1 - t)) ** power
    return lost / (lost + kept)


def schedule_of(name: str, options: Mapping[str, Any]) -> Callable[[Tensor], Tensor]:
    """Return the schedule of a name with its options, time -> level."""
    schedule = LEVEL_SCHEDULES[name]
    return lambda t: schedule(t, **options)


def level_grid(schedule: Callable[[Tensor], Tensor], steps: int, start: float = 1.0) -> Sequence[float]:
    """Return steps + 1 falling levels at equally spaced times from `start` to 0; the last one is exactly 0.

    Arguments:
        schedule: Time -> level.
        steps: Number of steps.
        start: Time of the first level.
    """
    times = start * (1 - torch.arange(steps + 1, dtype=torch.float64) / steps)
    levels: list[float] = schedule(times).tolist()
    return [*levels[:-1], 0.0]


def slopes(schedule: Callable[[Tensor], Tensor], t: Tensor) -> Tensor:
    """Return the derivative of a schedule at times (B,), float64, by automatic differentiation."""
    with torch.enable_grad():
        t = t.detach().double().requires_grad_()
        (slope,) = torch.autograd.grad(schedule(t).sum(), t)
    return slope


@dataclass(frozen=True)
class Clock:
    """Levels of all parts as functions of one time.

    Arguments:
        schedules: Name of a part -> function of times (B,), float64, that returns levels (B,).
    """

    schedules: Mapping[str, Callable[[Tensor], Tensor]]

    def levels(self, t: Tensor) -> dict[str, Tensor]:
        """Return the level of each part at times (B,), float64."""
        return {name: schedule(t) for name, schedule in self.schedules.items()}

    def slopes(self, t: Tensor) -> dict[str, Tensor]:
        """Return the derivative of the level of each part by the time, at times (B,), float64."""
        return {name: slopes(schedule, t) for name, schedule in self.schedules.items()}
