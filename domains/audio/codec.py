"""Between sounds and states: x = sound / std, one number for all channels.

A waveform's standard deviation is about 0.1 of full scale, so that noise schedules made for unit variance would
train at inaudible signal-to-noise ratios. Dividing by the measured number makes them mean what they say.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from polydiff.errors import UserError


@dataclass(frozen=True)
class Standardise:
    """Scale sounds to unit variance.

    Arguments:
        std: Root mean square of the training data, of full scale 1.
    """

    std: float

    @classmethod
    def measure(cls, clips: Tensor) -> Standardise:
        """Return the codec of clips of shape (N, C, T)."""
        std = clips.double().square().mean().sqrt().item()
        if not 0 < std < float("inf"):
            raise UserError(f"The training data have a root mean square of {std}: they are silent or broken.")
        return cls(std)

    def encode(self, sound: Tensor) -> Tensor:
        """Return states of unit variance."""
        return sound / self.std

    def decode(self, x: Tensor) -> Tensor:
        """Return sounds in full scale 1; values beyond 1 are kept, and clipped only where a file is written."""
        return x * self.std
