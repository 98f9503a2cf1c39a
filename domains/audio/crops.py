"""Crops of sound files: read by seeking, never by decoding a file whole, and resampled as the whole would be."""

from __future__ import annotations

import math
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from polydiff.domains.audio import optional

PAGE = 65_307
"""Most bytes of a page of an Ogg file."""


class Header(NamedTuple):
    """What a file says of itself; `path` is relative to the data set's folder, `rate` in Hz."""

    path: str
    rate: int
    channels: int
    frames: int

    def length_at(self, rate: int) -> int:
        """Return the number of samples at another rate."""
        return -(-self.frames * rate // self.rate)


def read_crop(path: Path, header: Header, begin: int, length: int, rate: int) -> Tensor:
    """Return samples begin .. begin + length - 1, counted at `rate`, of a file: shape (C, length), zeros after its end.

    Where the rates differ, p input samples make q, and the file is read from a multiple of p, with a margin as wide as
    the filter: the crop is the same as that of the whole file resampled.
    """
    divisor = math.gcd(header.rate, rate)
    p, q = header.rate // divisor, rate // divisor
    margin = p * math.ceil(8 / min(p, q)) if p != q else 0
    low = max(0, begin // q * p - margin)
    high = min(header.frames, -(-(begin + length) * p // q) + margin)
    samples = read_frames(path, low, high)
    if p != q:
        samples = resampler(p, q)(samples)
    skip = begin - low // p * q
    sound = samples[:, skip : skip + length]
    return functional.pad(sound, (0, length - sound.shape[1]))


def read_frames(path: Path, low: int, high: int) -> Tensor:
    """Return frames low .. high - 1 of a file, shape (C, high - low); a file that ends before is a `ValueError`."""
    with optional.soundfile().SoundFile(str(path)) as file:
        first = min(low, last_page(path)) if file.subtype == "VORBIS" else low
        file.seek(first)
        samples = torch.from_numpy(file.read(high - first, dtype="float32", always_2d=True).T.copy())[:, low - first :]
    if samples.shape[1] < high - low:
        raise ValueError(f"it ends after {low + samples.shape[1]} samples")
    if not bool(samples.isfinite().all()):
        raise ValueError("it holds numbers that are not finite")
    return samples


def last_page(path: Path) -> int:
    """Return a frame just before the last page of an Ogg file, 0 where there is only one.

    libsndfile 1.2.2 misses by up to a block when it seeks into that page, whose count of frames leaves out what the
    encoder padded. Each page begins with OggS and holds, from byte 6, the number of frames up to its end.
    """
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - 2 * PAGE))
        end = file.read()
    before = end.rfind(b"OggS", 0, max(end.rfind(b"OggS"), 0))
    return max(0, int.from_bytes(end[before + 6 : before + 14], "little", signed=True) - 1) if before >= 0 else 0


@lru_cache(maxsize=32)
def resampler(p: int, q: int) -> Any:
    """Return torchaudio's resampler from rate p to rate q; making its filter takes longer than using it."""
    return optional.torchaudio("transforms").Resample(p, q)
