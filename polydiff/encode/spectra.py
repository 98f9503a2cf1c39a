"""The distance between spectra of waveforms at several resolutions.

Each resolution adds the spectral convergence |S - S'| / |S| and the mean of |log S - log S'|, S the magnitudes of the
short-time Fourier transform (Yamamoto et al., Parallel WaveGAN, 2020, https://arxiv.org/abs/1910.11480).

Symbols: B batch, C channels, T samples.
"""

from __future__ import annotations

import torch
from torch import Tensor

WINDOWS = (64, 256, 1024)
"""Lengths of the windows in samples; the hop is a quarter."""
FLOOR = 1e-3
"""Least magnitude that counts as sound, in states of unit variance, relative to the root of the window."""


def spectral_distance(x: Tensor, y: Tensor) -> Tensor:
    """Return the distance of waveforms y from x, (B, C, T) each, as (B,)."""
    parts = [resolution(x, y, window) for window in WINDOWS if window <= x.shape[-1]]
    return torch.stack(parts).mean(0)


def resolution(x: Tensor, y: Tensor, window: int) -> Tensor:
    """Return the distance (B,) of waveforms y from x, (B, C, T) each, at one length of the window."""
    one, other = magnitudes(x, window), magnitudes(y, window)
    floor = FLOOR * window**0.5
    size = one[0].numel() ** 0.5
    convergence = (one - other).flatten(1).norm(dim=1) / one.flatten(1).norm(dim=1).clamp_min(floor * size)
    logs = (one.clamp_min(floor).log() - other.clamp_min(floor).log()).abs().flatten(1).mean(1)
    found: Tensor = convergence + logs
    return found


def magnitudes(x: Tensor, window: int) -> Tensor:
    """Return magnitudes (B, C, frequencies, frames) of the short-time Fourier transform of waveforms (B, C, T)."""
    weights = torch.hann_window(window, device=x.device, dtype=x.dtype)
    found = torch.stft(x.flatten(0, 1), window, window // 4, window=weights, return_complex=True)
    squares = found.real.square() + found.imag.square()
    roots: Tensor = (squares + 1e-12).sqrt().unflatten(0, x.shape[:2])
    return roots
