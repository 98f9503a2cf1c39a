r"""The clock of a state of several parts: the level of the first part, the lead, says those of all others.

If the lead is Gaussian, its noise level s is turned into a time

$$ \tau(s) = \operatorname{asinh}(s / \sigma_d) / \operatorname{asinh}(s_{max} / \sigma_d), $$

in [0, 1], which is 0 for data and 1 for the prior exactly; each follower has a schedule of this time. Training and
sampling both use it, so sampling meets the pairs of levels that training has met. (For letters, the error of few steps
is smaller on this curve than with the letters first, last, or at the level s^2 / (1 + s^2).)

Symbols: u uniform number, s noise level, sigma_d standard deviation of the data, tau time.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from polydiff.gaussian.loss.base import Loss
from polydiff.gaussian.schedule.base import Schedule

STEP = 1e-5
"""Half the distance over which a slope is measured."""


class Lead(Protocol):
    """The first part's level, as a function of a uniform number, and the time that a level stands for."""

    def level(self, u: Tensor) -> Tensor:
        """Return the levels of training, float64, at uniform numbers u in (0, 1)."""

    def time(self, level: Tensor) -> Tensor:
        """Return the time in [0, 1], float64, of levels."""


@dataclass(frozen=True)
class GaussianLead:
    """A Gaussian part: levels as in training of `process=gaussian`.

    Arguments:
        schedule: Gives the range of noise levels.
        loss: Gives the distribution of noise levels.
    """

    schedule: Schedule
    loss: Loss

    def level(self, u: Tensor) -> Tensor:
        return self.loss.noise_levels(u, self.schedule)

    def time(self, level: Tensor) -> Tensor:
        return (level.double().asinh() / math.asinh(self.schedule.sigma_max)).clamp(0, 1)


@dataclass(frozen=True)
class ScheduledLead:
    """A part whose level is in [0, 1].

    Arguments:
        schedule: Time -> level.
    """

    schedule: Callable[[Tensor], Tensor]

    def level(self, u: Tensor) -> Tensor:
        return self.schedule(u)

    def time(self, level: Tensor) -> Tensor:
        """Return the time of a level, by bisection."""
        low, high = torch.zeros_like(level.double()), torch.ones_like(level.double())
        for _ in range(60):
            middle = (low + high) / 2
            above = self.schedule(middle) < level
            low, high = torch.where(above, middle, low), torch.where(above, high, middle)
        return torch.where(level <= 0, 0.0, torch.where(level >= 1, 1.0, (low + high) / 2))


@dataclass(frozen=True)
class JointClock:
    """Levels of all parts.

    Arguments:
        name: Name of the lead.
        lead: Its levels and their times.
        followers: Name of each other part -> its schedule, time -> level.
    """

    name: str
    lead: Lead
    followers: Mapping[str, Callable[[Tensor], Tensor]]

    def at(self, level: Tensor) -> dict[str, Tensor]:
        """Return the levels of all parts at levels of the lead, () or (B,)."""
        time = self.lead.time(level)
        return {self.name: level, **{name: schedule(time) for name, schedule in self.followers.items()}}

    def levels(self, u: Tensor) -> dict[str, Tensor]:
        """Return the levels of all parts in training at uniform numbers u in (0, 1), (B,), float64."""
        return self.at(self.lead.level(u))

    def slopes(self, u: Tensor) -> dict[str, Tensor]:
        """Return the derivatives of the levels by u, (B,), float64, measured over a small distance."""
        low, high = (u - STEP).clamp(1e-7, 1 - 1e-7), (u + STEP).clamp(1e-7, 1 - 1e-7)
        before, after = self.levels(low), self.levels(high)
        return {name: (after[name] - before[name]) / (high - low) for name in before}
