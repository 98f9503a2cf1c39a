"""Recordings at a low rate: filters against scipy's, resampling against exact results."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import signal
from torch import Tensor
from torch.testing import assert_close

from polydiff.core.streams import streams
from polydiff.domains.audio.tasks.low_rate import (
    CUTOFFS,
    KINDS,
    LowPass,
    draw_low_pass,
    raised,
    record,
    reflected,
    with_low_band,
)

RATE = 16000


def tones(frequencies: list[float], length: int, rate: int = RATE) -> Tensor:
    """Return cosines, in float64, that are symmetric about the first sample."""
    n = torch.arange(length, dtype=torch.float64)
    return sum((torch.cos(2 * math.pi * f / rate * n) for f in frequencies), torch.zeros(length).double())[None, None]


@pytest.mark.parametrize("order", [2, 5, 8])
def test_filters_are_those_of_scipy(order: int) -> None:
    f = np.linspace(0, 3 * 4000, 50)
    for ours, theirs in (
        (LowPass("butterworth", 4000, order), signal.butter(order, 4000, analog=True)),
        (LowPass("chebyshev", 4000, order, 0.5), signal.cheby1(order, 0.5, 4000, analog=True)),
    ):
        expected = np.abs(signal.freqs(*theirs, worN=f)[1])
        np.testing.assert_allclose(ours(torch.from_numpy(f)).numpy(), expected, atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_a_filter_passes_low_frequencies_and_stops_high_ones(kind: str) -> None:
    response = LowPass(kind, 4000, 8)(torch.tensor([0.0, 2000, 3000, 8000], dtype=torch.float64))  # type: ignore[arg-type]
    assert (response[:3] > 0.98).all()
    assert response[3] < 0.01
    assert (response <= 1).all()


def test_training_filters_differ_and_depend_only_on_their_generator() -> None:
    drawn = [draw_low_pass(8000, g) for g in streams(0, "filter", range(400))]
    assert drawn[:7] == [draw_low_pass(8000, g) for g in streams(0, "filter", range(7))]
    assert {low_pass.kind for low_pass in drawn} == set(KINDS)
    cutoffs = torch.tensor([low_pass.cutoff for low_pass in drawn]) / 4000
    assert (cutoffs.min() - CUTOFFS[0]).abs() < 0.01
    assert (cutoffs.max() - CUTOFFS[1]).abs() < 0.01
    assert all(float(low_pass(torch.tensor([1000.0]))) > 0.85 for low_pass in drawn)


@pytest.mark.parametrize(("rate", "low"), [(16000, 8000), (16000, 4000), (44100, 16000), (48000, 44100)])
def test_a_band_limited_sound_is_recorded_and_raised_without_loss(rate: int, low: int) -> None:
    length = 6001
    x = tones([low * 0.1, low * 0.23, low * 0.31], length, rate)
    recording = record(x, rate, low, [LowPass("brickwall", low / 2)])
    assert recording.shape[-1] == -(-length * low // rate)
    inner = slice(600, -600)  # at its end a tone is not what it is reflected to
    n = torch.arange(recording.shape[-1], dtype=torch.float64)
    expected = sum((torch.cos(2 * math.pi * f / low * n) for f in (low * 0.1, low * 0.23, low * 0.31)), 0 * n)
    assert float((recording[0, 0] - expected)[inner].abs().max()) < 0.02
    assert float((raised(recording, rate, low, length) - x)[..., inner].abs().max()) < 0.02


@pytest.mark.parametrize("kind", KINDS)
def test_recording_is_filtering_and_keeping_every_other_sample(kind: str) -> None:
    low_pass = LowPass(kind, 3900, 6, 0.3)  # type: ignore[arg-type]
    x = torch.randn(3, 2, 1000, generator=torch.Generator().manual_seed(0)).double()
    padded = reflected(x, 512, 512)
    f = torch.fft.rfftfreq(padded.shape[-1], 1 / RATE, dtype=torch.float64)
    filtered = torch.fft.irfft(torch.fft.rfft(padded) * low_pass(f), padded.shape[-1])[..., 512:-512]
    assert_close(record(x, RATE, 8000, [low_pass] * 3), filtered[..., ::2], rtol=1e-10, atol=1e-10)
    for every in (3, 4):
        assert record(x, RATE, RATE // every, [low_pass] * 3).shape[-1] == -(-1000 // every)


def test_frequencies_above_half_the_low_rate_are_aliased() -> None:
    x = tones([4500], 4001)
    low = record(x, RATE, 8000, [LowPass("butterworth", 4000, 4)])
    passed = LowPass("butterworth", 4000, 4)(torch.tensor(4500.0, dtype=torch.float64))
    assert_close(low, passed * tones([3500], 2001, 8000), rtol=0, atol=1e-5)
    assert float(record(x, RATE, 8000, [LowPass("brickwall", 4000)]).abs().max()) < 0.01


def test_raising_is_scipys_resampling_of_a_periodic_recording() -> None:
    n = torch.arange(64, dtype=torch.float64)
    one = torch.cos(2 * math.pi * 5 * n / 64) + 0.3 * torch.sin(2 * math.pi * 11 * n / 64)
    low = one.repeat(20)[None, None]
    whole = raised(low, 3, 2, 1920)
    expected = torch.from_numpy(signal.resample(one.numpy(), 96)).repeat(20)
    assert float((whole[0, 0] - expected)[400:-400].abs().max()) < 0.01


@given(st.integers(1, 400), st.sampled_from([(16000, 8000), (44100, 16000), (48000, 44100)]))
def test_any_length_is_restored(length: int, rates: tuple[int, int]) -> None:
    x = torch.ones(1, 1, length, dtype=torch.float64)
    low = record(x, *rates, [LowPass("brickwall", rates[1] / 2)])
    assert low.shape[-1] == -(-length * rates[1] // rates[0])
    assert_close(raised(low, *rates, length), x)


def test_each_clip_has_its_own_filter_and_is_independent_of_others() -> None:
    x = torch.randn(3, 1, 500, generator=torch.Generator().manual_seed(0))
    filters = [draw_low_pass(8000, g) for g in streams(0, "filter", range(3))]
    together = record(x, RATE, 8000, filters)
    apart = torch.cat([record(x[i : i + 1], RATE, 8000, filters[i : i + 1]) for i in range(3)])
    assert_close(together, apart)
    assert not torch.allclose(together[:1], record(x[:1], RATE, 8000, filters[1:2]), atol=1e-3)


def test_the_low_band_of_another_sound_is_copied() -> None:
    x, given = tones([6000], 4001), tones([1000, 5000], 4001)
    assert_close(with_low_band(x, given, RATE, 4000.0), tones([1000, 6000], 4001), rtol=0, atol=1e-3)
    assert_close(with_low_band(x, x, RATE, 4000.0), x)
