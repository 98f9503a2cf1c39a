"""Where samplers step: the placement of noise levels.

A spacing is a function (n, schedule, **options) -> the n noise levels at which n steps begin, falling from the
schedule's highest; the last step ends at 0.

Symbols: s noise level, n number of steps.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from polydiff.registry import Registry
from polydiff.schedule import Schedule

SPACINGS: Registry[Callable[..., list[float]]] = Registry("spacing")


@SPACINGS.register("time")
def time_spacing(n: int, schedule: Schedule) -> list[float]:
    """Times uniform from the highest trained to the lowest ("linspace" of Lin et al., 2023)."""
    low, high = schedule.trained_times()
    times = torch.linspace(high, low, n, dtype=torch.float64) if n > 1 else torch.tensor([high], dtype=torch.float64)
    return schedule.noise_level(times).tolist()


@SPACINGS.register("karras")
def karras_spacing(n: int, schedule: Schedule, rho: float = 7.0) -> list[float]:
    """s_i^{1/rho} uniform (Karras et al., 2022, eq. 5, https://arxiv.org/abs/2206.00364)."""
    high, low = schedule.sigma_max ** (1 / rho), schedule.sigma_min ** (1 / rho)
    return [(high + i / max(n - 1, 1) * (low - high)) ** rho for i in range(n)]


@SPACINGS.register("log_snr")
def log_snr_spacing(n: int, schedule: Schedule) -> list[float]:
    """log s uniform (Lu et al., DPM-Solver, 2022, https://arxiv.org/abs/2206.00927)."""
    high, low = math.log(schedule.sigma_max), math.log(schedule.sigma_min)
    return [math.exp(high + i / max(n - 1, 1) * (low - high)) for i in range(n)]


@SPACINGS.register("asinh")
def asinh_spacing(n: int, schedule: Schedule, knee: float = 0.04, power: float = 1.0) -> list[float]:
    """s_i = knee sinh(asinh(s_max / knee) (1 - i / n)^power): logarithmic above the knee, linear below, 0 at i = n."""
    top = math.asinh(schedule.sigma_max / knee)
    return [knee * math.sinh(top * (1 - i / n) ** power) for i in range(n)]


@dataclass(frozen=True)
class From(Schedule):
    """A schedule from a lower noise level on: sampling that begins part of the way (SDEdit, Meng et al., 2022).

    Arguments:
        whole: The schedule.
        sigma_max: Noise level where sampling begins, above the schedule's lowest.
    """

    whole: Schedule
    sigma_max: float

    @property
    def sigma_min(self) -> float:  # type: ignore[override]
        return self.whole.sigma_min

    def __getattr__(self, name: str) -> Any:
        return getattr(self.whole, name)

    def log_snr(self, t: Tensor) -> Tensor:
        return self.whole.log_snr(t)

    def time(self, log_snr: Tensor) -> Tensor:
        return self.whole.time(log_snr)


def noise_levels(
    schedule: Schedule, steps: int, spacing: str = "asinh", start: float | None = None, **options: Any
) -> list[float]:
    """Return steps + 1 decreasing noise levels, from the schedule's highest (or `start`) to exactly 0.

    Arguments:
        schedule: Gives the range.
        steps: Number of steps, at least 1.
        spacing: Name of the placement (`SPACINGS`).
        start: Noise level to begin at; None: the schedule's highest.
        options: Further arguments of the placement.
    """
    if steps < 1:
        raise ValueError(f"steps must be at least 1, not {steps}.")
    if start is not None:
        if not schedule.sigma_min < start < math.inf:
            raise ValueError(f"start must be a noise level above {schedule.sigma_min:g}, not {start}.")
        schedule = From(schedule, start)
    return [*SPACINGS[spacing](steps, schedule, **options), 0.0]
