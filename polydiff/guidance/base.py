"""What all wrappers of a denoiser share: they look to samplers like the denoiser that they wrap."""

from __future__ import annotations

from dataclasses import dataclass

from polydiff.denoise import Denoise
from polydiff.schedule import Schedule


@dataclass(frozen=True, eq=False)
class Wrapper:
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
