"""Spacings: the placement of the noise levels at which samplers step.

A spacing is a function (n, schedule, **options) -> the n noise levels at which n steps start. They decrease from the
schedule's highest level. `noise_levels` appends 0, where the last step ends.

To add a spacing, write such a function and register it in `SPACINGS`.

Symbols: s noise level, n number of steps, i = 0 ... n - 1 number of a step, t the schedule's time.
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
from polydiff.gaussian.schedule.timesteps import Timesteps

T = TypeVar("T")
SPACINGS: Registry[Callable[..., list[float]]] = Registry("spacing")
"""Name -> function (n, schedule, **options) -> noise levels."""


@SPACINGS.register("time")
def time_spacing(n: int, schedule: Schedule) -> list[float]:
    """Return levels at uniform times from the highest trained to the lowest ("linspace" of Lin et al., 2023).

    https://arxiv.org/abs/2305.08891
    """
    low, high = schedule.trained_times()
    return at_times([high + i / max(n - 1, 1) * (low - high) for i in range(n)], schedule)


@SPACINGS.register("trailing")
def trailing_spacing(n: int, schedule: Schedule) -> list[float]:
    """Return levels at uniform times from the highest trained, without the lowest (Lin et al., 2023).

    https://arxiv.org/abs/2305.08891
    """
    low, high = schedule.trained_times()
    return at_times([high + i / n * (low - high) for i in range(n)], schedule)


@SPACINGS.register("leading")
def leading_spacing(n: int, schedule: Schedule) -> list[float]:
    """Return levels at uniform times down to the lowest trained, without the highest, as in early DDIM code.

    Sampling then starts below the highest noise level, from a state that differs from those of training (Lin et al.,
    2023, https://arxiv.org/abs/2305.08891). Use it only to reproduce results of others.
    """
    low, high = schedule.trained_times()
    return (
        at_times([low + (n - 1 - i) / n * (high - low) for i in range(n)], schedule) if n > 1 else [schedule.sigma_max]
    )


@SPACINGS.register("quadratic")
def quadratic_spacing(n: int, schedule: Schedule) -> list[float]:
    """Return levels at times with uniform square roots (Song et al., DDIM, 2021, https://arxiv.org/abs/2010.02502)."""
    low, high = (math.sqrt(max(t, 0.0)) for t in schedule.trained_times())
    return at_times([(high + i / max(n - 1, 1) * (low - high)) ** 2 for i in range(n)], schedule)


@SPACINGS.register("timesteps")
def timesteps_spacing(n: int, schedule: Schedule, place: str = "leading", offset: int = 0) -> list[float]:
    """Return levels at whole timesteps of T, placed as in diffusers (Lin et al., 2023, table 2).

    https://arxiv.org/abs/2305.08891

    Arguments:
        n: Number of levels, at most T.
        schedule: Gives T and the levels (`polydiff.gaussian.schedule.timesteps`).
        place: "leading": multiples of T // n, from 0; "trailing": down from T - 1 in steps of T / n, without 0;
            "linspace": evenly from T - 1 to 0.
        offset: Added to the timesteps of "leading"; 1 for stable diffusion.

    Raises:
        ValueError: `place` is unknown, or there are not as many timesteps.
    """
    steps = Timesteps(schedule)
    places = {
        "leading": [(n - 1 - i) * (steps.count // n) + offset for i in range(n)],
        "trailing": [round(steps.count - i * steps.count / n) - 1 for i in range(n)],
        "linspace": [round((steps.count - 1) * (1 - i / max(n - 1, 1))) for i in range(n)],
    }
    if place not in places:
        raise ValueError(f"place must be {', '.join(places)}, not {place!r}.")
    if n > steps.count or places[place][0] >= steps.count:
        raise ValueError(
            f"The schedule has {steps.count} timesteps, 0 to {steps.count - 1}: take fewer steps or offset=0."
        )
    levels: list[float] = torch.exp(-steps.log_snr()[places[place]] / 2).tolist()
    return levels


def at_times(times: Sequence[float], schedule: Schedule) -> list[float]:
    """Return the noise levels of a schedule at times."""
    levels: list[float] = schedule.noise_level(torch.tensor(times, dtype=torch.float64)).tolist()
    return levels


@SPACINGS.register("karras")
def karras_spacing(n: int, schedule: Schedule, rho: float = 7.0) -> list[float]:
    """Return levels with uniform s^{1/rho}, rho > 0 (Karras et al., 2022, eq. 5, https://arxiv.org/abs/2206.00364)."""
    if rho <= 0:
        raise ValueError(f"rho must be above 0, not {rho}.")
    high, low = schedule.sigma_max ** (1 / rho), schedule.sigma_min ** (1 / rho)
    return [(high + i / max(n - 1, 1) * (low - high)) ** rho for i in range(n)]


@SPACINGS.register("log_snr")
def log_snr_spacing(n: int, schedule: Schedule) -> list[float]:
    """Return levels with uniform log s (Lu et al., DPM-Solver, 2022, https://arxiv.org/abs/2206.00927)."""
    high, low = math.log(schedule.sigma_max), math.log(schedule.sigma_min)
    return [math.exp(high + i / max(n - 1, 1) * (low - high)) for i in range(n)]


@SPACINGS.register("asinh")
def asinh_spacing(
    n: int, schedule: Schedule, knee: float = 0.04, power: float = 1.0, sigma_data: float = 1.0
) -> list[float]:
    """Return the levels s_i = c sinh(asinh(s_max / c) (1 - i / n)^power), c = knee sigma_data.

    They are logarithmic above c and linear below. At i = n the formula gives 0, so the last step is like the others.

    Arguments:
        n: Number of levels.
        schedule: Gives the highest level s_max.
        knee: The level c, in standard deviations of the data, above 0.
        power: Exponent of 1 - i / n, above 0; above 1: more levels at low noise.
        sigma_data: Standard deviation of the data.

    Raises:
        ValueError: `knee` or `power` is not above 0.
    """
    if knee <= 0 or power <= 0:
        raise ValueError(f"knee and power must be above 0, not {knee} and {power}.")
    c = knee * sigma_data
    top = math.asinh(schedule.sigma_max / c)
    return [c * math.sinh(top * (1 - i / n) ** power) for i in range(n)]


@SPACINGS.register("flow")
def flow_spacing(n: int, schedule: Schedule) -> list[float]:
    """Return levels at the flow times t_i = t_max (1 - i / n), t = s / (1 + s): equal steps, for few-step models."""
    top = schedule.sigma_max / (1 + schedule.sigma_max)
    times = [top * (1 - i / n) for i in range(n)]
    return [t / (1 - t) for t in times]


@dataclass(frozen=True)
class LowerStart(Schedule):
    """A schedule with a lower highest noise level, for sampling that starts there (SDEdit, Meng et al., 2022).

    https://arxiv.org/abs/2108.01073

    Arguments:
        whole: The schedule.
        sigma_max: Noise level at which sampling starts, above the schedule's lowest.
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
    """Return given noise levels, one for the start of each step.

    Arguments:
        n: Number of steps.
        schedule: Gives the highest level, where sampling starts.
        levels: n levels, or n + 1 if the first step needs no evaluation, as with the sampler "auto".

    Raises:
        ValueError: There are more or fewer levels, or one is above the schedule's highest.
    """
    if len(levels) not in (n, n + 1):
        raise ValueError(f"spacing own needs spacing_options.levels, one number a step: {n}, not {len(levels)}.")
    if max(levels) > schedule.sigma_max * (1 + 1e-6):
        raise ValueError(f"spacing own has a level of {max(levels):g}, but sampling starts at {schedule.sigma_max:g}.")
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
        spacing: Name of the spacing (`SPACINGS`).
        start: Noise level at which sampling starts; None: the schedule's highest.
        sigma_data: Standard deviation of the data, for spacings that depend on it.
        options: Further arguments of the spacing.

    Returns:
        steps + 1 levels. The spacing "auto" can return one more, since its first step needs no evaluation.

    Raises:
        ValueError: `steps` is below 1, `start` is outside the schedule's range, or the spacing rejects an option.
        UserError: The name of the spacing is not registered.
    """
    if steps < 1:
        raise ValueError(f"steps must be at least 1, not {steps}.")
    if start is not None:
        if not schedule.sigma_min < start <= schedule.sigma_max:
            raise ValueError(
                f"start must be a noise level above {schedule.sigma_min:g} and at most {schedule.sigma_max:g}, the "
                f"schedule's highest, not {start}."
            )
        schedule = LowerStart(schedule, start)
    return [*for_data(SPACINGS[spacing], sigma_data, steps, schedule, **options), 0.0]


def for_data(function: Callable[..., T], sigma_data: float, *arguments: Any, **options: Any) -> T:
    """Return the result of a spacing or a sampler, called with `sigma_data` if it has this argument.

    Arguments:
        function: The spacing or the sampler.
        sigma_data: Standard deviation of the data.
        arguments: Positional arguments.
        options: Named arguments. A `sigma_data` among them takes precedence.
    """
    if takes_sigma_data(function):
        options = {"sigma_data": sigma_data, **options}
    return function(*arguments, **options)


@cache
def takes_sigma_data(function: Callable[..., Any]) -> bool:
    """Return whether a spacing or a sampler has an argument `sigma_data`."""
    return "sigma_data" in inspect.signature(function).parameters
