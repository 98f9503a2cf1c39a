"""Metrics of restoration: mean distances between sounds and their true versions."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from polydiff.domains.audio.config import AudioConfig
from polydiff.domains.audio.metrics.distances import (
    log_spectral_distance,
    multi_resolution_distance,
    pesq,
    si_snr,
    stoi,
)
from polydiff.metrics.results import Metric

CHUNK = 64
"""Number of clips compared at a time."""


def pair_metrics(sounds: Sequence[Tensor], truth: Sequence[Tensor], config: AudioConfig) -> dict[str, Metric]:
    """Return the mean distances of sounds (C, T) to truths of the same shapes; NaN if there are no sounds."""
    rate = config.data.sample_rate

    def mean(distance: Callable[[Tensor, Tensor], Tensor]) -> float:
        pairs = [(sounds[i : i + CHUNK], truth[i : i + CHUNK]) for i in range(0, len(sounds), CHUNK)]
        values = [distance(torch.stack(list(a)), torch.stack(list(b))) for a, b in pairs]
        return float(torch.cat(values).nanmean()) if values else math.nan

    found = {
        "lsd": Metric(
            mean(lambda a, b: log_spectral_distance(a, b, rate)),
            "",
            "lower",
            "Log-spectral distance to the held-out sound, in units of 10 dB: 0 for the sound itself.",
        )
    }
    if config.task == "upsample":
        top = config.data.given_rate / 2
        found["lsd_high"] = Metric(
            mean(lambda a, b: log_spectral_distance(a, b, rate, (top, rate / 2))),
            "",
            "lower",
            f"Log-spectral distance above {top:g} Hz, the frequencies that the recording lacks.",
        )
    found["mr_stft"] = Metric(
        mean(multi_resolution_distance),
        "",
        "lower",
        "Multi-resolution distance of spectrograms to the held-out sound: 0 for the sound itself.",
    )
    found["si_snr"] = Metric(
        mean(si_snr),
        "dB",
        "higher",
        "Scale-invariant signal-to-noise ratio against the held-out sound. Low for tasks that leave phases free.",
    )
    if config.data.speech:
        found["pesq"] = Metric(
            mean(lambda a, b: pesq(a, b, rate)), "", "higher", "Perceptual quality of speech (PESQ), 1 to 4.6."
        )
        found["stoi"] = Metric(
            mean(lambda a, b: stoi(a, b, rate)), "", "higher", "Intelligibility of speech (STOI), at most 1."
        )
    return found
