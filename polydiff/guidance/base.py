"""What all wrappers of a denoiser share: they look to samplers like the denoiser that they wrap."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from polydiff.denoise import Denoise, with_variance
from polydiff.protocols import provides
from polydiff.schedule import Schedule
from polydiff.space import Condition, Space, State


@dataclass(frozen=True, eq=False)
class Wrapper(ABC):
    """A denoiser within another; each is a `Denoise` itself, so wrappers nest in any order.

    Arguments:
        denoiser: What is wrapped.
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
        """Return the estimate of the clean state."""

    def with_variance(
        self, x: State, sigma: Tensor, space: Space, cond: Condition | None = None
    ) -> tuple[State, Tensor]:
        """Return the estimate, and the variance that the wrapped denoiser learned, at one more evaluation of it."""
        return self(x, sigma, space, cond), with_variance(self.denoiser, x, sigma, space, cond)[1]


class Outermost(Protocol):
    """A wrapper that goes around all others, since it must know what they make of an estimate."""

    def around(self, wrap: Callable[[Denoise], Denoise]) -> Denoise:
        """Return this wrapper around what `wrap` makes of the denoiser within it."""


def wrapped(denoiser: Denoise, wrap: Callable[[Denoise], Denoise]) -> Denoise:
    """Return a denoiser within a further wrapper, which itself stays within one that goes around all."""
    return denoiser.around(wrap) if provides(denoiser, Outermost) else wrap(denoiser)
