"""Mel spectrograms of known sounds, and label-free metrics of known distortions."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from polydiff.domains.audio.data.plucks import Plucks
from polydiff.domains.audio.spectrogram import FLOOR, log_mel_features, mel_decibels
from polydiff.metrics.frechet import frechet_distance


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize(("rate", "f"), [(8000, 1000.0), (16000, 3000.0), (44100, 440.0)])
def test_the_mel_spectrogram_of_a_tone_has_its_frequency_and_level(rate: int, f: float) -> None:
    t = torch.arange(rate) / rate
    sine = torch.sin(2 * math.pi * f * t)[None, None]
    bands = mel_decibels(sine, rate)[0, :, 3:-3].mean(1)
    mel = 2595 * math.log10(1 + f / 700) / (2595 * math.log10(1 + rate / 2 / 700)) * 33 - 1
    assert abs(int(bands.argmax()) - mel) < 1
    assert abs(float(bands.max())) < 5
    quieter = mel_decibels(0.5 * sine, rate)[0, :, 3:-3].mean(1)
    assert float(bands.max() - quieter.max()) == pytest.approx(20 * math.log10(2), abs=1e-3)
    assert float(mel_decibels(0 * sine, rate).max()) == pytest.approx(FLOOR)


def test_there_are_128_features_that_depend_on_time() -> None:
    x, _ = Plucks(8000, 4096, 24, {"test": 8}).clips("test", range(8))
    features = log_mel_features(x, 8000)
    assert features.shape == (8, 128)
    assert float((features - log_mel_features(x.flip(2), 8000)).abs().max()) > 1


def test_log_mel_fd_ranks_data_before_damage_before_noise() -> None:
    data = Plucks(8000, 4096, 24, {"train": 512, "test": 256})
    (reference, _), (held_out, _) = data.clips("train", range(512)), data.clips("test", range(256))
    noise = 0.15 * torch.randn(256, 1, 4096, generator=generator())

    def log_mel_fd(a: Tensor, b: Tensor) -> float:
        return frechet_distance(log_mel_features(a, 8000), log_mel_features(b, 8000))

    assert log_mel_fd(reference, reference) == pytest.approx(0, abs=1e-4)
    assert log_mel_fd(held_out, reference) == pytest.approx(log_mel_fd(reference, held_out), rel=1e-3)
    damaged = [held_out, held_out + noise / 50, held_out + noise / 10, held_out + noise, noise]
    ranks = [log_mel_fd(x, reference) for x in damaged]
    assert ranks == sorted(ranks)
    assert ranks[-1] > 50 * ranks[0]
