"""The pitch tracker: on sounds whose pitch is known, on sounds without any, and on the data."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from polydiff.domains.audio.metrics import pitch_metrics
from polydiff.domains.audio.pitch import Pitch, track
from polydiff.domains.audio.plucks import LOWEST, Plucks

RATE, LENGTH = 16000, 8192


def tone(f: float, harmonics: tuple[int, ...] = (1,), rate: int = RATE) -> Tensor:
    t = torch.arange(LENGTH, dtype=torch.float64) / rate
    return sum((0.3 * torch.sin(2 * math.pi * f * k * t + k) for k in harmonics), torch.zeros(LENGTH))[None]


def cents(pitch: Pitch, f: float) -> float:
    return 1200 * abs(math.log2(float(pitch.frequency) / f))


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


@given(st.floats(110, 650))
def test_a_pure_tone_is_heard_within_two_cents(f: float) -> None:
    heard = track(tone(f), RATE)
    assert bool(heard.voiced)
    assert cents(heard, f) < 2


@given(st.floats(110, 500))
def test_the_pitch_of_a_missing_fundamental_is_heard(f: float) -> None:
    assert cents(track(tone(f, (2, 3, 4, 5)), RATE), f) < 3


@given(st.floats(110, 500), st.floats(1e-2, 10))
def test_loudness_and_what_comes_before_do_not_change_the_pitch(f: float, gain: float) -> None:
    later = torch.nn.functional.pad(gain * tone(f, (1, 2, 3)), (1000, 0))
    assert cents(track(later, RATE), f) < 3


def test_noise_and_silence_have_no_pitch() -> None:
    white = 0.1 * torch.randn(200, LENGTH, generator=generator())
    for nothing in (white, white.cumsum(1), torch.zeros(3, LENGTH), 1e-8 * tone(220)):
        assert not bool(track(nothing, RATE).voiced.any())


def test_a_clip_shorter_than_the_window_is_heard_or_not_but_no_failure() -> None:
    assert track(tone(220)[:, :300], RATE).frequency.shape == (1,)


@pytest.mark.parametrize(("rate", "length"), [(8000, 4096), (16000, 16384)])
def test_every_note_of_the_data_is_heard(rate: int, length: int) -> None:
    data = Plucks(rate, length, 24, {"test": 240})
    sounds, labels = data.clips("test", range(240))[0], data.labels(range(240))
    judged = pitch_metrics(sounds, rate, LOWEST, 24, labels)
    assert judged["pitch_accuracy"].value == 1
    assert judged["voiced"].value == 1
    assert judged["in_tune"].value > 0.98


def test_what_is_asked_counts() -> None:
    data = Plucks(8000, 4096, 24, {"test": 96})
    sounds, labels = data.clips("test", range(96))[0], data.labels(range(96))

    def accuracy(asked: Tensor | None) -> float:
        return pitch_metrics(sounds, 8000, LOWEST, 24, asked)["pitch_accuracy"].value

    assert accuracy((labels + 1) % 24) == 0
    assert accuracy(torch.where(labels < 12, labels, -1)) == 1  # what nothing was asked of is left out
    assert accuracy(torch.where(labels < 12, labels, 0)) == 0.5
    assert math.isnan(accuracy(None))
    assert math.isnan(accuracy(torch.full_like(labels, -1)))


def test_a_quarter_tone_off_is_out_of_tune() -> None:
    data = Plucks(8000, 4096, 24, {"test": 96})
    sounds, labels = data.clips("test", range(96))[0], data.labels(range(96))
    slower = pitch_metrics(sounds, round(8000 * 2 ** (-0.5 / 12)), LOWEST, 24, labels)
    assert slower["in_tune"].value == 0
    assert slower["voiced"].value == 1
