"""Distances of pairs of sounds against analytic values and explicit sums."""

from __future__ import annotations

import cmath
import math
import sys
from collections.abc import Callable

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from polydiff.domains.audio.metrics.distances import (
    log_spectral_distance,
    multi_resolution_distance,
    pesq,
    si_snr,
    snr,
    stoi,
)
from polydiff.support.errors import UserError

RATE = 16000


def noise(*shape: int, seed: int = 0) -> Tensor:
    return 0.1 * torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def lsd(x: Tensor, truth: Tensor) -> Tensor:
    return log_spectral_distance(x, truth, RATE)


ALL: list[Callable[[Tensor, Tensor], Tensor]] = [lsd, multi_resolution_distance, si_snr, snr]


@pytest.mark.parametrize("distance", ALL)
def test_a_distance_depends_on_one_clip_and_is_the_mean_of_its_channels(distance: Callable[..., Tensor]) -> None:
    x, truth = noise(5, 2, 3000), noise(5, 2, 3000, seed=1)
    together = distance(x, truth)
    assert together.shape == (5,)
    order = torch.tensor([3, 0, 4, 1, 2])
    torch.testing.assert_close(distance(x[order], truth[order]), together[order], rtol=1e-12, atol=0)
    apart = [distance(x[:, c : c + 1], truth[:, c : c + 1]) for c in range(2)]
    torch.testing.assert_close(torch.stack(apart).mean(0), together, rtol=1e-12, atol=0)


@given(st.floats(0.1, 20), st.sampled_from([-1, 1]))
def test_the_distance_of_a_gain_is_its_decibels(size: float, sign: int) -> None:
    truth, gain = 10 * noise(1, 1, 4096).double(), size * sign
    x = truth * 10 ** (gain / 20)
    assert float(lsd(x, truth)) == pytest.approx(abs(gain) / 10, abs=1e-12)
    amplitude = 10 ** (gain / 20)
    expected = abs(1 - amplitude) + abs(math.log(amplitude))
    assert float(multi_resolution_distance(x, truth)) == pytest.approx(expected, abs=1e-3)  # a few powers are clamped
    assert float(snr(x, truth)) == pytest.approx(-20 * math.log10(abs(1 - amplitude)), abs=1e-9)


def test_log_spectral_distance_is_the_sum_of_its_definition() -> None:
    x, truth = noise(1, 1, 256).double(), noise(1, 1, 256, seed=1).double()
    size, hop = 256, 64
    window = [0.5 - 0.5 * math.cos(2 * math.pi * i / size) for i in range(size)]

    def powers(sound: Tensor, frame: int) -> list[float]:
        places = [abs(frame * hop + i - size // 2) for i in range(size)]
        places = [p if p < 256 else 2 * 255 - p for p in places]
        values = [window[i] * float(sound[0, 0, p]) for i, p in enumerate(places)]
        waves = [[cmath.exp(-2j * math.pi * k * i / size) for i in range(size)] for k in range(size // 2 + 1)]
        return [max(abs(sum(v * w for v, w in zip(values, wave, strict=True))) ** 2, 1e-8) for wave in waves]

    total = 0.0
    for frame in range(5):
        pairs = list(zip(powers(x, frame), powers(truth, frame), strict=True))
        total += math.sqrt(sum((math.log10(a) - math.log10(b)) ** 2 for a, b in pairs) / len(pairs))
    assert float(lsd(x, truth)) == pytest.approx(total / 5, rel=1e-9)


def test_the_distance_in_a_band_ignores_other_frequencies() -> None:
    truth = noise(2, 1, 8193).double()
    high = truth + torch.cos(2 * math.pi * 6000 / RATE * torch.arange(8193))  # goes on where it is reflected

    def within(low: float, top: float) -> Tensor:
        return log_spectral_distance(high, truth, RATE, (low, top))

    assert float(within(0, 5000).max()) < 1e-2
    assert float(within(5990, 6010).min()) > 2
    only = log_spectral_distance(2 * truth, truth, RATE, (4000.0, 4000.0))
    torch.testing.assert_close(only, torch.full((2,), 2 * math.log10(2), dtype=torch.float64))
    with pytest.raises(ValueError, match="No frequency of a frame"):
        within(4001, 4002)


def test_a_distance_of_silence_is_bounded_by_the_floor() -> None:
    silence, loud = torch.zeros(1, 1, 4096), noise(1, 1, 4096)
    assert float(lsd(silence, silence)) == 0
    assert 4 < float(lsd(silence, loud)) < 12
    assert float(lsd(1e-6 * loud, silence)) == pytest.approx(0, abs=1e-3)
    assert math.isfinite(float(multi_resolution_distance(loud, silence)))
    assert math.isnan(float(si_snr(loud, silence)))


def test_multi_resolution_distance_is_its_two_parts_at_three_resolutions() -> None:
    x, truth = noise(1, 1, 4096), noise(1, 1, 4096, seed=1)
    parts = []
    for size, hop, window in ((1024, 120, 600), (2048, 240, 1200), (512, 50, 240)):
        hann = torch.hann_window(window, dtype=torch.float64)
        a, b = (
            torch.stft(y[0, 0].double(), size, hop, window, hann, return_complex=True).abs().clamp(min=1e-7**0.5)
            for y in (x, truth)
        )
        parts.append(torch.linalg.norm(b - a) / torch.linalg.norm(b) + (b.log() - a.log()).abs().mean())
    assert float(multi_resolution_distance(x, truth)) == pytest.approx(float(sum(parts)) / 3, rel=1e-9)
    assert float(multi_resolution_distance(x, x)) == 0
    assert float(multi_resolution_distance(3 * x, x)) > float(multi_resolution_distance(x, 3 * x))


@given(st.floats(-10, 40), st.floats(0.01, 100))
def test_si_snr_is_the_ratio_of_orthogonal_noise_and_blind_to_scale_and_offset(decibels: float, scale: float) -> None:
    truth, other = (y - y.mean() for y in (noise(1, 1, 2000).double(), noise(1, 1, 2000, seed=1).double()))
    other = other - truth * (other * truth).sum() / truth.square().sum()
    other = other * (truth.norm() / other.norm()) * 10 ** (-decibels / 20)
    assert float(si_snr(truth + other, truth)) == pytest.approx(decibels, abs=1e-9)
    assert float(si_snr(scale * (truth + other) + 0.3, truth)) == pytest.approx(decibels, abs=1e-6)
    assert float(snr(truth + other, truth)) == pytest.approx(decibels, abs=1e-9)


@pytest.mark.parametrize("length", [256, 300, 1000, 2047])
def test_clips_shorter_than_a_frame_have_distances(length: int) -> None:
    truth = noise(2, 1, length).double()
    torch.testing.assert_close(lsd(10 * truth, truth), torch.full((2,), 2.0, dtype=torch.float64))
    assert (multi_resolution_distance(noise(2, 1, length, seed=1), truth) > 0.5).all()


def test_missing_speech_packages_raise_with_the_install_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pesq", None)
    monkeypatch.setitem(sys.modules, "pystoi", None)
    for measure in (pesq, stoi):
        with pytest.raises(UserError, match=r'pip install "polydiff\[speech\]"'):
            measure(noise(1, 1, RATE), noise(1, 1, RATE), RATE)
    with pytest.raises(UserError, match="8000 and 16000 Hz, not 44100"):
        pesq(noise(1, 1, RATE), noise(1, 1, RATE), 44100)


def speechlike(seconds: float = 2.0) -> Tensor:
    """Return a buzz with a moving formant, in bursts, which these metrics accept as speech."""
    t = torch.arange(int(seconds * RATE), dtype=torch.float64) / RATE
    buzz = sum((torch.cos(2 * math.pi * 120 * k * t) / k for k in range(1, 25)), torch.zeros_like(t))
    bursts = (torch.sin(2 * math.pi * 3 * t) > -0.3) * (1 + 0.5 * torch.sin(2 * math.pi * 7 * t))
    return (0.1 * buzz * bursts).float()[None, None]


@pytest.mark.parametrize(("name", "best", "chance"), [("pesq", 4.5, 3.0), ("pystoi", 0.99, 0.8)])
def test_measures_of_speech_fall_with_noise(name: str, best: float, chance: float) -> None:
    pytest.importorskip(name)
    measure = {"pesq": pesq, "pystoi": stoi}[name]
    truth = speechlike()
    values = [float(measure(truth + level * noise(*truth.shape), truth, RATE)) for level in (0.0, 0.5, 5.0)]
    assert values == sorted(values, reverse=True)
    assert values[0] > best
    assert values[2] < chance
