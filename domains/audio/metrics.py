"""How sounds are judged, by judges that share nothing with the model or the synthesiser."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from polydiff.domain import Metric
from polydiff.domains.audio.features import decibels, log_mel_features
from polydiff.domains.audio.pitch import Pitch, track
from polydiff.frechet import frechet_distance

IN_TUNE = 20.0
"""Cents within which a note counts as in tune."""
SILENT = -60.0
"""Level in dB of full scale under which a clip counts as silent."""


def pitch_metrics(
    sounds: Tensor, sample_rate: int, lowest: int, classes: int, asked: Tensor | None
) -> dict[str, Metric]:
    """Return what a pitch tracker hears.

    Arguments:
        sounds: Mono clips (B, T).
        sample_rate: In Hz.
        lowest: MIDI number of class 0.
        classes: Number of classes, a semitone apart.
        asked: The class asked of each clip (B,), -1 for none; None: none for all.
    """
    heard = track(sounds, sample_rate)
    inside = (heard.semitones > lowest - 0.5) & (heard.semitones < lowest + classes - 0.5)
    in_tune = heard.voiced & inside & (heard.cents <= IN_TUNE)
    return {
        "pitch_accuracy": Metric(
            pitch_accuracy(heard, lowest, asked),
            "",
            "higher",
            "Share of the clips asked for a note whose nearest note is that one, heard by a pitch tracker (YIN); "
            f"chance {1 / classes:.3f}, noise 0.",
        ),
        "in_tune": Metric(
            mean(in_tune),
            "",
            "higher",
            f"Share of clips with a pitch within {IN_TUNE:.0f} cents of a note of the data; a random pitch gives 0.40.",
        ),
        "voiced": Metric(
            mean(heard.voiced),
            "",
            "higher",
            "Share of clips in which the pitch tracker hears a pitch at all; noise and silence 0.",
        ),
    }


def pitch_accuracy(heard: Pitch, lowest: int, asked: Tensor | None) -> float:
    """Return the share of clips with a note asked for (>= 0) in which that note is heard."""
    if asked is None:
        return math.nan
    right = heard.voiced & (heard.semitones.round() - lowest == asked)
    return mean(right[asked >= 0])


def sound_metrics(sounds: Tensor, sample_rate: int, reference: Tensor) -> dict[str, Metric]:
    """Return what can be said of any sound, beside training clips.

    Arguments:
        sounds: Clips (B, C, T).
        sample_rate: In Hz.
        reference: Training clips (N, C, T).
    """
    n, level = len(sounds), rms_decibels(sounds)
    return {
        "log_mel_fd": Metric(
            log_mel_fd(sounds, reference, sample_rate),
            "",
            "lower",
            f"Frechet distance of log-mel features, {n} clips against {len(reference)} of the training data. A local "
            "number: compare it at the same n with the row of real data, and not with published distances.",
        ),
        "level_error": Metric(
            wasserstein(level, rms_decibels(reference)),
            "dB",
            "lower",
            "Distance between the distributions of loudness (root mean square) of the clips and the training data.",
        ),
        "silent": Metric(mean(level < SILENT), "", "lower", f"Share of clips under {SILENT:.0f} dB of full scale."),
        "clipped": Metric(
            mean(sounds.abs().amax((1, 2)) > 1), "", "lower", "Share of clips that exceed full scale somewhere."
        ),
    }


def log_mel_fd(sounds: Tensor, reference: Tensor, sample_rate: int) -> float:
    """Return the Frechet distance of log-mel features; NaN for fewer than two clips, or where one is not finite."""
    if not bool(sounds.isfinite().all()):
        return math.nan
    return frechet_distance(*(log_mel_features(clips, sample_rate) for clips in (sounds, reference)))


def rms_decibels(sounds: Tensor) -> Tensor:
    """Return the level of clips (B, C, T) in dB of full scale, at least the floor of the features, shape (B,)."""
    return decibels(sounds.double().square().mean((1, 2)))


def wasserstein(a: Tensor, b: Tensor) -> float:
    """Return the 1-Wasserstein distance between two samples of numbers, by 1000 quantiles."""
    q = (torch.arange(1000, dtype=torch.float64) + 0.5) / 1000
    return float((a.double().quantile(q) - b.double().quantile(q)).abs().mean()) if len(a) and len(b) else math.nan


def mean(flags: Tensor) -> float:
    """Return the share that is true; NaN of none."""
    return float(flags.double().mean())
