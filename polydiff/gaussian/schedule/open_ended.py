r"""The base of schedules whose formula reaches the noise levels 0 and infinity.

They are trained and sampled between two levels, `sigma_min` and `sigma_max`.

Symbols: t time.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from polydiff.gaussian.schedule.base import Schedule

LOWEST, HIGHEST = 1e-3, 1e3
"""Default `sigma_min` and `sigma_max` of the schedules that reach the noise levels 0 and infinity."""


def as_time(t: Tensor) -> Tensor:
    """Return t in float64, clamped to [1e-9, 1 - 1e-9], since the log-SNR may be infinite at the two ends."""
    return t.double().clamp(1e-9, 1 - 1e-9)


@dataclass(frozen=True)
class Open(Schedule):
    """A schedule that is trained and sampled on a part of its noise levels, since they run from 0 to infinity.

    Arguments:
        sigma_min: Lowest noise level trained; raised to the level at t = 1e-9 if it is lower.
        sigma_max: Highest noise level trained; lowered to the level at t = 1 - 1e-9 if it is higher.
    """

    sigma_min: float = LOWEST
    sigma_max: float = HIGHEST

    def __post_init__(self) -> None:
        low, high = self.noise_level(torch.tensor([0.0, 1.0])).tolist()
        object.__setattr__(self, "sigma_min", max(self.sigma_min, low))
        object.__setattr__(self, "sigma_max", min(self.sigma_max, high))
