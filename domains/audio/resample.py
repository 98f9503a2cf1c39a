r"""Resampling of sounds by band-limited interpolation, with a bounded amount of memory for every pair of rates.

$$ y_n = s \sum_k x_k\, h\big((k - n p / q) s\big), \quad h(t) = \operatorname{sinc}(t) \cos^2(\pi t / 12), |t| < 6, $$

with s = 0.99 min(1, q / p). This is the filter of torchaudio, whose kernel has q rows and p columns. For rates
without a common divisor, such as 44101 and 8000 Hz, it would have gigabytes. Such filters are evaluated where needed.

Symbols: x sound of rate p, y sound of rate q, h filter, k and n samples of x and y.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from polydiff.domains.audio import optional_imports as optional

LOBES = 6
"""Zero crossings of the filter on each side."""
ROLLOFF = 0.99
"""Cut-off frequency, as a share of half the lower rate."""
MOST = 2**20
"""Upper bound of the numbers of a kernel, and of a part of an evaluated filter."""


def reach(p: int, q: int) -> int:
    """Return the number of samples of rate p on each side of an instant that the filter covers."""
    return math.ceil(LOBES / (ROLLOFF * min(1, q / p)))


def has_kernel(p: int, q: int) -> bool:
    """Return whether the filter from rate p to rate q, which are coprime, is small enough for a table."""
    return q * (p + 2 * reach(p, q)) <= MOST


@lru_cache(maxsize=32)
def kernel(p: int, q: int) -> Any:
    """Return torchaudio's resampler from rate p to rate q, cached because its filter is expensive to compute."""
    return optional.torchaudio("transforms").Resample(p, q)


def interpolated(samples: Tensor, first: int, begin: int, length: int, p: int, q: int) -> Tensor:
    """Return a part of a resampled sound.

    Arguments:
        samples: A part of the sound at rate p, shape (C, n). Other samples count as zeros.
        first: Number of its first sample in the sound.
        begin: First sample of the result, at rate q.
        length: Number of samples of the result, at rate q.
        p: Sample rate of the sound, coprime to q.
        q: Sample rate of the result.

    Returns:
        Shape (C, length).
    """
    around = torch.arange(-reach(p, q), reach(p, q) + 2)
    scale = ROLLOFF * min(1, q / p)
    done = []
    for part in torch.arange(begin, begin + length).split(max(1, MOST // len(around))):
        places = torch.div(part * p, q, rounding_mode="floor")[:, None] + around
        t = scale * (around - (part * p % q)[:, None].double() / q)
        weights = torch.sinc(t) * torch.cos(t * (math.pi / 2 / LOBES)).square() * scale * (t.abs() < LOBES)
        inside = (places >= first) & (places < first + samples.shape[1])
        taken = samples[:, (places - first).clamp(0, samples.shape[1] - 1)]
        done.append(torch.einsum("cnk,nk->cn", taken.double(), torch.where(inside, weights, 0)))
    return torch.cat(done, 1).to(samples.dtype)
