"""What a sound looks like: mel spectrograms, and features of them.

The Frechet distance of these features (LogMelFD) needs no weights. It is not the Frechet Audio Distance of the
literature, which is taken on a network's features (Kilgour et al., 2019, https://arxiv.org/abs/1812.08466), and it is
nearly blind to tuning.

Symbols: B clips, C channels, T samples.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from polydiff.domains.audio import optional_imports as optional

FLOOR = -70.0
"""Level in dB of full scale under which a sound is taken as silent."""
MELS, SEGMENTS = 32, 4
SIZE = MELS * SEGMENTS
"""Numbers of the features of a clip."""
BANDS, FRAMES = 40, 32
"""Size of the spectrogram that a classifier sees."""
VERSION = 2
"""Counts changes of the features: their distances can be compared within a version alone."""


def window_size(sample_rate: int) -> int:
    """Return the power of two nearest to 64 ms, in samples."""
    return int(2 ** round(math.log2(0.064 * sample_rate)))


@lru_cache(maxsize=8)
def mel_transform(sample_rate: int, mels: int, hop: int) -> Any:
    """Return torchaudio's mel spectrogram of power, padded with silence."""
    size = window_size(sample_rate)
    return optional.torchaudio("transforms").MelSpectrogram(
        sample_rate=sample_rate, n_fft=size, hop_length=hop, n_mels=mels, pad_mode="constant"
    )


def mel_decibels(x: Tensor, sample_rate: int, mels: int = MELS, hop: int | None = None) -> Tensor:
    """Return the mel spectrogram of clips (B, C, T) in dB, mean over channels, shape (B, mels, frames).

    0 dB is a sine of full scale; nothing is under `FLOOR`.
    """
    return decibels(mel_power(x, sample_rate, mels, hop))


def mel_power(x: Tensor, sample_rate: int, mels: int = MELS, hop: int | None = None) -> Tensor:
    """Return the mel spectrogram of power, 1 for a sine of full scale, shape (B, mels, frames)."""
    size = window_size(sample_rate)
    transform = mel_transform(sample_rate, mels, hop or size // 4)
    full_scale = (torch.hann_window(size).sum() / 2) ** 2
    power: Tensor = transform(x.float()).mean(1) / full_scale
    return power


def decibels(power: Tensor) -> Tensor:
    """Return 10 log10 of a power, at least `FLOOR`."""
    return 10 * torch.log10(power.clamp(min=10 ** (FLOOR / 10)))


def log_mel_features(x: Tensor, sample_rate: int) -> Tensor:
    """Return 32 mel bands in 4 segments of time, in units of 10 dB, float64, shape (B, 128)."""
    return decibels(functional.adaptive_avg_pool1d(mel_power(x, sample_rate), SEGMENTS)).flatten(1).double() / 10


def portrait(x: Tensor, sample_rate: int) -> Tensor:
    """Return the mel spectrogram that a classifier sees, 1 for a sine of full scale and -1 for `FLOOR`, (B, 40, 32)."""
    power = mel_power(x, sample_rate, BANDS, hop=window_size(sample_rate) // 2)
    return 1 - 2 * decibels(functional.adaptive_avg_pool1d(power, FRAMES)) / FLOOR
