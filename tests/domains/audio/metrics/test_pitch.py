"""The pitch tracker on sounds of known pitch, on sounds without pitch, and on the data."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from polydiff.domains.audio.data.plucks import LOWEST, Plucks
from polydiff.domains.audio.metrics.pitch import Pitch, detect_pitch, track
from polydiff.domains.audio.metrics.sample_set import pitch_metrics

RATE, LENGTH = 16000, 8192

NOTES = range(LOWEST, LOWEST + 24)


def tone(f: float, harmonics: tuple[int, ...] = (1,), rate: int = RATE) -> Tensor:
    t = torch.arange(LENGTH, dtype=torch.float64) / rate
    return sum((0.3 * torch.sin(2 * math.pi * f * k * t + k) for k in harmonics), torch.zeros(LENGTH))[None]


def cents(pitch: Pitch, f: float) -> float:
    return 1200 * abs(math.log2(float(pitch.frequency) / f))


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


@given(st.floats(110, 650))
def test_the_pitch_of_a_pure_tone_is_within_two_cents(f: float) -> None:
    pitch = track(tone(f), RATE)
    assert bool(pitch.voiced)
    assert cents(pitch, f) < 2


@given(st.floats(110, 500))
def test_the_pitch_of_a_missing_fundamental_is_detected(f: float) -> None:
    assert cents(track(tone(f, (2, 3, 4, 5)), RATE), f) < 3


@given(st.floats(110, 500), st.floats(1e-2, 10))
def test_loudness_and_what_comes_before_do_not_change_the_pitch(f: float, gain: float) -> None:
    later = torch.nn.functional.pad(gain * tone(f, (1, 2, 3)), (1000, 0))
    assert cents(track(later, RATE), f) < 3


def test_noise_and_silence_have_no_pitch() -> None:
    white = 0.1 * torch.randn(200, LENGTH, generator=generator())
    for nothing in (white, white.cumsum(1), torch.zeros(3, LENGTH), 1e-8 * tone(220)):
        assert not bool(track(nothing, RATE).voiced.any())


@given(st.floats(120, 300), st.floats(5, 20))
def test_the_ratio_of_harmonics_to_white_noise_is_measured(f: float, snr: float) -> None:
    clean = tone(f, (1, 2, 3))
    noise = torch.randn(clean.shape, generator=generator(), dtype=torch.float64)
    noisy = clean + noise * (clean.square().mean() / 10 ** (snr / 10)).sqrt()
    assert float(track(noisy, RATE).harmonics_to_noise) == pytest.approx(snr, abs=1)


def test_a_clip_shorter_than_the_window_is_padded_with_silence() -> None:
    short = tone(220)[:, :300]
    alone, longer = track(short, RATE), track(torch.nn.functional.pad(short, (0, LENGTH - 300)), RATE)
    for name in ("frequency", "aperiodicity", "rms"):
        torch.testing.assert_close(getattr(alone, name), getattr(longer, name))


@pytest.mark.parametrize(("rate", "length"), [(8000, 4096), (16000, 16384)])
def test_every_note_of_the_data_is_detected(rate: int, length: int) -> None:
    data = Plucks(rate, length, 24, {"test": 240})
    sounds, labels = data.clips("test", range(240))[0], data.labels(range(240))
    judged = pitch_metrics(sounds, rate, NOTES, labels)
    assert judged["pitch_accuracy"].value == 1
    assert judged["voiced"].value == 1
    assert judged["in_tune"].value > 0.98


@given(st.floats(48, 71), st.floats(-49, 49), st.sampled_from([8000, 16000, 44100, 48000]))
def test_detuning_is_measured_at_any_sample_rate(note: float, cents: float, rate: int) -> None:
    f = 440 * 2 ** ((round(note) + cents / 100 - 69) / 12)
    pitch = track(tone(f, (1, 2, 3), rate), rate)
    assert float(pitch.semitones) == pytest.approx(round(note) + cents / 100, abs=0.05)
    assert float(pitch.cents) == pytest.approx(abs(cents), abs=5)


@pytest.mark.parametrize(("snr", "right"), [(40, 1.0), (20, 1.0), (10, 1.0), (5, 0.8)])
@pytest.mark.parametrize(("rate", "length"), [(8000, 4096), (16000, 16384)])
def test_notes_are_detected_in_noise_of_a_known_level(rate: int, length: int, snr: int, right: float) -> None:
    """The signal-to-noise ratio is that of each clip over its whole length."""
    data = Plucks(rate, length, 24, {"test": 96})
    sounds, labels = data.clips("test", range(96))[0], data.labels(range(96))
    level = sounds.square().mean((1, 2), keepdim=True).sqrt() * 10 ** (-snr / 20)
    noisy = sounds + level * torch.randn(sounds.shape, generator=generator())
    assert pitch_metrics(noisy, rate, NOTES, labels)["pitch_accuracy"].value >= right


@given(st.sampled_from([20.0, 50.0]), st.integers(0, 100))
def test_random_pitches_are_in_tune_at_chance_level(half_width: float, seed: int) -> None:
    """The chance of in_tune is 2 * 20 / 100 cents."""
    semitones = LOWEST + 24 * torch.rand(4000, generator=torch.Generator().manual_seed(seed))
    pitch = Pitch(440 * 2 ** ((semitones - 69) / 12), torch.zeros(4000), torch.ones(4000))
    assert float((pitch.cents <= half_width).double().mean()) == pytest.approx(2 * half_width / 100, abs=0.04)


def test_channels_are_averaged_and_lengths_may_differ() -> None:
    left, right = tone(220.0, (1, 2))[0], tone(220.0, (3, 4))[0]
    stereo = torch.stack([left, right])
    pitch = detect_pitch([stereo, stereo[:, :4000], stereo[:1]], RATE)
    assert [round(1200 * abs(math.log2(f / 220))) <= 3 for f in pitch.frequency.tolist()] == [True] * 3


def test_accuracy_counts_requested_notes() -> None:
    data = Plucks(8000, 4096, 24, {"test": 96})
    sounds, labels = data.clips("test", range(96))[0], data.labels(range(96))

    def accuracy(requested: Tensor | None) -> float:
        return pitch_metrics(sounds, 8000, NOTES, requested)["pitch_accuracy"].value

    assert accuracy((labels + 1) % 24) == 0
    assert accuracy(torch.where(labels < 12, labels, -1)) == 1  # unconditional clips do not count
    assert accuracy(torch.where(labels < 12, labels, 0)) == 0.5
    assert math.isnan(accuracy(None))
    assert math.isnan(accuracy(torch.full_like(labels, -1)))


def test_a_quarter_tone_off_is_out_of_tune() -> None:
    data = Plucks(8000, 4096, 24, {"test": 96})
    sounds, labels = data.clips("test", range(96))[0], data.labels(range(96))
    slower = pitch_metrics(sounds, round(8000 * 2 ** (-0.5 / 12)), NOTES, labels)
    assert slower["in_tune"].value == 0
    assert slower["voiced"].value == 1
