r"""What a noise schedule is: how much signal and how much noise at time t.

$$ x_t = \alpha_t x_0 + \sigma_t \epsilon, \qquad \lambda_t = \log(\alpha_t^2 / \sigma_t^2), \qquad
   s_t = \sigma_t / \alpha_t = e^{-\lambda_t / 2}. $$

A schedule is a decreasing function t in [0, 1] -> log-SNR, its inverse, and a *frame* by which alpha and sigma follow
from the log-SNR:

    vp      alpha^2 + sigma^2 = 1         DDPM (Ho et al., 2020)
    ve      alpha = 1                     EDM (Karras et al., 2022)
    flow    alpha + sigma = 1             rectified flow (Liu et al., 2022)
    subvp   alpha^2 + sigma = 1           the sub-VP SDE (Song et al., 2021)

All schedules share one probability-flow ODE in the frame x / alpha against s, so samplers and denoisers see only the
noise level s; the frame matters where a state is written in a schedule's own scale. Everything here is float64: in
float32, 1 - alpha^2 has lost its digits at both ends.

Every schedule can be shifted: `SCHEDULES[name](shift=k)` multiplies its noise levels by k, `shift_end` (another k at
t = 1) lets the factor change with time; see `Shifted`.

Symbols: t time, `log_snr` lambda, `sigma` (of functions that take or give a noise level) s, beta variance of a DDPM
step.
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

Frame = Literal["vp", "ve", "flow", "subvp"]
S = TypeVar("S", bound="Schedule")
Make = TypeVar("Make", bound="Callable[..., Schedule]")


class Schedule(ABC):
    """A decreasing log-SNR with its inverse, in one of four frames.

    Attributes:
        frame: How alpha and sigma follow from the log-SNR.
        sigma_min: Lowest noise level s that a network is trained at.
        sigma_max: Highest noise level s, where sampling begins.
    """

    frame: ClassVar[Frame]
    sigma_min: float
    sigma_max: float

    @abstractmethod
    def log_snr(self, t: Tensor) -> Tensor:
        """Return the log-SNR at time t, in float64."""

    @abstractmethod
    def time(self, log_snr: Tensor) -> Tensor:
        """Return the time at which the log-SNR has this value: the inverse of `log_snr`."""

    def __call__(self, t: Tensor) -> tuple[Tensor, Tensor]:
        """Return (alpha_t, sigma_t) in float64."""
        return self.coefficients(self.log_snr(t))

    def coefficients(self, log_snr: Tensor) -> tuple[Tensor, Tensor]:
        """Return (alpha, sigma) at a log-SNR, in this schedule's frame."""
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
        """Return s = sigma_t / alpha_t, in float64."""
        return torch.exp(-self.log_snr(t) / 2)

    def slope(self, t: Tensor) -> Tensor:
        """Return d lambda / dt < 0, in float64."""
        with torch.enable_grad():
            t = t.detach().double().requires_grad_()
            return torch.autograd.grad(self.log_snr(t).sum(), t)[0]

    def attach(self, sigma: Tensor) -> Tensor:
        """Return the same noise levels, as functions of the schedule's learned parameters; here there are none."""
        return sigma

    def trained_times(self) -> tuple[float, float]:
        """Return the times of `sigma_min` and `sigma_max`."""
        ends = torch.tensor([self.sigma_min, self.sigma_max], dtype=torch.float64)
        low, high = self.time(-2 * ends.log()).tolist()
        return low, high


@dataclass(frozen=True)
class Shifted(Schedule):
    r"""A schedule whose noise levels are multiplied: lambda'(t) = lambda(t) - 2 ((1 - t) log k_0 + t log k_1).

    With k_0 = k_1 = k the log-SNR moves by a constant. For d x d images with a schedule made for 64 x 64, k = d / 64
    (Hoogeboom et al., simple diffusion, 2023, https://arxiv.org/abs/2301.11093); k_1 = 32 / 64 is that paper's
    interpolated shift. For `flow`, a constant k is t' = k t / (1 + (k - 1) t) (Esser et al., 2024,
    https://arxiv.org/abs/2403.03206).

    Arguments:
        base: What is shifted.
        shift: k_0 > 0, the factor at t = 0.
        shift_end: k_1 > 0, the factor at t = 1.
    """

    base: Schedule
    shift: float
    shift_end: float

    def __post_init__(self) -> None:
        if not (self.shift > 0 and self.shift_end > 0):
            raise ValueError("shift and shift_end are factors of the noise level: they must be positive.")
        if not bool((self.log_snr(torch.linspace(0, 1, 1001, dtype=torch.float64)).diff() < 0).all()):
            raise ValueError("With shift_end that far below shift, noise would fall with time; bring them together.")

    @property
    def frame(self) -> Frame:  # type: ignore[override]
        return self.base.frame

    @property
    def sigma_min(self) -> float:  # type: ignore[override]
        return self.base.sigma_min * self.factor(self.base.trained_times()[0])

    @property
    def sigma_max(self) -> float:  # type: ignore[override]
        return self.base.sigma_max * self.factor(self.base.trained_times()[1])

    def factor(self, t: float) -> float:
        """Return k at time t."""
        return math.exp((1 - t) * math.log(self.shift) + t * math.log(self.shift_end))

    def log_snr(self, t: Tensor) -> Tensor:
        t = t.double()
        return self.base.log_snr(t) - 2 * ((1 - t) * math.log(self.shift) + t * math.log(self.shift_end))

    def time(self, log_snr: Tensor) -> Tensor:
        if self.shift == self.shift_end:
            return self.base.time(log_snr.double() + 2 * math.log(self.shift))
        return bisect(lambda t: -self.log_snr(t), -log_snr)


class ScheduleRegistry(Registry[Callable[..., Schedule]]):
    """Name -> what makes a schedule, with the options `shift` and `shift_end` beside those of its own."""

    def register(self, name: str) -> Callable[[Make], Make]:
        """Return a decorator that files what makes a schedule under `name`.

        It gets the options `shift` and `shift_end`, unless it has an argument `shift` of its own.
        """

        def file(make: Make) -> Make:
            own = "shift" in inspect.signature(make).parameters
            super(ScheduleRegistry, self).register(name)(make if own else shiftable(make, name))
            return make

        return file


SCHEDULES = ScheduleRegistry("schedule")


def shiftable(make: Callable[..., Schedule], name: str) -> Callable[..., Schedule]:
    """Return what makes a schedule, with `shift` and `shift_end` as further options and its levels checked."""

    def made(*args: Any, shift: float = 1.0, shift_end: float | None = None, **options: Any) -> Schedule:
        schedule = sound(make(*args, **options), name)
        end = shift if shift_end is None else shift_end
        return schedule if shift == end == 1 else Shifted(schedule, shift, end)

    return extended(made, make, shift=1.0, shift_end=None)


def sound(schedule: S, name: str) -> S:
    """Return a schedule; one whose noise does not rise with time between two positive levels is a `ValueError`."""
    low, high = schedule.sigma_min, schedule.sigma_max
    if not 0 < low < high < math.inf:
        raise ValueError(f"{name}: 0 < sigma_min < sigma_max is needed; they are {low:g} and {high:g}.")
    first, last = schedule.trained_times()
    with torch.no_grad():
        falling = schedule.log_snr(first + (last - first) * torch.linspace(0, 1, 101, dtype=torch.float64)).diff()
    if not (first < last and bool((falling < 0).all())):
        raise ValueError(f"{name}: with these options noise would not rise with time.")
    return schedule


def extended(wrapper: Callable[..., S], make: Callable[..., Any], **further: Any) -> Callable[..., S]:
    """Return a wrapper that carries what it wraps in its name, its docstring and its signature.

    Arguments:
        wrapper: Takes the arguments of `make`, and more.
        make: What is wrapped.
        further: The further arguments and their defaults.
    """
    wrapper.__name__, wrapper.__doc__ = make.__name__, make.__doc__
    own = list(inspect.signature(make).parameters.values())
    more = [inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=value) for name, value in further.items()]
    wrapper.__signature__ = inspect.Signature([*own, *more])  # type: ignore[attr-defined]
    return wrapper


@torch.no_grad()
def bisect(rising: Callable[[Tensor], Tensor], y: Tensor, steps: int = 56) -> Tensor:
    """Return x in [0, 1] with rising(x) = y, in float64; the nearer end if no such x exists."""
    y = y.double()
    low, high = torch.zeros_like(y), torch.ones_like(y)
    for _ in range(steps):
        middle = (low + high) / 2
        below = rising(middle) < y
        low, high = torch.where(below, middle, low), torch.where(below, high, middle)
    return (low + high) / 2
