"""The codec between sounds and states: unit variance, whitening, and exact inversion."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from polydiff.core.space import normal
from polydiff.core.streams import streams
from polydiff.domains.audio.codec import KNOTS, Standardise, mirrored, spectrum
from polydiff.domains.audio.config import AudioConfig, AudioData
from polydiff.domains.audio.domain import Audio
from polydiff.support.errors import UserError


def coloured(n: int, length: int, tilt: float = 0.95) -> Tensor:
    """Return noise of which each sample is `tilt` times the one before and something new: much low, little high."""
    noise = normal(streams(0, "coloured", range(n)), (1, length + 200), "cpu")
    out = torch.zeros_like(noise)
    for t in range(1, noise.shape[-1]):
        out[..., t] = tilt * out[..., t - 1] + noise[..., t]
    return 0.05 * out[..., 200:]


CLIPS = coloured(256, 512)


@given(st.integers(2, 700), st.floats(0, 1), st.integers(1, 2))
def test_states_become_the_same_sounds_at_any_length(length: int, whiten: float, channels: int) -> None:
    codec = Standardise.measure(CLIPS, whiten)
    sound = normal(streams(1, "sound", range(2)), (channels, length), "cpu")
    torch.testing.assert_close(codec.decode(codec.encode(sound)), sound, rtol=0, atol=1e-5)


@pytest.mark.parametrize("whiten", [0.0, 0.5, 1.0])
def test_whitening_removes_the_configured_share_of_the_slope(whiten: float) -> None:
    """For noise with power 1 / |1 - 0.95 e^{-iw}|^2, a slope of 32 dB, the share 1 - w in dB remains."""
    codec = Standardise.measure(CLIPS, whiten)
    states = codec.encode(CLIPS)
    assert states.square().mean().sqrt() == pytest.approx(1, rel=1e-5)
    angles = torch.linspace(0, math.pi, KNOTS, dtype=torch.float64)[2:-2]
    truth = -10 * torch.log10(1 + 0.95**2 - 2 * 0.95 * angles.cos())
    left = spectrum(states)[2:-2]
    torch.testing.assert_close(left - left.mean(), (1 - whiten) * (truth - truth.mean()), rtol=0, atol=1.0)


def test_without_the_filter_a_state_is_the_scaled_sound() -> None:
    codec = Standardise.measure(CLIPS)
    assert codec.gains == ()
    torch.testing.assert_close(codec.encode(CLIPS), CLIPS / CLIPS.square().mean().sqrt())


@pytest.mark.parametrize("length", [9, 16])
def test_the_volume_is_that_of_the_whole_map(length: int) -> None:
    """The log volume is the log-determinant of the matrix of decode."""
    codec = Standardise.measure(CLIPS, 0.7)
    matrix = codec.decode(torch.eye(length)[:, None])[:, 0].double()
    assert codec.log_volume((1, length)) == pytest.approx(torch.linalg.slogdet(matrix)[1].item(), abs=1e-3)
    assert codec.log_volume((2, length)) == pytest.approx(2 * codec.log_volume((1, length)))


def test_the_filter_shifts_no_frequency_in_time() -> None:
    """The filter is zero-phase: a tone far from the ends keeps its position and shape."""
    codec = Standardise.measure(CLIPS, 1.0)
    t = torch.arange(512)
    bump = torch.exp(-(((t - 256) / 40) ** 2)) * torch.cos(2 * math.pi * 0.2 * (t - 256))
    state = codec.encode(bump[None, None])[0, 0]
    assert (state @ bump / (state.norm() * bump.norm())).item() > 0.99
    assert state.abs().argmax() == 256


def test_the_amplification_of_empty_bands_is_bounded() -> None:
    tone = torch.sin(torch.arange(512) * 0.5).expand(4, 1, 512)
    gains = Standardise.measure(tone, 1.0).gains
    assert max(gains) == pytest.approx(60, abs=1e-4)
    assert mirrored(tone).shape == (4, 1, 513)


def test_silence_raises() -> None:
    with pytest.raises(UserError, match="silent or broken"):
        Standardise.measure(torch.zeros(2, 1, 64))
    with pytest.raises(UserError, match="silent or broken"):
        Standardise.measure(torch.zeros(2, 1, 64), 0.5)


@pytest.mark.parametrize("whiten", [0.0, 1.0])
def test_forget_removes_all_information_on_a_gap(whiten: float) -> None:
    """The gap contains another sound, or the silence of a damaged recording, whose edges are clicks."""
    audio = Audio(AudioConfig(data=AudioData(sample_rate=8000, length=1001, n_train=64, n_test=4, whiten=whiten)))
    sounds, _ = audio.clips.source.clips("test", range(3))
    mask = torch.ones(3, 1, 1001)
    mask[0, :, 300:400], mask[1, :, :200], mask[1, :, 900:], mask[2] = 0, 0, 0, 0
    damaged = torch.where(mask == 1, sounds, torch.tensor(5.0))
    x, y = (audio.forget(audio.codec.encode(z), mask, audio.states.space(3, 1001)) for z in (sounds, damaged))
    known = (mask == 1).expand_as(x) if whiten == 0 else torch.ones_like(x, dtype=torch.bool)
    torch.testing.assert_close(x[known], y[known], rtol=0, atol=2e-3)
    torch.testing.assert_close(audio.codec.decode(y)[mask == 1], sounds[mask == 1], rtol=0, atol=1e-4)
    assert float(y[0][known[0]].abs().max()) < 20
