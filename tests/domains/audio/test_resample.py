"""Tests of `polydiff.domains.audio.resample`."""

from __future__ import annotations

import math

import pytest
import torch
import torchaudio

from polydiff.domains.audio import resample
from polydiff.domains.audio.resample import MOST, has_kernel, interpolated


@pytest.mark.parametrize(("p", "q"), [(441, 160), (160, 441), (3, 1), (1, 3), (147, 160), (5507, 1000)])
def test_the_filter_is_that_of_torchaudio(p: int, q: int) -> None:
    x = torch.randn(2, 4000, generator=torch.Generator().manual_seed(0))
    expected = torchaudio.functional.resample(x, p, q)
    n = expected.shape[1]
    torch.testing.assert_close(interpolated(x, 0, 0, n, p, q), expected, rtol=0, atol=2e-4)
    middle = interpolated(x[:, 700:], 700, n // 2, 50, p, q)
    torch.testing.assert_close(middle, expected[:, n // 2 : n // 2 + 50], rtol=0, atol=2e-4)


@pytest.mark.parametrize(("p", "q"), [(44101, 8000), (1_000_003, 8000), (8000, 44101), (7999, 16001)])
@pytest.mark.parametrize("hertz", [250, 1000, 2500])
def test_a_tone_keeps_its_frequency_and_amplitude_at_any_rates(p: int, q: int, hertz: int) -> None:
    x = 0.5 * torch.sin(2 * math.pi * hertz * torch.arange(p // 4) / p)
    y = interpolated(x[None], 0, q // 16, q // 16, p, q)[0]
    expected = 0.5 * torch.sin(2 * math.pi * hertz * torch.arange(q // 16, q // 8) / q)
    torch.testing.assert_close(y, expected, rtol=0, atol=5e-3)
    spectrum = torch.fft.rfft(y * torch.hann_window(len(y))).abs()
    assert abs(int(spectrum.argmax()) - hertz * len(y) / q) <= 1


def test_frequencies_above_the_new_rate_are_removed() -> None:
    x = torch.sin(2 * math.pi * 7000 * torch.arange(44101 // 4) / 44101)
    assert float(interpolated(x[None], 0, 500, 500, 44101, 8000).abs().max()) < 1e-2


@pytest.mark.parametrize(("p", "q"), [(44101, 8000), (1_000_000, 7999), (44099, 6857)])
def test_a_large_kernel_is_never_made(p: int, q: int, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not has_kernel(p // math.gcd(p, q), q // math.gcd(p, q))
    largest = []
    monkeypatch.setattr(torch, "where", lambda *a, where=torch.where: (largest.append(a[1].numel()), where(*a))[1])
    interpolated(torch.zeros(1, 200_000), 0, 0, 2000, p, q)
    assert max(largest) <= MOST


def test_usual_rates_have_a_kernel() -> None:
    rates = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000, 88200, 96000, 192_000)
    for rate in rates:
        for other in rates:
            divisor = math.gcd(rate, other)
            assert has_kernel(rate // divisor, other // divisor)
    assert resample.kernel.cache_info().maxsize * MOST * 4 <= 2**27
