r"""Distributions of training noise levels: (u, schedule, **options) -> s, rising with u in (0, 1).

Each is a quantile function: evenly spread u (`polydiff.core.objective.stratified`) give noise levels that are evenly
spread over the distribution. A distribution that reaches beyond the schedule's range is truncated to it, not clamped,
so no probability mass lies on the two end levels. The density follows from the quantile function,

$$ \frac{1}{p(\lambda)} = -\frac{d \lambda}{d u}. $$

`importance` returns this number. A loss that is multiplied by it is an integral over the log-SNR.

To add a distribution, register a function with these arguments in `TIMES`. A distribution with state, or with a density
in closed form, is an instance of a subclass of `Times`.

Symbols: u uniform number, s noise level, lambda = -2 log s log-SNR, t the schedule's time, p density, B batch size.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar, cast

import torch
from torch import Tensor, nn

from polydiff.core.registry import Registry
from polydiff.gaussian.gradients import gradients, plain, variable
from polydiff.gaussian.loss.state import History
from polydiff.gaussian.schedule.base import Schedule, bisect

TIMES: Registry[Callable[..., Tensor]] = Registry("distribution of training times")
"""Name -> (u, schedule, **options) -> s."""


class Times:
    """A distribution of training noise levels, which may keep state on the denoiser.

    Attributes:
        state: Name -> class of a module that is kept on the denoiser. It is built with the distribution's options.
        trains_schedule: Whether `importance` passes gradients to the parameters of a learned schedule.
    """

    state: ClassVar[Mapping[str, Callable[..., nn.Module]]] = {}
    trains_schedule: ClassVar[bool] = False

    def __call__(self, *args: Any, **options: Any) -> Tensor:
        """Return the noise levels at the quantiles u, float64 and of their shape: (u, schedule, **options) -> s."""
        raise NotImplementedError

    def importance(self, s: Tensor, schedule: Schedule, **options: Any) -> Tensor:
        """Return 1 / p(lambda) at noise levels, by inverting and differentiating the quantile function.

        Arguments:
            s: Noise levels within the schedule's range, of any shape.
            schedule: Gives the range.
            options: Options of the distribution.

        Returns:
            Numbers of the shape of s, float64.
        """
        with gradients():
            u = bisect(lambda u: self(u, schedule, **options), plain(s).detach())
            u = variable(u.clamp(1e-7, 1 - 1e-7))
            return 2 * torch.autograd.grad(self(u, schedule, **options).log().sum(), u)[0]

    def draw(self, u: Tensor, state: nn.ModuleDict) -> tuple[Tensor, Tensor | None]:
        """Return the quantiles to train at, shape (B,), and importance weights (B,), or None if all are 1.

        Arguments:
            u: Uniform numbers in (0, 1), shape (B,).
            state: The modules that are kept on the denoiser.
        """
        return u, None

    def record(self, u: Tensor, losses: Tensor, state: nn.ModuleDict) -> None:
        """Update the state with the losses (B,) at the quantiles u (B,)."""


class Quantiles(Times):
    """A distribution without state, given by its quantile function.

    Arguments:
        levels: (u, schedule, **options) -> s.
    """

    def __init__(self, levels: Callable[..., Tensor]) -> None:
        self.levels = levels

    def __call__(self, *args: Any, **options: Any) -> Tensor:
        return self.levels(*args, **options)


class Uniform(Times):
    """The distribution with t uniform between the times of the lowest and the highest noise level trained."""

    trains_schedule: ClassVar[bool] = True

    def __call__(self, u: Tensor, schedule: Schedule) -> Tensor:
        low, high = schedule.trained_times()
        return schedule.noise_level(low + u.double() * (high - low))

    def importance(self, s: Tensor, schedule: Schedule, **options: Any) -> Tensor:
        """Return 1 / p(lambda) = -(d lambda / dt) (t_max - t_min), of the shape of s, float64.

        It is a function of a learned schedule's parameters if s is one (`Schedule.attach`).
        """
        low, high = schedule.trained_times()
        slope = schedule.slope(schedule.time(-2 * s.detach().double().log()))
        return -(slope if s.requires_grad else slope.detach()) * (high - low)


class Adaptive(Uniform):
    """The distribution whose density in t is proportional to sqrt(E[L^2]), corrected by importance weights.

    It is `Uniform` until every interval of t has `depth` losses. With the weights, the expected gradient is that of
    `Uniform`. The options are those of `History` (Nichol & Dhariwal, 2021, eq. 18, https://arxiv.org/abs/2102.09672).
    """

    state: ClassVar[Mapping[str, Callable[..., nn.Module]]] = {"history": History}
    trains_schedule: ClassVar[bool] = False

    def __call__(
        self, u: Tensor, schedule: Schedule, bins: float = 64, depth: float = 10, floor: float = 0.001
    ) -> Tensor:
        return super().__call__(u, schedule)

    def draw(self, u: Tensor, state: nn.ModuleDict) -> tuple[Tensor, Tensor | None]:
        return cast(History, state["history"]).importance_sample(u)

    def record(self, u: Tensor, losses: Tensor, state: nn.ModuleDict) -> None:
        cast(History, state["history"]).record(u, losses)


TIMES.register("uniform")(Uniform())
TIMES.register("adaptive")(Adaptive())


def times_of(name: str) -> Times:
    """Return the distribution of a name; a registered function becomes a distribution without state."""
    found = TIMES[name]
    return found if isinstance(found, Times) else Quantiles(found)


def importance(times: str, s: Tensor, schedule: Schedule, options: Mapping[str, Any] | None = None) -> Tensor:
    """Return 1 / p(lambda) at noise levels.

    Arguments:
        times: Name of the distribution (`TIMES`).
        s: Noise levels within the schedule's range, of any shape.
        schedule: Gives the range, and the time of a noise level.
        options: Further arguments of the distribution; None: none.

    Returns:
        Numbers of the shape of s, float64.
    """
    return times_of(times).importance(s, schedule, **(options or {}))
