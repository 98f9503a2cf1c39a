r"""Codec between sounds and states: x = W sound / std, with one std for all channels.

The standard deviation of a waveform is about 0.1 of full scale. Noise schedules assume unit variance, so without
scaling they would train at inaudible signal-to-noise ratios. Division by the measured std corrects this.

W whitens the spectrum if w > 0: it multiplies the power at frequency f by P(f)^-w, with P the mean power of the data.
The noise of a diffusion is white, and high frequencies of a sound are thousands of times weaker than low ones. Without
W they emerge last, at a noise level of -40 dB, and the noise that the network does not remove is heard as hiss. San
Roman et al. whiten in four bands (Multi-Band Diffusion, 2023, https://arxiv.org/abs/2308.02560).

W is a zero-phase filter on the sound mirrored at its ends. It is diagonal in the basis of the cosine transform and
exactly invertible at any length.

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
"""Number of frequencies, evenly spaced from 0 to half the sample rate, at which gains are stored."""
QUIETEST = -60.0
"""Lower bound of a band's power, in dB of the loudest band; it limits the amplification of weak bands."""


@dataclass(frozen=True)
class Standardise:
    """Scale sounds to unit variance.

    Arguments:
        std: Root mean square of the filtered training data, with full scale 1.
        gains: Gains of the filter at `KNOTS` frequencies, in dB; (): no filter.
    """

    std: float
    gains: tuple[float, ...] = ()

    @classmethod
    def measure(cls, clips: Tensor, whiten: float = 0.0) -> Standardise:
        """Return the codec measured on training clips.

        Arguments:
            clips: Shape (N, C, T).
            whiten: w in [0, 1], the share of the spectrum's slope that the filter removes; 0: no filter.

        Raises:
            UserError: The clips are silent or not finite.
        """
        level = clips.double().square().mean().sqrt().item()
        if not 0 < level < math.inf:
            raise UserError(
                f"The training data has a root mean square of {level}: it is silent or broken. Check data.path."
            )
        gains = tuple((-whiten * spectrum(clips)).tolist()) if whiten else ()
        return cls(cls(1.0, gains).encode(clips).double().square().mean().sqrt().item(), gains)

    def encode(self, sound: Tensor) -> Tensor:
        """Return states of unit variance (B, C, T) of sounds (B, C, T)."""
        return filtered(sound, self.gains) / self.std

    def decode(self, x: Tensor) -> Tensor:
        """Return sounds (B, C, T) of states (B, C, T), with full scale 1.

        Values beyond 1 are kept; they are clipped only when a file is written.
        """
        return filtered(x * self.std, [-gain for gain in self.gains])

    def log_volume(self, shape: Sequence[int]) -> float:
        """Return the log of the volume that a unit cube of states of shape (C, T) has in sounds."""
        channels, length = shape
        filter_gain = math.log(10) / 20 * interpolated(self.gains, length).double()[:length].sum().item()
        return channels * (length * math.log(self.std) - filter_gain)


def spectrum(clips: Tensor) -> Tensor:
    """Return the mean power of clips (N, C, T) near each of `KNOTS` frequencies, in dB of the loudest, (KNOTS,)."""
    power = sum(mirrored(part.double()).abs().square().sum((0, 1)) for part in clips.split(128))
    assert isinstance(power, Tensor)
    edges = torch.linspace(0, len(power), 2 * KNOTS - 1).long().tolist()
    near = [(max(2 * i - 1, 0), min(2 * i + 1, 2 * KNOTS - 2)) for i in range(KNOTS)]
    bands = torch.stack([power[edges[a] : max(edges[b], edges[a] + 1)].mean() for a, b in near])
    return (10 * torch.log10(bands / bands.max())).clamp(min=QUIETEST)


def filtered(x: Tensor, gains: Sequence[float]) -> Tensor:
    """Return filtered sounds (..., T), for gains in dB at evenly spaced frequencies; (): no filter."""
    if not gains:
        return x
    length = x.shape[-1]
    factor = 10 ** (interpolated(gains, length).to(x.device) / 20)
    both: Tensor = torch.fft.irfft(mirrored(x) * factor.to(x.dtype), n=2 * length)
    return both[..., :length]


def mirrored(x: Tensor) -> Tensor:
    """Return the spectrum of sounds (..., T) followed by their reversal, shape (..., T + 1)."""
    spectra: Tensor = torch.fft.rfft(torch.cat([x, x.flip(-1)], -1))
    return spectra


def interpolated(gains: Sequence[float], length: int) -> Tensor:
    """Return gains in dB interpolated to the frequencies of `mirrored`, shape (T + 1,); 0 if `gains` is empty."""
    if not gains:
        return torch.zeros(length + 1)
    knots, place = torch.tensor(gains), torch.linspace(0, len(gains) - 1, length + 1)
    low = place.long().clamp(max=len(gains) - 2)
    return torch.lerp(knots[low], knots[low + 1], place - low)
