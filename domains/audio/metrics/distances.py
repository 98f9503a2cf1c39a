r"""Distances between sounds and their true versions, for each clip.

All functions take sounds and truths of the same shape (B, C, T), with full scale 1, and return the mean over channels
of each clip, shape (B,). Clips of a batch do not affect each other.

$$ \mathrm{LSD} = \operatorname{mean}_t \sqrt{\operatorname{mean}_f \left(\log_{10} P_{ft} - \log_{10} \hat P_{ft}
   \right)^2}, \qquad \text{SI-SNR} = 10 \log_{10} \frac{\|a s\|^2}{\|a s - \hat s\|^2}, \quad
   a = \frac{\langle \hat s, s \rangle}{\|s\|^2}. $$

Symbols: s truth, P power of its spectrogram, t frame, f frequency, hats estimates; B clips, C channels, T samples.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable
from types import ModuleType

import torch
from torch import Tensor

from polydiff.support.errors import UserError

FLOOR = 1e-8
"""Lower bound of a spectrogram's power in the log-spectral distance; a sine of full scale has 2.6e5."""
SIZE, OVERLAP = 2048, 4
"""Frame size of the log-spectral distance in samples, and number of frames over each sample."""
RESOLUTIONS = ((1024, 120, 600), (2048, 240, 1200), (512, 50, 240))
"""Multi-resolution distance: transform size, hop and window in samples (Yamamoto et al., 2020, table 1)."""
LEAST = 1e-7
"""Lower bound of a spectrogram's power in the multi-resolution distance."""


def log_spectral_distance(
    x: Tensor, truth: Tensor, sample_rate: int, band: tuple[float, float] | None = None
) -> Tensor:
    """Return the log-spectral distance in units of 10 dB: a gain of g dB has the distance g / 10.

    Frames are Hann windows of 2048 samples, or of the largest power of two that fits into a shorter clip. Four frames
    overlap at each sample. Powers are clamped to at least 1e-8. (Kuleshov et al., 2017,
    https://arxiv.org/abs/1708.00853; the clamp is that of Yu et al., 2023, https://arxiv.org/abs/2210.15793)

    Arguments:
        x: Estimated sounds, shape (B, C, T).
        truth: True sounds, shape (B, C, T).
        sample_rate: In Hz.
        band: Lowest and highest frequency in Hz, both included; None: all frequencies.

    Returns:
        Shape (B,).

    Raises:
        ValueError: The band contains no frequency of a frame.
    """
    size = frame_size(SIZE, x.shape[-1])
    difference = log_power(x, size) - log_power(truth, size)
    if band is not None:
        f = torch.fft.rfftfreq(size, 1 / sample_rate, dtype=torch.float64, device=x.device)
        inside = (f >= band[0]) & (f <= band[1])
        if not bool(inside.any()):
            raise ValueError(f"No frequency of a frame of {size} samples at {sample_rate} Hz lies in {band} Hz.")
        difference = difference[..., inside, :]
    frequency, frame = -2, -1
    return difference.square().mean(frequency, keepdim=True).sqrt().mean((frequency, frame)).mean(1)


def log_power(x: Tensor, size: int) -> Tensor:
    """Return log10 of the power of frames, at least log10 of `FLOOR`, shape (B, C, frequencies, frames)."""
    return spectrum(x, size, size // OVERLAP, size).abs().square().clamp(min=FLOOR).log10()


def multi_resolution_distance(x: Tensor, truth: Tensor) -> Tensor:
    r"""Return the mean over three resolutions of spectral convergence plus the distance of log magnitudes, shape (B,).

    || |S| - |S^| ||_F / || |S| ||_F + mean | log |S| - log |S^| |, natural logarithm, with the powers |S|^2 at least
    1e-7 (Yamamoto et al., 2020, Parallel WaveGAN, equations 4 to 6, https://arxiv.org/abs/1910.11480). It is not
    symmetric, because the first term is relative to the truth. For clips shorter than a transform, the transform, hop
    and window shrink in proportion.

    Arguments:
        x: Estimated sounds, shape (B, C, T).
        truth: True sounds, shape (B, C, T).
    """
    parts = []
    for n_fft, hop, window in RESOLUTIONS:
        size = frame_size(n_fft, x.shape[-1])
        sizes = (size, max(1, hop * size // n_fft), window * size // n_fft)
        a, b = (spectrum(y, *sizes).abs().square().clamp(min=LEAST).sqrt() for y in (x, truth))
        convergence = (b - a).square().sum((-2, -1)).sqrt() / b.square().sum((-2, -1)).sqrt()
        parts.append(convergence + (b.log() - a.log()).abs().mean((-2, -1)))
    return torch.stack(parts).mean(0).mean(1)


def spectrum(x: Tensor, size: int, hop: int, window: int) -> Tensor:
    """Return the short-time Fourier transform with a Hann window and reflected ends, complex128, (B, C, F, frames).

    Arguments:
        x: Sounds, (B, C, T).
        size: Length of a transform in samples; F = size / 2 + 1.
        hop: Samples from one frame to the next.
        window: Length of the window in samples, at most `size`.
    """
    hann = torch.hann_window(window, dtype=torch.float64, device=x.device)
    frames = torch.stft(x.double().flatten(0, 1), size, hop, window, hann, return_complex=True)
    apart: Tensor = frames.unflatten(0, x.shape[:2])
    return apart


def frame_size(size: int, length: int) -> int:
    """Return a size, or the largest power of two that fits into a clip of `length` samples if that is smaller."""
    return min(size, 1 << int(math.log2(length)))


def si_snr(x: Tensor, truth: Tensor) -> Tensor:
    """Return the scale-invariant signal-to-noise ratio in dB of sounds without their mean, shape (B,).

    It is inf for a scaled truth, and NaN if the truth is silent. (Le Roux et al., 2019,
    https://arxiv.org/abs/1811.02508)
    """
    x, truth = (y.double() - y.double().mean(-1, keepdim=True) for y in (x, truth))
    scale = (x * truth).sum(-1, keepdim=True) / truth.square().sum(-1, keepdim=True)
    return decibels_above(scale * truth, x).mean(1)


def snr(x: Tensor, truth: Tensor) -> Tensor:
    """Return the signal-to-noise ratio in dB, shape (B,), with the difference as noise; inf for equal sounds."""
    return decibels_above(truth.double(), x.double()).mean(1)


def decibels_above(truth: Tensor, x: Tensor) -> Tensor:
    """Return the power of the truth over the power of the difference, in dB, shape (B, C)."""
    return 10 * torch.log10(truth.square().sum(-1) / (truth - x).square().sum(-1))


def pesq(x: Tensor, truth: Tensor, sample_rate: int) -> Tensor:
    """Return the perceptual evaluation of speech quality, 1 to 4.6, shape (B,): wide-band at 16, narrow-band at 8 kHz.

    It is defined for speech only, and NaN if no utterance is detected. (ITU-T P.862 and P.862.2, package pesq)

    Raises:
        UserError: The sample rate is another one, or the package is not installed.
    """
    if sample_rate not in (8000, 16000):
        raise UserError(f"PESQ is defined for 8000 and 16000 Hz, not {sample_rate}. Resample the sounds first.")
    package, mode = speech("pesq"), "wb" if sample_rate == 16000 else "nb"

    def score(a: Tensor, b: Tensor) -> float:
        found = package.pesq(sample_rate, b.numpy(), a.numpy(), mode, on_error=package.PesqError.RETURN_VALUES)
        return float(found) if found >= 0 else math.nan  # -1 if there is no utterance

    return scores(score, x, truth)


def stoi(x: Tensor, truth: Tensor, sample_rate: int) -> Tensor:
    """Return the short-time objective intelligibility of speech, at most 1, shape (B,) (Taal et al., 2011, by pystoi).

    Raises:
        UserError: The package is not installed.
    """
    package = speech("pystoi")
    return scores(lambda a, b: float(package.stoi(b.numpy(), a.numpy(), sample_rate)), x, truth)


def scores(score: Callable[[Tensor, Tensor], float], x: Tensor, truth: Tensor) -> Tensor:
    """Return the mean over channels of score(channel, true channel), shape (B,)."""
    pairs = zip(x.cpu().float().flatten(0, 1), truth.cpu().float().flatten(0, 1), strict=True)
    return torch.tensor([score(a, b) for a, b in pairs], dtype=torch.float64).reshape(x.shape[:2]).mean(1)


def speech(name: str) -> ModuleType:
    """Return a package of speech metrics; raise UserError if it is not installed."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise UserError(f'The package {name} is not installed. Install it: pip install "polydiff[speech]".') from error
