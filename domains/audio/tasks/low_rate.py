r"""Recordings of a low sample rate: what is left of a sound in them, and how they are brought to a higher rate.

A recording at a low rate is the sound through a low-pass filter H, of which every p / q-th sample is kept; what the
filter lets pass above half the low rate is folded back. Both ways are made on the spectrum of the whole clip, reflected
at its ends, so that they are exact for band-limited sounds:

$$ \hat y_k = \frac{q}{p} \sum_{m} H_{k + m N'} \hat x_{k + m N'}, $$

and back, zeros above. Filters have no phase: |H| is that of the filter named.

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
"""Range of cut-off frequencies in training, of half the low rate."""
ORDERS = (4, 12)
"""Range of orders in training."""
RIPPLES = (0.01, 1.0)
"""Range of ripples in training, in dB, drawn log-uniformly."""
MARGIN = 256
"""Samples of a recording, about, by which a clip is reflected at each end."""


@dataclass(frozen=True)
class LowPass:
    """A low-pass filter by its magnitude.

    "brickwall" passes all below the cut-off; "hann" falls as a cosine around it, over 2 / order of it; "butterworth" is
    1 / sqrt(1 + r^(2 order)), "chebyshev" 1 / sqrt(1 + e^2 T(r)^2) with e^2 = 10^(ripple / 10) - 1 and T the Chebyshev
    polynomial of this order, where r = f / cutoff.

    Arguments:
        kind: One of `KINDS`.
        cutoff: In Hz.
        order: Steepness.
        ripple: Greatest loss below the cut-off in dB, of "chebyshev".
    """

    kind: Kind
    cutoff: float
    order: int = 8
    ripple: float = 0.05

    def __call__(self, f: Tensor) -> Tensor:
        """Return the response at frequencies in Hz."""
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
    """Draw a filter before sampling at a low rate, so that no model learns a single one."""
    kind, cutoff, order, ripple = torch.rand(4, generator=generator).tolist()
    return LowPass(
        KINDS[int(kind * len(KINDS))],
        low_rate / 2 * (CUTOFFS[0] + (CUTOFFS[1] - CUTOFFS[0]) * cutoff),
        ORDERS[0] + int((ORDERS[1] - ORDERS[0] + 1) * order),
        RIPPLES[0] * (RIPPLES[1] / RIPPLES[0]) ** ripple,
    )


def record(x: Tensor, rate: int, low_rate: int, filters: Sequence[LowPass]) -> Tensor:
    """Return sounds (B, C, T) as recordings at a low rate give them, each by its filter, (B, C, ceil(T q / p)).

    Arguments:
        x: Sounds.
        rate: Their samples a second.
        low_rate: Those of the recordings.
        filters: One a sound.
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
    """Return recordings (B, C, T') brought to a higher rate by band-limited interpolation, (B, C, length).

    Arguments:
        low: Recordings.
        rate: Samples a second that they get.
        low_rate: Those that they have.
        length: Samples of each, at most T' p / q.
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
    """Return sounds (B, C, T) whose spectrum up to a frequency is that of given ones, with a gradual change below it.

    Arguments:
        x: Sounds.
        given: What their lower part should be.
        rate: In Hz.
        top: Frequency in Hz up to which `given` is taken; from 0.9 of it on more and more of x.
    """
    before, after = margins(x.shape[-1], 1, MARGIN)
    difference = reflected(given - x, before, after)
    f = torch.fft.rfftfreq(difference.shape[-1], 1 / rate, dtype=x.dtype, device=x.device)
    share = ((top - f) / (0.1 * top)).clamp(0, 1)
    low: Tensor = torch.fft.irfft(torch.fft.rfft(difference) * share, difference.shape[-1])
    return x + low[..., before : before + x.shape[-1]]


def within(x: Tensor, rate: int, low: float, high: float) -> Tensor:
    """Return the part of sounds (B, C, T) between two frequencies in Hz."""
    before, after = margins(x.shape[-1], 1, MARGIN)
    padded = reflected(x, before, after)
    f = torch.fft.rfftfreq(padded.shape[-1], 1 / rate, device=x.device)
    spectrum = torch.fft.rfft(padded) * ((f >= low) & (f < high))
    part: Tensor = torch.fft.irfft(spectrum, padded.shape[-1])
    return part[..., before : before + x.shape[-1]]


def envelope(x: Tensor, width: int) -> Tensor:
    """Return the root mean square of sounds (B, C, T) under a Hann window of so many samples at each place."""
    half = max(width // 2, 1)
    window = torch.hann_window(2 * half + 1, periodic=False, dtype=x.dtype, device=x.device)
    power = reflected(x.square(), half, half).flatten(0, 1)[:, None]
    mean = functional.conv1d(power, (window / window.sum())[None, None])
    return mean.reshape(x.shape).clamp(min=0).sqrt()


def ratio(rate: int, low_rate: int) -> tuple[int, int]:
    """Return p and q, without common divisor, with rate / low_rate = p / q."""
    divisor = math.gcd(rate, low_rate)
    return rate // divisor, low_rate // divisor


def margins(length: int, step: int, margin: int) -> tuple[int, int]:
    """Return by how much a clip is reflected before and after it: a multiple of a step before it, and so altogether."""
    before = -(-margin // step) * step
    return before, before + -length % step


def reflected(x: Tensor, before: int, after: int) -> Tensor:
    """Return sounds reflected at both ends, as often as there is need."""
    length = x.shape[-1]
    places = torch.arange(-before, length + after, device=x.device) % max(2 * length - 2, 1)
    return x[..., torch.where(places < length, places, 2 * length - 2 - places)]
