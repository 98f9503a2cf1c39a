"""Wrappers of a denoiser. A sampler uses a wrapper exactly as it uses the denoiser inside."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from polydiff.core.conditions import Condition
from polydiff.core.space import Space, State
from polydiff.gaussian.denoise import Denoise, with_variance
from polydiff.gaussian.schedule.base import Schedule
from polydiff.support.protocols import provides


@dataclass(frozen=True, eq=False)
class Wrapper(ABC):
    """A denoiser around another denoiser; each is a `Denoise` itself, so wrappers nest in any order.

    Arguments:
        denoiser: The wrapped denoiser.
    """

    denoiser: Denoise

    @property
    def schedule(self) -> Schedule:
        """The wrapped denoiser's schedule."""
        return self.denoiser.schedule

    @property
    def sigma_data(self) -> float:
        """The wrapped denoiser's standard deviation of the data."""
        return self.denoiser.sigma_data

    @abstractmethod
    def __call__(self, x: State, sigma: Tensor, space: Space, cond: Condition | None = None) -> State:
        """Return the estimate of the clean state; arguments as in `Denoise`."""

    def with_variance(
        self, x: State, sigma: Tensor, space: Space, cond: Condition | None = None
    ) -> tuple[State, Tensor]:
        """Return the estimate and the wrapped denoiser's v, the learned variance, at the cost of one more evaluation.

        Arguments and result as in `polydiff.gaussian.denoise.with_variance`.
        """
        return self(x, sigma, space, cond), with_variance(self.denoiser, x, sigma, space, cond)[1]


class Outermost(Protocol):
    """A wrapper that must stay outside all others, because it needs the estimate that they compute."""

    def around(self, wrap: Callable[[Denoise], Denoise]) -> Denoise:
        """Return this wrapper around wrap(the denoiser inside it)."""


def wrapped(denoiser: Denoise, wrap: Callable[[Denoise], Denoise]) -> Denoise:
    """Return wrap(denoiser); if the denoiser is an `Outermost` wrapper, it stays outside the new one."""
    return denoiser.around(wrap) if provides(denoiser, Outermost) else wrap(denoiser)
