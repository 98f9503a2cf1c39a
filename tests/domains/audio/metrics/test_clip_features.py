"""Tests of `polydiff.domains.audio.metrics.clip_features`."""

from __future__ import annotations

import math

import pytest
import torch
from audio_evaluation_cases import LENGTH, RATE, generator, reference, tones, values
from hypothesis import given
from hypothesis import strategies as st

from polydiff.domains.audio.chunks import each
from polydiff.domains.audio.metrics.clip_features import Measured, attack_and_ripple, rms_decibels
from polydiff.domains.audio.metrics.sample_set import sound_metrics


@given(st.floats(200, 3500), st.floats(-0.3, 0.3), st.integers(1, 2))
def test_levels_of_a_tone_are_known(f: float, shift: float, channels: int) -> None:
    f = round(f * LENGTH / RATE) * RATE / LENGTH  # whole periods, so that it does not leak
    measured = Measured.of(tones(torch.tensor([f], dtype=torch.float64), channels=channels) + shift, RATE)
    assert float(measured.level) == pytest.approx(10 * math.log10(1 / 8 + shift**2), abs=1e-4)
    assert float(measured.offset) == pytest.approx(100 * abs(shift), abs=1e-3)  # in %, of float32 tones
    assert float(measured.centroid) == pytest.approx(f, rel=1e-6)
    assert float(measured.peak) == pytest.approx(0.5 + abs(shift), abs=0.01)


def test_clips_of_different_lengths_keep_their_order() -> None:
    sounds = [torch.full((1, n), float(i)) for i, n in enumerate([5, 900, 5, 7, 900, 1])]
    assert each(lambda x: x.mean((1, 2)), sounds).tolist() == [0, 1, 2, 3, 4, 5]
    many = list(torch.arange(700.0)[:, None, None].expand(-1, 1, 3))
    assert torch.equal(each(lambda x: x[:, 0, 0], many), torch.arange(700.0))


def test_long_clips_are_measured_in_small_chunks() -> None:
    sizes: list[int] = []
    each(lambda x: (sizes.append(len(x)), x[:, 0, 0])[1], [torch.zeros(2, 3_000_000)] * 3 + [torch.zeros(2, 9)] * 300)
    assert sizes == [1, 1, 1, 256, 44]


def test_shifts_of_level_and_offset_are_measured_and_shares_are_shares() -> None:
    train = 0.1 * torch.randn(300, 1, LENGTH, generator=generator())
    known = reference(train, train)
    louder = values(sound_metrics(Measured.of(2 * train, RATE), known))
    assert louder["level_error"] == pytest.approx(20 * math.log10(2), rel=1e-3)
    assert (louder["silent"], louder["clipped"]) == (0, 0)
    shifted = train - train.mean(2, keepdim=True)
    moved = values(sound_metrics(Measured.of(shifted + 0.25, RATE), reference(shifted, shifted)))
    assert moved["offset_error"] == pytest.approx(25, rel=1e-3)
    assert moved["centroid_error"] == pytest.approx(0, abs=1e-2)  # the constant part has no place in a spectrum
    half = torch.cat([1e-6 * train[:150], 100 * train[:150]])
    judged = values(sound_metrics(Measured.of(half, RATE), known))
    assert (judged["silent"], judged["clipped"]) == (0.5, 0.5)
    assert float(rms_decibels(torch.ones(1, 1, 100))) == pytest.approx(0)


def test_a_spectrum_that_moves_up_is_measured_in_hertz() -> None:
    f = torch.linspace(300, 1000, 200)
    known = reference(tones(f), tones(f))
    judged = values(sound_metrics(Measured.of(tones(f + 500), RATE), known))
    assert judged["centroid_error"] == pytest.approx(500, rel=0.01)


def times(rate: int = RATE) -> torch.Tensor:
    """Return the times of the samples of a second."""
    return torch.arange(rate, dtype=torch.float64) / rate


def shaped(envelope: torch.Tensor, f: float = 1000) -> torch.Tensor:
    """Return a tone with an envelope of a second (T,), as a clip (1, 1, T)."""
    return (envelope * torch.cos(2 * math.pi * f * times(len(envelope))))[None, None]


@given(st.floats(0.1, 0.4), st.floats(0.05, 0.8), st.sampled_from([1000, 2000, RATE, 11_025]), st.floats(-0.2, 0.2))
def test_the_attack_of_a_linear_ramp_is_four_fifths_of_it(
    seconds: float, loudness: float, rate: int, dc: float
) -> None:
    x = shaped(loudness * ((times(rate) - 0.2) / seconds).clamp(0, 1), rate / 8) + dc
    attack, ripple = attack_and_ripple(x, rate)
    assert float(attack) == pytest.approx(800 * seconds, abs=15)
    assert float(ripple) == pytest.approx(0, abs=1)  # a constant end


@pytest.mark.parametrize("f", [110.0, 220.0, 441.0, 503.0, 1000.0])
def test_a_pluck_has_no_ripple_and_each_swell_adds_its_height(f: float) -> None:
    t = times()
    attack, ripple = attack_and_ripple(shaped(0.5 * torch.exp(-3 * t) * (t > 0.1), f), RATE)
    assert float(attack) <= 20
    assert float(ripple) == pytest.approx(0, abs=0.05)
    assert float(attack_and_ripple(shaped(0.5 * torch.exp(-3 * t), f), RATE)[0]) == 0
    loudest = (t <= 0.25).double()  # the first of four swells
    decibel = loudest - 6 * torch.sin(4 * math.pi * (t - 0.125)) ** 2
    assert float(attack_and_ripple(shaped(0.5 * 10 ** (decibel / 20), f), RATE)[1]) == pytest.approx(3 * 6, rel=0.1)


def test_silence_and_clips_that_are_not_finite_have_neither() -> None:
    x = torch.stack([torch.zeros(1, RATE), *(shaped(torch.ones(RATE))[0] for _ in range(3))])
    x[1, 0, 5], x[2, 0, 5] = math.nan, math.inf
    for found in attack_and_ripple(x, RATE):
        assert found.isfinite().tolist() == [False, False, False, True]


def test_very_short_clips_and_low_rates_have_an_attack() -> None:
    for length, rate in ((1, 8000), (3, 8000), (50, 20), (400, 100)):
        clips = torch.randn(2, 1, length, dtype=torch.float64, generator=generator()) + 1
        assert all(found.shape == (2,) for found in attack_and_ripple(clips, rate))
    assert torch.stack(attack_and_ripple(clips, rate)).isfinite().all()
