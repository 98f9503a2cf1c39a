"""The distance between spectra."""

from __future__ import annotations

import math

import torch

from polydiff.encode.spectra import magnitudes, spectral_distance


def tone(frequency: float, amplitude: float = 1.0, length: int = 8192) -> torch.Tensor:
    return amplitude * torch.sin(2 * math.pi * frequency * torch.arange(length))[None, None]


def test_equal_sounds_have_distance_0_and_finite_gradients() -> None:
    x = tone(0.1).requires_grad_()
    distance = spectral_distance(x, x.detach())
    assert distance.item() == 0
    spectral_distance(tone(0.1), x * 0.5).sum().backward()
    assert x.grad is not None
    assert x.grad.isfinite().all()
    silent = torch.zeros(1, 1, 8192, requires_grad=True)
    spectral_distance(tone(0.1), silent).sum().backward()
    assert silent.grad is not None
    assert silent.grad.isfinite().all()


def test_a_change_of_phase_costs_less_than_one_of_pitch() -> None:
    x = tone(0.1)
    shifted = torch.roll(x, 3, -1)
    assert spectral_distance(x, shifted) < 0.2 * spectral_distance(x, tone(0.13))


def test_half_the_amplitude_costs_a_half_and_the_log_of_2() -> None:
    x = torch.randn(2, 1, 4096, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(spectral_distance(x, x / 2), torch.full((2,), 0.5 + math.log(2)), rtol=0.01, atol=0)


def test_silence_does_not_outweigh_other_sounds() -> None:
    noise = 0.1 * torch.randn(2, 1, 4096, generator=torch.Generator().manual_seed(0))
    x = torch.cat([torch.zeros(1, 1, 4096), noise[:1]])
    silent, loud = spectral_distance(x, noise + 0.05).tolist()
    assert silent < 300
    assert loud < 3


def test_magnitudes_keep_the_energy_of_a_window() -> None:
    x = torch.randn(1, 1, 8192, generator=torch.Generator().manual_seed(0))
    found = magnitudes(x, 256)[..., 1:-1, :].square().mean()
    window = torch.hann_window(256)
    torch.testing.assert_close(found, window.square().sum(), rtol=0.05, atol=0)
