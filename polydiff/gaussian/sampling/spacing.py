"""Where samplers step: the placement of noise levels.

A spacing is a function (n, schedule, **options) -> the n noise levels at which n steps begin, falling from the
schedule's highest; the last step ends at 0.

Symbols: s noise level, n number of steps.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, TypeVar

import torch
from torch import Tensor

from polydiff.core.registry import Registry
from polydiff.gaussian.schedule.base import Schedule

T = TypeVar("T")
SPACINGS: Registry[Callable[..., list[float]]] = Registry("spacing")


@SPACINGS.register("time")
def time_spacing(n: int, schedule: Schedule) -> list[float]:
    """Times uniform from the highest trained to the lowest ("linspace" of Lin et al., 2023)."""
    low, high = schedule.trained_times()
    return at_times([high + i / max(n - 1, 1) * (low - high) for i in range(n)], schedule)


@SPACINGS.register("trailing")
def trailing_spacing(n: int, schedule: Schedule) -> list[float]:
    """Times uniform from the highest trained, the lowest left to the last step (Lin et al., 2023).

    https://arxiv.org/abs/2305.08891
    """
    low, high = schedule.trained_times()
    return at_times([high + i / n * (low - high) for i in range(n)], schedule)


@SPACINGS.register("leading")
def leading_spacing(n: int, schedule: Schedule) -> list[float]:
    """Times uniform down to the lowest trained, of which the highest is left out, as in early DDIM code.

    Sampling then begins below the highest noise level with a state that has too little noise (Lin et al., 2023): here
    to reproduce others' results.
    """
    low, high = schedule.trained_times()
    return (
        at_times([low + (n - 1 - i) / n * (high - low) for i in range(n)], schedule) if n > 1 else [schedule.sigma_max]
    )


@SPACINGS.register("quadratic")
def quadratic_spacing(n: int, schedule: Schedule) -> list[float]:
    """Square roots of times uniform (Song et al., DDIM, 2021, section 4.2, https://arxiv.org/abs/2010.02502)."""
    low, high = (math.sqrt(max(t, 0.0)) for t in schedule.trained_times())
    return at_times([(high + i / max(n - 1, 1) * (low - high)) ** 2 for i in range(n)], schedule)


def at_times(times: Sequence[float], schedule: Schedule) -> list[float]:
    """Return the noise levels at times."""
    levels: list[float] = schedule.noise_level(torch.tensor(times, dtype=torch.float64)).tolist()
    return levels


@SPACINGS.register("karras")
def karras_spacing(n: int, schedule: Schedule, rho: float = 7.0) -> list[float]:
    """s_i^{1/rho} uniform (Karras et al., 2022, eq. 5, https://arxiv.org/abs/2206.00364)."""
    if rho <= 0:
        raise ValueError(f"rho must be above 0, not {rho}.")
    high, low = schedule.sigma_max ** (1 / rho), schedule.sigma_min ** (1 / rho)
    return [(high + i / max(n - 1, 1) * (low - high)) ** rho for i in range(n)]


@SPACINGS.register("log_snr")
def log_snr_spacing(n: int, schedule: Schedule) -> list[float]:
    """log s uniform (Lu et al., DPM-Solver, 2022, https://arxiv.org/abs/2206.00927)."""
    high, low = math.log(schedule.sigma_max), math.log(schedule.sigma_min)
    return [math.exp(high + i / max(n - 1, 1) * (low - high)) for i in range(n)]


@SPACINGS.register("asinh")
def asinh_spacing(
    n: int, schedule: Schedule, knee: float = 0.04, power: float = 1.0, sigma_data: float = 1.0
) -> list[float]:
    """s_i = c sinh(asinh(s_max / c) (1 - i / n)^power), c = knee sigma_data.

    Logarithmic above c, linear below, and 0 at i = n: no lowest level, no step that is not like the others.

    Arguments:
        n: Number of levels.
        schedule: Gives s_max.
        knee: c in standard deviations of the data.
        power: Exponent of 1 - i / n; above 1: more levels at low noise.
        sigma_data: Standard deviation of the data.
    """
    if knee <= 0 or power <= 0:
        raise ValueError(f"knee and power must be above 0, not {knee} and {power}.")
    c = knee * sigma_data
    top = math.asinh(schedule.sigma_max / c)
    return [c * math.sinh(top * (1 - i / n) ** power) for i in range(n)]


@SPACINGS.register("flow")
def flow_spacing(n: int, schedule: Schedule) -> list[float]:
    """t_i = t_max (1 - i / n), uniform in flow time t = s / (1 + s): steps of one size, for few-step models."""
    top = schedule.sigma_max / (1 + schedule.sigma_max)
    times = [top * (1 - i / n) for i in range(n)]
    return [t / (1 - t) for t in times]


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


@SPACINGS.register("own")
def own_spacing(n: int, schedule: Schedule, levels: Sequence[float] = ()) -> list[float]:
    """Noise levels of your own, one for the beginning of each step."""
    if len(levels) != n:
        raise ValueError(f"spacing own needs spacing_options.levels, one number a step: {n}, not {len(levels)}.")
    return [float(s) for s in levels]


def noise_levels(
    schedule: Schedule,
    steps: int,
    spacing: str = "asinh",
    start: float | None = None,
    sigma_data: float = 1.0,
    **options: Any,
) -> list[float]:
    """Return decreasing noise levels, from the schedule's highest (or `start`) to exactly 0.

    Arguments:
        schedule: Gives the range.
        steps: Number of steps, at least 1.
        spacing: Name of the placement (`SPACINGS`).
        start: Noise level to begin at; None: the schedule's highest.
        sigma_data: Standard deviation of the data, for placements that depend on it.
        options: Further arguments of the placement.

    Returns:
        steps + 1 levels; with the spacing "auto" there can be one more, since its first step is free.
    """
    if steps < 1:
        raise ValueError(f"steps must be at least 1, not {steps}.")
    if start is not None:
        if not schedule.sigma_min < start <= schedule.sigma_max:
            raise ValueError(
                f"start must be a noise level above {schedule.sigma_min:g} and at most {schedule.sigma_max:g}, the "
                f"schedule's highest, not {start}."
            )
        schedule = From(schedule, start)
    return [*for_data(SPACINGS[spacing], sigma_data, steps, schedule, **options), 0.0]


def for_data(function: Callable[..., T], sigma_data: float, *arguments: Any, **options: Any) -> T:
    """Call a spacing or a sampler, with the standard deviation of the data if it has an argument `sigma_data`.

    Arguments:
        function: The spacing or the sampler.
        sigma_data: Standard deviation of the data.
        arguments: Positional arguments.
        options: Named arguments; a `sigma_data` among them wins.
    """
    if takes_sigma_data(function):
        options = {"sigma_data": sigma_data, **options}
    return function(*arguments, **options)


@cache
def takes_sigma_data(function: Callable[..., Any]) -> bool:
    """Return whether a spacing or a sampler has an argument `sigma_data`."""
    return "sigma_data" in inspect.signature(function).parameters
