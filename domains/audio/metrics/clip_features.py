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


@dataclass(frozen=True)
class Measured:
    """Features of B clips; NaN for a clip that contains NaN.

    Arguments:
        features: Log-mel features, shape (B, 128); NaN without torchaudio.
        level: Root mean square in dB of full scale, shape (B,).
        peak: Largest magnitude, with full scale 1, shape (B,).
        offset: DC offset, the magnitude of the mean, in % of full scale, shape (B,).
        centroid: Spectral centroid, the power-weighted mean frequency in Hz, NaN for silence, shape (B,).
    """

    features: Tensor
    level: Tensor
    peak: Tensor
    offset: Tensor
    centroid: Tensor

    @classmethod
    def of(cls, sounds: Sequence[Tensor] | Tensor, sample_rate: int) -> Measured:
        """Return the features of clips (C, T), which may differ in length; `sample_rate` is in Hz."""
        numbers = each(lambda x: torch.cat([levels(x, sample_rate), features(x, sample_rate)], 1), sounds)
        return cls(numbers[:, 4:], *numbers[:, :4].unbind(1))

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
    """Return level, peak, offset and centroid of clips (B, C, T), shape (B, 4)."""
    x = x.double()
    level, peak, offset = rms_decibels(x), x.abs().amax((1, 2)), 100 * x.mean(2).abs().amax(1)
    return torch.stack([level, peak, offset, centroid(x, sample_rate)], 1)


def rms_decibels(x: Tensor) -> Tensor:
    """Return the level of clips (B, C, T) in dB of full scale, at least that of `decibels`, shape (B,)."""
    return decibels(x.double().square().mean((1, 2)))


def centroid(x: Tensor, sample_rate: int) -> Tensor:
    """Return the spectral centroid of clips (B, C, T) in Hz, without the constant part, NaN for silence, shape (B,)."""
    power = torch.fft.rfft(x).abs().square().mean(1)[:, 1:]
    f = torch.arange(1, power.shape[1] + 1, dtype=x.dtype) * sample_rate / x.shape[2]
    mean = (power @ f) / power.sum(1)
    return torch.where(rms_decibels(x) < SILENT, torch.nan, mean)
