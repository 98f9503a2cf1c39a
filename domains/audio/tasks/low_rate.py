r"""Recordings at a low sample rate: downsampling through a low-pass filter, and band-limited interpolation back.

A recording at a low rate is the sound filtered by a low-pass H and resampled by q / p. Frequencies that the filter
passes above half the low rate are aliased. Both directions operate on the spectrum of the whole clip, reflected at its
ends, so they are exact for band-limited sounds:

$$ \hat y_k = \frac{q}{p} \sum_{m} H_{k + m N'} \hat x_{k + m N'}, $$

and back, with zeros above. Filters are zero-phase: only the magnitude |H| of the named filter is used.

Symbols: x sound of N samples, y recording of N' = N q / p samples, hats spectra, H response, p / q ratio of the rates.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor
from torch.nn import functional

Kind = Literal["brickwall", "hann", "butterworth", "chebyshev"]
KINDS: tuple[Kind, ...] = get_args(Kind)
CUTOFFS = (0.8, 1.0)
"""Range of cut-off frequencies in training, as shares of half the low rate."""
ORDERS = (4, 12)
"""Range of orders in training."""
RIPPLES = (0.01, 1.0)
"""Range of ripples in training, in dB, drawn log-uniformly."""
MARGIN = 256
"""Approximate number of samples, at the low rate, by which a clip is reflected at each end."""


@dataclass(frozen=True)
class LowPass:
    """The magnitude of a low-pass filter.

    With r = f / cutoff, "brickwall" is 1 for r <= 1. "hann" falls as a cosine around the cut-off, over 2 / order of it.
    "butterworth" is 1 / sqrt(1 + r^(2 order)). "chebyshev" is 1 / sqrt(1 + e^2 T(r)^2), with e^2 = 10^(ripple / 10) - 1
    and T the Chebyshev polynomial of this order.

    Arguments:
        kind: One of `KINDS`.
        cutoff: Cut-off frequency in Hz.
        order: Order of the filter; higher is steeper.
        ripple: Ripple below the cut-off in dB, for "chebyshev".
    """

    kind: Kind
    cutoff: float
    order: int = 8
    ripple: float = 0.05

    def __call__(self, f: Tensor) -> Tensor:
        """Return the magnitude at frequencies in Hz, of their shape."""
        r = f.abs() / self.cutoff
        match self.kind:
            case "brickwall":
                return (r <= 1).to(f)
            case "hann":
                return 0.5 + 0.5 * torch.cos(math.pi * ((r - 1) * self.order / 2 + 0.5).clamp(0, 1))
            case "butterworth":
                return (1 + r ** (2 * self.order)).rsqrt()
            case "chebyshev":
                inside, beyond = (
                    torch.cos(self.order * r.clamp(max=1).acos()),
                    torch.cosh(self.order * r.clamp(min=1).acosh()),
                )
                polynomial = torch.where(r <= 1, inside, beyond)
                return (1 + (10 ** (self.ripple / 10) - 1) * polynomial.square()).rsqrt()


def draw_low_pass(low_rate: int, generator: torch.Generator) -> LowPass:
    """Draw a random anti-aliasing filter for a low rate in Hz, so that a model does not fit a single one."""
    kind, cutoff, order, ripple = torch.rand(4, generator=generator).tolist()
    return LowPass(
        KINDS[int(kind * len(KINDS))],
        low_rate / 2 * (CUTOFFS[0] + (CUTOFFS[1] - CUTOFFS[0]) * cutoff),
        ORDERS[0] + int((ORDERS[1] - ORDERS[0] + 1) * order),
        RIPPLES[0] * (RIPPLES[1] / RIPPLES[0]) ** ripple,
    )


def record(x: Tensor, rate: int, low_rate: int, filters: Sequence[LowPass]) -> Tensor:
    """Return recordings of sounds at a low rate.

    Arguments:
        x: Sounds, shape (B, C, T).
        rate: Sample rate of the sounds in Hz.
        low_rate: Sample rate of the recordings in Hz.
        filters: B low-pass filters, one for each sound.

    Returns:
        Shape (B, C, ceil(T q / p)).
    """
    p, q = ratio(rate, low_rate)
    before, after = margins(x.shape[-1], p, MARGIN * p // q)
    spectrum = torch.fft.fft(reflected(x, before, after))
    n = spectrum.shape[-1]
    f = torch.fft.fftfreq(n, 1 / rate, dtype=x.dtype, device=x.device)
    spectrum = spectrum * torch.stack([low_pass(f) for low_pass in filters])[:, None]
    low = n * q // p
    bins = (torch.fft.fftfreq(n, 1 / n, device=x.device).round().long()) % low
    folded = torch.zeros(*x.shape[:2], low, dtype=spectrum.dtype, device=x.device).index_add_(-1, bins, spectrum)
    begin = before * q // p
    recordings: Tensor = torch.fft.ifft(folded).real
    return recordings[..., begin : begin + -(-x.shape[-1] * q // p)] * (q / p)


def raised(low: Tensor, rate: int, low_rate: int, length: int) -> Tensor:
    """Return recordings at a higher rate, by band-limited interpolation.

    Arguments:
        low: Recordings, shape (B, C, T').
        rate: Sample rate of the result in Hz.
        low_rate: Sample rate of the recordings in Hz.
        length: Samples of the result, at most T' p / q.

    Returns:
        Shape (B, C, length).
    """
    p, q = ratio(rate, low_rate)
    before, after = margins(low.shape[-1], q, MARGIN)
    spectrum = torch.fft.rfft(reflected(low, before, after))
    n = low.shape[-1] + before + after
    if n % 2 == 0:
        spectrum[..., -1] = spectrum[..., -1] / 2  # half of it is at the negative frequency
    begin = before * p // q
    sounds: Tensor = torch.fft.irfft(spectrum, n * p // q)
    return sounds[..., begin : begin + length] * (p / q)


def with_low_band(x: Tensor, given: Tensor, rate: int, top: float) -> Tensor:
    """Return sounds (B, C, T) with the low band of `given` and the high band of x.

    Arguments:
        x: Sounds, shape (B, C, T).
        given: Sounds that provide the low band, shape (B, C, T).
        rate: Sample rate in Hz.
        top: Upper end of the low band in Hz; the two are cross-faded between 0.9 `top` and `top`.
    """
    before, after = margins(x.shape[-1], 1, MARGIN)
    difference = reflected(given - x, before, after)
    f = torch.fft.rfftfreq(difference.shape[-1], 1 / rate, dtype=x.dtype, device=x.device)
    share = ((top - f) / (0.1 * top)).clamp(0, 1)
    low: Tensor = torch.fft.irfft(torch.fft.rfft(difference) * share, difference.shape[-1])
    return x + low[..., before : before + x.shape[-1]]


def within(x: Tensor, rate: int, low: float, high: float) -> Tensor:
    """Return the part of sounds in a band of frequencies, shape (B, C, T).

    Arguments:
        x: Sounds, shape (B, C, T).
        rate: Sample rate in Hz.
        low: Lower end of the band in Hz, included.
        high: Upper end of the band in Hz, not included.
    """
    before, after = margins(x.shape[-1], 1, MARGIN)
    padded = reflected(x, before, after)
    f = torch.fft.rfftfreq(padded.shape[-1], 1 / rate, device=x.device)
    spectrum = torch.fft.rfft(padded) * ((f >= low) & (f < high))
    part: Tensor = torch.fft.irfft(spectrum, padded.shape[-1])
    return part[..., before : before + x.shape[-1]]


def envelope(x: Tensor, width: int) -> Tensor:
    """Return the envelope of sounds (B, C, T): the root mean square under a Hann window of `width` samples."""
    half = max(width // 2, 1)
    window = torch.hann_window(2 * half + 1, periodic=False, dtype=x.dtype, device=x.device)
    power = reflected(x.square(), half, half).flatten(0, 1)[:, None]
    mean = functional.conv1d(power, (window / window.sum())[None, None])
    return mean.reshape(x.shape).clamp(min=0).sqrt()


def ratio(rate: int, low_rate: int) -> tuple[int, int]:
    """Return coprime p and q with rate / low_rate = p / q."""
    divisor = math.gcd(rate, low_rate)
    return rate // divisor, low_rate // divisor


def margins(length: int, step: int, margin: int) -> tuple[int, int]:
    """Return the samples of reflection before and after a clip.

    The number before the clip and the total length are multiples of `step`.
    """
    before = -(-margin // step) * step
    return before, before + -length % step


def reflected(x: Tensor, before: int, after: int) -> Tensor:
    """Return sounds (..., T) reflected at both ends, repeatedly if needed, shape (..., before + T + after)."""
    length = x.shape[-1]
    places = torch.arange(-before, length + after, device=x.device) % max(2 * length - 2, 1)
    return x[..., torch.where(places < length, places, 2 * length - 2 - places)]
