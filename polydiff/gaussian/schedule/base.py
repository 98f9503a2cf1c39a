r"""Noise schedules: the amounts of signal and noise at time t.

$$ x_t = \alpha_t x_0 + \sigma_t \epsilon, \qquad \lambda_t = \log(\alpha_t^2 / \sigma_t^2), \qquad
   s_t = \sigma_t / \alpha_t = e^{-\lambda_t / 2}. $$

A schedule is a log-SNR that decreases with t in [0, 1], its inverse, and a *frame*. The frame determines alpha and
sigma from the log-SNR:

    vp      alpha^2 + sigma^2 = 1         DDPM (Ho et al., 2020)
    ve      alpha = 1                     EDM (Karras et al., 2022)
    flow    alpha + sigma = 1             rectified flow (Liu et al., 2022)
    subvp   alpha^2 + sigma = 1           the sub-VP SDE (Song et al., 2021)

As a function of s, x / alpha follows the same probability-flow ODE for all schedules. Samplers and denoisers therefore
see only the noise level s. The frame matters only for states in a schedule's own scale. Everything here is float64: in
float32, 1 - alpha^2 loses its digits at low noise, and 1 - sigma^2 at high noise.

Every schedule can be shifted: `SCHEDULES[name](shift=k)` multiplies its noise levels by k. With `shift_end`, the factor
changes with time; see `Shifted`.

Symbols: t time, `log_snr` lambda, `sigma` noise level s (but sigma_t in the pair (alpha_t, sigma_t)), B batch size.
"""

from __future__ import annotations

import inspect
import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, TypeVar

import torch
from torch import Tensor

from polydiff.core.registry import Registry
from polydiff.gaussian.gradients import gradients, variable

Frame = Literal["vp", "ve", "flow", "subvp"]
S = TypeVar("S", bound="Schedule")
Make = TypeVar("Make", bound="Callable[..., Schedule]")


class Schedule(ABC):
    """A decreasing log-SNR with its inverse, in one of four frames.

    A subclass defines `log_snr`, `time` and the attributes. All functions of tensors act elementwise: the result has
    the shape of the argument, (B,) or any other.

    Attributes:
        frame: Determines alpha and sigma from the log-SNR: "vp", "ve", "flow" or "subvp".
        sigma_min: Lowest noise level s at which a network is trained.
        sigma_max: Highest noise level s at which a network is trained; sampling starts there.
        suited_times: Name of the distribution of training noise levels that suits the schedule
            (`polydiff.gaussian.loss.TIMES`).
        zero_terminal_snr: Whether the last state is pure noise, so that a network must predict something about x_0.
    """

    frame: ClassVar[Frame]
    suited_times: ClassVar[str] = "uniform"
    sigma_min: float
    sigma_max: float
    zero_terminal_snr: bool = False

    @abstractmethod
    def log_snr(self, t: Tensor) -> Tensor:
        """Return the log-SNR at times t in [0, 1], in float64 and of the shape of t."""

    @abstractmethod
    def time(self, log_snr: Tensor) -> Tensor:
        """Return the times at which the log-SNR has these values, in float64: the inverse of `log_snr`."""

    def __call__(self, t: Tensor) -> tuple[Tensor, Tensor]:
        """Return (alpha_t, sigma_t) at times t, each in float64 and of the shape of t."""
        return self.coefficients(self.log_snr(t))

    def coefficients(self, log_snr: Tensor) -> tuple[Tensor, Tensor]:
        """Return (alpha, sigma) at log-SNRs, each in float64 and of their shape, in this schedule's frame."""
        log_snr = log_snr.double()
        match self.frame:
            case "vp":
                return torch.sigmoid(log_snr).sqrt(), torch.sigmoid(-log_snr).sqrt()
            case "ve":
                return torch.ones_like(log_snr), torch.exp(-log_snr / 2)
            case "flow":
                return torch.sigmoid(log_snr / 2), torch.sigmoid(-log_snr / 2)
            case "subvp":  # the positive root of s alpha = 1 - alpha^2
                s = torch.exp(-log_snr / 2)
                alpha = 2 / (s + torch.hypot(s, torch.full_like(s, 2)))
                return alpha, s * alpha

    def noise_level(self, t: Tensor) -> Tensor:
        """Return s = sigma_t / alpha_t at times t, in float64 and of the shape of t."""
        return torch.exp(-self.log_snr(t) / 2)

    def slope(self, t: Tensor) -> Tensor:
        """Return d lambda / dt < 0 at times t, in float64 and of the shape of t."""
        with gradients():
            t = variable(t.double())
            return torch.autograd.grad(self.log_snr(t).sum(), t)[0]

    def attach(self, sigma: Tensor) -> Tensor:
        """Return the same noise levels as functions of the schedule's learned parameters.

        A schedule without parameters returns `sigma` itself.
        """
        return sigma

    def trained_times(self) -> tuple[float, float]:
        """Return the times of `sigma_min` and `sigma_max`."""
        ends = torch.tensor([self.sigma_min, self.sigma_max], dtype=torch.float64)
        low, high = self.time(-2 * ends.log()).tolist()
        return low, high


@dataclass(frozen=True)
class Shifted(Schedule):
    r"""A schedule with multiplied noise levels: lambda'(t) = lambda(t) - 2 ((1 - t) log k_0 + t log k_1).

    With k_0 = k_1 = k the log-SNR moves by a constant. For d x d images with a schedule made for 64 x 64, k = d / 64
    (Hoogeboom et al., simple diffusion, 2023, https://arxiv.org/abs/2301.11093); k_1 = 32 / 64 is that paper's
    interpolated shift. For `flow`, a constant k is t' = k t / (1 + (k - 1) t) (Esser et al., 2024,
    https://arxiv.org/abs/2403.03206).

    Arguments:
        base: The schedule that is shifted.
        shift: k_0 > 0, the factor at t = 0.
        shift_end: k_1 > 0, the factor at t = 1.

    Raises:
        ValueError: A factor is not positive, or the noise level would fall with time.
    """

    base: Schedule
    shift: float
    shift_end: float

    def __post_init__(self) -> None:
        if not (self.shift > 0 and self.shift_end > 0):
            raise ValueError("shift and shift_end are factors of the noise level: they must be positive.")
        if not bool((self.log_snr(torch.linspace(0, 1, 1001, dtype=torch.float64)).diff() < 0).all()):
            raise ValueError("With shift_end that far below shift, noise would fall with time. Bring them together.")

    @property
    def frame(self) -> Frame:  # type: ignore[override]
        return self.base.frame

    @property
    def sigma_min(self) -> float:  # type: ignore[override]
        return self.base.sigma_min * self.factor(self.base.trained_times()[0])

    @property
    def sigma_max(self) -> float:  # type: ignore[override]
        return self.base.sigma_max * self.factor(self.base.trained_times()[1])

    @property
    def zero_terminal_snr(self) -> bool:  # type: ignore[override]
        return self.base.zero_terminal_snr

    def factor(self, t: float) -> float:
        """Return the factor k_0^(1 - t) k_1^t of the noise level at time t."""
        return math.exp((1 - t) * math.log(self.shift) + t * math.log(self.shift_end))

    def log_snr(self, t: Tensor) -> Tensor:
        t = t.double()
        return self.base.log_snr(t) - 2 * ((1 - t) * math.log(self.shift) + t * math.log(self.shift_end))

    def time(self, log_snr: Tensor) -> Tensor:
        if self.shift == self.shift_end:
            return self.base.time(log_snr.double() + 2 * math.log(self.shift))
        return bisect(lambda t: -self.log_snr(t), -log_snr)


class ScheduleRegistry(Registry[Callable[..., Schedule]]):
    """Schedules by name: name -> a class or a function that returns a schedule."""

    def register(self, name: str) -> Callable[[Make], Make]:
        """Return a decorator that registers a class or a function that returns a schedule.

        The entry has the further options `shift` and `shift_end`, unless it has an argument `shift` itself. The
        decorator returns its argument unchanged.
        """

        def file(make: Make) -> Make:
            own = "shift" in inspect.signature(make).parameters
            super(ScheduleRegistry, self).register(name)(make if own else shiftable(make, name))
            return make

        return file


SCHEDULES = ScheduleRegistry("schedule")


def shiftable(make: Callable[..., Schedule], name: str) -> Callable[..., Schedule]:
    """Return a function that makes a schedule, checks its noise levels and shifts it by `shift` and `shift_end`."""

    def made(*args: Any, shift: float = 1.0, shift_end: float | None = None, **options: Any) -> Schedule:
        schedule = checked(make(*args, **options), name)
        end = shift if shift_end is None else shift_end
        return schedule if shift == end == 1 else Shifted(schedule, shift, end)

    return extended(made, make, shift=1.0, shift_end=None)


def checked(schedule: S, name: str) -> S:
    """Return the schedule unchanged.

    Raises:
        ValueError: Not 0 < sigma_min < sigma_max < infinity, or noise does not rise with time between the two.
    """
    low, high = schedule.sigma_min, schedule.sigma_max
    if not 0 < low < high < math.inf:
        raise ValueError(f"{name}: 0 < sigma_min < sigma_max is needed; they are {low:g} and {high:g}.")
    first, last = schedule.trained_times()
    with torch.no_grad():
        falling = schedule.log_snr(first + (last - first) * torch.linspace(0, 1, 101, dtype=torch.float64)).diff()
    if not (first < last and bool((falling < 0).all())):
        raise ValueError(f"{name}: with these options noise would not rise with time. Change schedule_options.")
    return schedule


def extended(wrapper: Callable[..., S], make: Callable[..., Any], **further: Any) -> Callable[..., S]:
    """Return a wrapper with the name and docstring of a function, and its signature with further arguments.

    Arguments:
        wrapper: A function of the arguments of `make` and the further ones.
        make: The wrapped function.
        further: The further arguments (keyword-only) and their defaults.
    """
    wrapper.__name__, wrapper.__doc__ = make.__name__, make.__doc__
    own = list(inspect.signature(make).parameters.values())
    more = [inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=value) for name, value in further.items()]
    wrapper.__signature__ = inspect.Signature([*own, *more])  # type: ignore[attr-defined]
    return wrapper


@torch.no_grad()
def bisect(rising: Callable[[Tensor], Tensor], y: Tensor, steps: int = 56) -> Tensor:
    """Return x in [0, 1] with rising(x) = y, by bisection; the nearer end if no such x exists.

    Arguments:
        rising: An increasing function of tensors, applied elementwise.
        y: Values, of any shape.
        steps: Number of halvings: the error is 2^-(steps + 1).

    Returns:
        x, float64, of the shape of y.
    """
    y = y.double()
    low, high = torch.zeros_like(y), torch.ones_like(y)
    for _ in range(steps):
        middle = (low + high) / 2
        below = rising(middle) < y
        low, high = torch.where(below, middle, low), torch.where(below, high, middle)
    return (low + high) / 2
