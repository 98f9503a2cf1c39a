r"""The search for the training sound nearest to another, at any shift in time and any level.

A sound is compared by its log-mel spectrogram X (F bands, T frames), in dB above `DEPTH` below its loudest place, and 0
where it is weaker: so a level adds nothing, and silence before and after a sound is 0. The distance of two sounds is

$$ d^2(X, Y) = \min_s \frac{1}{F T} \sum_{f, t} (X_{f, t} - Y_{f, t + s})^2 , $$

in dB, with 0 outside of both. The best shift s maximises the correlation of X and Y, which is computed for all shifts
by Fourier transforms. Shifts are whole frames, so a copy that is shifted by part of one is near, not exactly at 0.

Symbols: N sounds, M training sounds, F bands, T frames, K frequencies of a transform along time.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from polydiff.domains.audio.chunks import each
from polydiff.domains.audio.data.clips import Clips
from polydiff.domains.audio.metrics.reference import COMPARED, KNOWN, clip_count
from polydiff.domains.audio.spectrogram import MELS, mel_power, window_size

DEPTH = 60.0
"""Range in dB below the loudest place of a spectrogram; what is weaker counts as silence."""
FRAMES = 64
"""Largest number of frames of a training clip; longer clips have longer frames."""
AT_ONCE = 128
"""Training clips that are compared in one call."""
HELD_OUT = 128
"""Largest number of held-out clips whose distance to training is measured."""


@dataclass(frozen=True)
class Search:
    """The search in a fixed random subset of the training clips: at most `KNOWN` of a folder, fewer of long clips.

    The number of synthesised sounds is unlimited; `COMPARED` of them are searched.

    Arguments:
        sample_rate: In Hz.
        pooled: Frames of the transform that make one frame.
        indices: Numbers of the M training clips.
        known: Their spectrograms, (M, F, T).
        typical: Median distance of held-out clips to the nearest of them; NaN without held-out clips.
    """

    sample_rate: int
    pooled: int
    indices: Sequence[int]
    known: Tensor
    typical: float = math.nan

    @classmethod
    def of(cls, clips: Clips) -> Search:
        """Return the search in a data set, of which a long file is known by one clip at a fixed random place."""
        data = clips.data
        pooled = max(1, math.ceil(data.length / (window_size(data.sample_rate) // 4) / FRAMES))
        n = clip_count(COMPARED if data.name == "plucks" else KNOWN, data.channels * data.length)
        known = torch.cat([shapes(sounds, data.sample_rate, pooled) for sounds, _ in clips.parts("train", n)])
        search = cls(data.sample_rate, pooled, clips.some("train", n), known)
        held_out = [search.find(sounds)[1] for sounds, _ in clips.parts("test", min(n, HELD_OUT))]
        typical = float(torch.cat(held_out).median()) if held_out else math.nan
        return cls(data.sample_rate, pooled, search.indices, known, typical)

    def find(self, sounds: Sequence[Tensor] | Tensor) -> tuple[list[int], Tensor]:
        """Return the number of the nearest training clip of each of N sounds (C, T), and its distance in dB, (N,)."""
        own = shapes(sounds, self.sample_rate, self.pooled)
        places, shifts = best_matches(own, self.known)
        matches = zip(own, places.tolist(), shifts.tolist(), strict=True)
        distances = [distance_at(shape, self.known[place], shift) for shape, place, shift in matches]
        return [self.indices[place] for place in places.tolist()], torch.tensor(distances)


def shapes(sounds: Sequence[Tensor] | Tensor, sample_rate: int, pooled: int) -> Tensor:
    """Return the spectrograms of sounds (C, T) of one length, (N, F, frames), in dB above `DEPTH` below the loudest.

    Arguments:
        sounds: The sounds.
        sample_rate: In Hz.
        pooled: Frames of the transform that are averaged to one.
    """

    def shape(x: Tensor) -> Tensor:
        power = functional.avg_pool1d(mel_power(x, sample_rate, MELS), pooled, ceil_mode=True)
        loudest = power.amax((1, 2), keepdim=True)
        return (10 * torch.log10((power / loudest.clamp_min(1e-20)).clamp_min(10 ** (-DEPTH / 10))) + DEPTH).float()

    return each(shape, sounds)


def best_matches(own: Tensor, known: Tensor) -> tuple[Tensor, Tensor]:
    """Return the place of the nearest of M spectrograms, and its shift in frames at which it is, for each of N, (N,).

    Arguments:
        own: Spectrograms, (N, F, T).
        known: Spectrograms, (M, F, T').
    """
    size = own.shape[2] + known.shape[2]
    wanted = torch.fft.rfft(own, size).conj().permute(2, 0, 1)
    least = own.new_full((len(own),), torch.inf)
    places, shifts = torch.zeros(2, len(own), dtype=torch.long).unbind()
    for first in range(0, len(known), AT_ONCE):
        part = known[first : first + AT_ONCE]
        products = torch.fft.irfft((wanted @ torch.fft.rfft(part, size).permute(2, 1, 0)).permute(1, 2, 0), size)
        highest, lags = products.max(2)
        squares, nearest = (part.square().sum((1, 2)) - 2 * highest).min(1)
        better = squares < least
        least = torch.where(better, squares, least)
        places = torch.where(better, first + nearest, places)
        shifts = torch.where(better, lags.gather(1, nearest[:, None])[:, 0], shifts)
    return places, torch.where(shifts < known.shape[2], shifts, shifts - size)


def distance_at(a: Tensor, b: Tensor, shift: int) -> float:
    """Return the distance in dB of two spectrograms (F, T) and (F, T'), frame t of a beside frame t + shift of b."""
    before, length = max(shift, 0), max(shift + a.shape[1], b.shape[1])
    start = max(-shift, 0)
    whole = a.new_zeros(2, a.shape[0], start + length)
    whole[0, :, before : before + a.shape[1]] = a
    whole[1, :, start : start + b.shape[1]] = b
    squares = (whole[0] - whole[1]).double().square().sum()
    return math.sqrt(float(squares) / (a.shape[0] * max(a.shape[1], b.shape[1])))
