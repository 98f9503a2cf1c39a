r"""Between sounds and states: x = W sound / std, one number for all channels.

A waveform's standard deviation is about 0.1 of full scale, so that noise schedules made for unit variance would
train at inaudible signal-to-noise ratios. Dividing by the measured number makes them mean what they say.

W evens out the spectrum where that is asked for: power at frequency f is multiplied by P(f)^-w, with P the mean power
of the data. Noise of a diffusion is white, and high notes are thousands of times weaker than low ones: without W they
come into being last, at a noise level of -40 dB, and what a network leaves of that noise is heard as hiss. (by four
bands: San Roman et al., Multi-Band Diffusion, 2023, https://arxiv.org/abs/2308.02560)

W is a filter of zero phase on the sound mirrored at its ends, so it is diagonal in the basis of the cosine transform
and undone exactly, at any length.

Symbols: C channels, T samples, P power at a frequency, w `whiten`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from polydiff.support.errors import UserError

KNOTS = 33
"""Frequencies, evenly from 0 to half of the sample rate, at which gains are kept; the others lie between."""
QUIETEST = -60.0
"""Power of a band, in dB of the loudest, under which it is amplified no further."""


@dataclass(frozen=True)
class Standardise:
    """Scale sounds to unit variance.

    Arguments:
        std: Root mean square of the training data, after the filter, of full scale 1.
        gains: Of the filter at `KNOTS` frequencies, in dB; (): none.
    """

    std: float
    gains: tuple[float, ...] = ()

    @classmethod
    def measure(cls, clips: Tensor, whiten: float = 0.0) -> Standardise:
        """Return the codec of clips of shape (N, C, T), with the filter's w in [0, 1]."""
        gains = tuple((-whiten * spectrum(clips)).tolist()) if whiten else ()
        std = cls(1.0, gains).encode(clips).double().square().mean().sqrt().item()
        if not 0 < std < float("inf"):
            raise UserError(
                f"The training data has a root mean square of {std}: it is silent or broken. Check data.path."
            )
        return cls(std, gains)

    def encode(self, sound: Tensor) -> Tensor:
        """Return states of unit variance."""
        return filtered(sound, self.gains) / self.std

    def decode(self, x: Tensor) -> Tensor:
        """Return sounds in full scale 1; values beyond 1 are kept, and clipped only where a file is written."""
        return filtered(x * self.std, [-gain for gain in self.gains])

    def log_volume(self, shape: Sequence[int]) -> float:
        """Return the log of the volume, in the data's units, of a unit cube of states of shape (C, T)."""
        channels, length = shape
        filter_gain = math.log(10) / 20 * interpolated(self.gains, length).double()[:length].sum().item()
        return channels * (length * math.log(self.std) - filter_gain)


def spectrum(clips: Tensor) -> Tensor:
    """Return the mean power of clips (N, C, T) around each of `KNOTS` frequencies, in dB of the loudest, float64."""
    power = sum(mirrored(part.double()).abs().square().sum((0, 1)) for part in clips.split(128))
    assert isinstance(power, Tensor)
    edges = torch.linspace(0, len(power), 2 * KNOTS - 1).long().tolist()
    near = [(max(2 * i - 1, 0), min(2 * i + 1, 2 * KNOTS - 2)) for i in range(KNOTS)]
    bands = torch.stack([power[edges[a] : max(edges[b], edges[a] + 1)].mean() for a, b in near])
    return (10 * torch.log10(bands / bands.max())).clamp(min=QUIETEST)


def filtered(x: Tensor, gains: Sequence[float]) -> Tensor:
    """Return sounds (..., T) with gains in dB at evenly spaced frequencies; (): none."""
    if not gains:
        return x
    length = x.shape[-1]
    factor = 10 ** (interpolated(gains, length).to(x.device) / 20)
    both: Tensor = torch.fft.irfft(mirrored(x) * factor.to(x.dtype), n=2 * length)
    return both[..., :length]


def mirrored(x: Tensor) -> Tensor:
    """Return the spectrum of sounds (..., T) followed by themselves backwards, shape (..., T + 1)."""
    spectra: Tensor = torch.fft.rfft(torch.cat([x, x.flip(-1)], -1))
    return spectra


def interpolated(gains: Sequence[float], length: int) -> Tensor:
    """Return gains in dB at the frequencies of `mirrored`, shape (T + 1,); 0 where there are none."""
    if not gains:
        return torch.zeros(length + 1)
    knots, place = torch.tensor(gains), torch.linspace(0, len(gains) - 1, length + 1)
    low = place.long().clamp(max=len(gains) - 2)
    return torch.lerp(knots[low], knots[low + 1], place - low)
