"""Mel spectrograms of sounds, and the log-mel features of the metrics.

The Frechet distance of these features (LogMelFD) needs no trained weights. It differs from the Frechet Audio Distance,
which uses a network's features (Kilgour et al., 2019, https://arxiv.org/abs/1812.08466). It is nearly insensitive to
tuning.

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
"""Lower bound of levels in dB of full scale; weaker sounds count as silence."""
MELS, SEGMENTS = 32, 4
SIZE = MELS * SEGMENTS
"""Number of features of a clip."""
BANDS, FRAMES = 40, 32
"""Size of a classifier's input spectrogram."""
VERSION = 2
"""Version of the features; distances are comparable only within a version."""


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
    """Return the mel spectrogram in dB of the mean power over channels, shape (B, mels, frames).

    0 dB is a sine of full scale; values are at least `FLOOR`.

    Arguments:
        x: Clips, (B, C, T).
        sample_rate: In Hz.
        mels: Number of mel bands.
        hop: Samples from one frame to the next; None: a quarter of `window_size`.
    """
    return decibels(mel_power(x, sample_rate, mels, hop))


def mel_power(x: Tensor, sample_rate: int, mels: int = MELS, hop: int | None = None) -> Tensor:
    """Return the mel spectrogram of the mean power over channels, 1 for a sine of full scale, (B, mels, frames).

    Arguments:
        x: Clips, (B, C, T).
        sample_rate: In Hz.
        mels: Number of mel bands.
        hop: Samples from one frame to the next; None: a quarter of `window_size`.
    """
    size = window_size(sample_rate)
    transform = mel_transform(sample_rate, mels, hop or size // 4)
    full_scale = (torch.hann_window(size).sum() / 2) ** 2
    power: Tensor = transform(x.float()).mean(1) / full_scale
    return power


def decibels(power: Tensor) -> Tensor:
    """Return 10 log10 of a power, at least `FLOOR`."""
    return 10 * torch.log10(power.clamp(min=10 ** (FLOOR / 10)))


def log_mel_features(x: Tensor, sample_rate: int) -> Tensor:
    """Return the features of clips (B, C, T): 32 mel bands in 4 time segments, in units of 10 dB, float64, (B, 128)."""
    return decibels(functional.adaptive_avg_pool1d(mel_power(x, sample_rate), SEGMENTS)).flatten(1).double() / 10


def portrait(x: Tensor, sample_rate: int) -> Tensor:
    """Return the classifier's input for clips (B, C, T), shape (B, 40, 32).

    It is a mel spectrogram in dB, scaled to 1 for a sine of full scale and -1 for `FLOOR`.
    """
    power = mel_power(x, sample_rate, BANDS, hop=window_size(sample_rate) // 2)
    return 1 - 2 * decibels(functional.adaptive_avg_pool1d(power, FRAMES)) / FLOOR
