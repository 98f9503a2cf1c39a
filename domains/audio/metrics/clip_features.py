"""Features of single clips, for the comparison of sets of clips.

Symbols: B clips, C channels, T samples.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from polydiff.domains.audio import optional_imports as optional
from polydiff.domains.audio.chunks import each
from polydiff.domains.audio.spectrogram import SIZE, decibels, log_mel_features

SILENT = -60.0
"""Level in dB of full scale below which a clip counts as silent."""
REACH, HOP = 0.015, 0.0025
"""Seconds that the Hann window of an envelope reaches to each side, and between values of the envelope."""
BEGUN, RISEN = 0.1, 0.9
"""Shares of the envelope's maximum between which an attack is timed."""
RANGE = 40.0
"""dB below the maximum down to which ripple counts."""


@dataclass(frozen=True)
class Measured:
    """Features of B clips; NaN for a clip that contains NaN.

    Arguments:
        features: Log-mel features, shape (B, 128); NaN without torchaudio.
        level: Root mean square in dB of full scale, shape (B,).
        peak: Largest magnitude, with full scale 1, shape (B,).
        offset: DC offset, the magnitude of the mean, in % of full scale, shape (B,).
        centroid: Spectral centroid, the power-weighted mean frequency in Hz, NaN for silence, shape (B,).
        attack: Time of the attack in ms (`attack_and_ripple`), NaN for silence, shape (B,).
        ripple: Rises of the envelope after its maximum in dB, NaN for silence, shape (B,).
    """

    features: Tensor
    level: Tensor
    peak: Tensor
    offset: Tensor
    centroid: Tensor
    attack: Tensor
    ripple: Tensor

    @classmethod
    def of(cls, sounds: Sequence[Tensor] | Tensor, sample_rate: int) -> Measured:
        """Return the features of clips (C, T), which may differ in length; `sample_rate` is in Hz."""
        numbers = each(lambda x: torch.cat([levels(x, sample_rate), features(x, sample_rate)], 1), sounds)
        return cls(numbers[:, -SIZE:], *numbers[:, :-SIZE].unbind(1))

    @staticmethod
    def join(parts: Sequence[Measured]) -> Measured:
        """Return the concatenated features of several sets of clips."""
        return Measured(*(torch.cat([getattr(part, field.name) for part in parts]) for field in fields(Measured)))

    def __len__(self) -> int:
        return len(self.level)


def features(x: Tensor, sample_rate: int) -> Tensor:
    """Return the log-mel features of clips (B, C, T), shape (B, 128), NaN if torchaudio is missing."""
    if optional.lacks_torchaudio():
        return torch.full((len(x), SIZE), torch.nan, dtype=torch.float64)
    return log_mel_features(x, sample_rate)


def levels(x: Tensor, sample_rate: int) -> Tensor:
    """Return level, peak, offset, centroid, attack and ripple of clips (B, C, T), shape (B, 6)."""
    x = x.double()
    level, peak, offset = rms_decibels(x), x.abs().amax((1, 2)), 100 * x.mean(2).abs().amax(1)
    return torch.stack([level, peak, offset, centroid(x, sample_rate), *attack_and_ripple(x, sample_rate)], 1)


def rms_decibels(x: Tensor) -> Tensor:
    """Return the level of clips (B, C, T) in dB of full scale, at least that of `decibels`, shape (B,)."""
    return decibels(x.double().square().mean((1, 2)))


def centroid(x: Tensor, sample_rate: int) -> Tensor:
    """Return the spectral centroid of clips (B, C, T) in Hz, without the constant part, NaN for silence, shape (B,)."""
    power = torch.fft.rfft(x).abs().square().mean(1)[:, 1:]
    f = torch.arange(1, power.shape[1] + 1, dtype=x.dtype) * sample_rate / x.shape[2]
    mean = (power @ f) / power.sum(1)
    return torch.where(rms_decibels(x) < SILENT, torch.nan, mean)


def envelope(x: Tensor, sample_rate: int) -> Tensor:
    """Return the root mean square of clips (B, C, T) under a moving Hann window, within the clip, (B, T)."""
    window = torch.hann_window(2 * round(REACH * sample_rate) + 1, periodic=False, dtype=x.dtype)
    reach, size = len(window) // 2, x.shape[2] + len(window) - 1

    def smooth(y: Tensor) -> Tensor:  # by FFT, since windows of long sounds would fill the memory
        spectrum = torch.fft.rfft(y, size) * torch.fft.rfft(window, size)
        found: Tensor = torch.fft.irfft(spectrum, size)
        return found[..., reach : reach + x.shape[2]]

    return (smooth(x.square().mean(1)).clamp_min(0) / smooth(torch.ones_like(x[0, 0]))).sqrt()


def attack_and_ripple(x: Tensor, sample_rate: int) -> tuple[Tensor, Tensor]:
    """Return how fast clips (B, C, T) begin and how unsteadily they decay, (B,) each, NaN for silence and for NaN.

    The attack is the time in ms in which the envelope rises from a tenth to nine tenths of its maximum, or from the
    start of a clip that begins louder (the attack time of Peeters et al., The Timbre Toolbox, 2011,
    https://doi.org/10.1121/1.3642604, with fixed shares). The ripple is the sum in dB of all rises of the envelope
    after its maximum, 0 for a sound that only decays; what is 40 dB below the maximum does not count. Below about
    70 Hz the envelope follows single periods. A constant part of a sound counts in neither.
    """
    hop = max(round(HOP * sample_rate), 1)
    e = envelope(x - x.mean(2, keepdim=True), sample_rate)[:, ::hop]
    top, m = e.amax(1, keepdim=True), torch.arange(e.shape[1])
    risen = (e >= RISEN * top).int().argmax(1, keepdim=True)
    begun = torch.where((e < BEGUN * top) & (m < risen), m, 0).amax(1, keepdim=True)
    attack = 1000 * hop / sample_rate * (risen - begun)[:, 0].to(x.dtype)
    decibel = 20 * (e / top).clamp_min(10 ** (-RANGE / 20)).log10()
    after = m[1:] > e.argmax(1, keepdim=True)
    ripple = (decibel.diff(dim=1).clamp_min(0) * after).sum(1)
    unknown = (rms_decibels(x) < SILENT) | ~x.isfinite().all(2).all(1)
    return attack.masked_fill(unknown, torch.nan), ripple.masked_fill(unknown, torch.nan)
