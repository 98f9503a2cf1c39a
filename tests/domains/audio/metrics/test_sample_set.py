"""Metrics of sets of sounds against closed forms, copies and known distortions."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from audio_evaluation_cases import RATE, generator, reference, tones, values

from polydiff.contract.domain import Samples
from polydiff.domains.audio.metrics.clip_features import Measured
from polydiff.domains.audio.metrics.pitch import detect_pitch
from polydiff.domains.audio.metrics.sample_set import set_metrics


@pytest.mark.parametrize(("rate", "channels"), [(8000, 1), (44100, 2), (48000, 1), (16000, 3)])
def test_any_rate_channels_and_lengths_have_metrics(rate: int, channels: int) -> None:
    lengths = [1, 2, 300, 5000, 70_000]
    sounds = [0.1 * torch.randn(channels, n, generator=generator(n)) for n in lengths]
    measured = Measured.of(sounds, rate)
    for i, sound in enumerate(sounds):  # a clip's numbers depend on no other clip
        torch.testing.assert_close(measured.features[i], Measured.of([sound], rate).features[0])
    levels = torch.stack([10 * sound.square().mean().log10() for sound in sounds])
    torch.testing.assert_close(measured.level, levels.to(measured.level))
    assert torch.equal(
        detect_pitch(sounds, rate).frequency, torch.cat([detect_pitch([x], rate).frequency for x in sounds])
    )
    known = replace(reference(tones(torch.rand(4) * 1000 + 200), tones(torch.rand(4) * 1000 + 200)), sample_rate=rate)
    judged = set_metrics(Samples([sounds[2], *sounds[2:]]), known)
    assert judged["log_mel_fd"].reason == "it needs 30 clips of each set, there are 4"
    assert math.isnan(judged["log_mel_fd"].value)
    assert math.isfinite(judged["centroid_error"].value)


def test_silence_and_nan_have_values_or_nan(plucks: Any) -> None:
    _, test, known = plucks
    silent = values(set_metrics(Samples(list(0 * test[:40])), known))
    assert silent["silent"] == 1
    assert math.isnan(silent["centroid_error"])
    assert math.isfinite(silent["log_mel_fd"])
    for wrong in (math.nan, math.inf):
        broken = test[:40].clone()
        broken[3, 0, 7] = wrong
        judged = values(set_metrics(Samples(list(broken)), known))
        assert judged["clipped"] == 0.025
        assert math.isnan(judged["log_mel_fd"])
        assert math.isnan(judged["copies"])
        assert not bool(detect_pitch(broken, RATE).voiced[3])


# A judge of four bands of frequency
