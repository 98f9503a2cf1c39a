"""Crops of sounds: read by seeking, never by decoding a file whole, and resampled as the whole would be.

A sound is a file, a member of a tar archive, or a row of an array. Whatever it is, its bytes lie at a `Place`.
"""

from __future__ import annotations

import io
import math
from contextlib import AbstractContextManager, nullcontext
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from polydiff.domains.audio import optional_imports as optional

PAGE = 65_307
"""Most bytes of a page of an Ogg file."""
GRANULES = 2304
"""Samples of two MP3 frames, after which its decoder's state comes round."""
SETTLES = 4
"""Part of a second after which an Opus decoder has forgotten to the bit that it did not begin with the file."""
SLOW = 60
"""Seconds within which an MP3 file of a low sample rate is read from its beginning."""


class Place(NamedTuple):
    """Where a sound's bytes are: `size` bytes from `offset` on, or a row of an array in a .npy file."""

    path: Path
    offset: int = 0
    size: int = -1
    row: int = -1


class Header(NamedTuple):
    """What a sound says of itself; `rate` in Hz. It is the part of its file that begins at the frame `first`."""

    path: str
    rate: int
    channels: int
    frames: int
    first: int = 0

    def length_at(self, rate: int) -> int:
        """Return the number of samples at another rate."""
        return -(-self.frames * rate // self.rate)


def read_crop(place: Place | Path, header: Header, begin: int, length: int, rate: int) -> Tensor:
    """Return samples begin .. begin + length - 1, counted at `rate`, of a sound: (C, length), zeros after its end.

    Where the rates differ, p input samples make q, and the file is read from a multiple of p, with a margin as wide as
    the filter: the crop is the same as that of the whole sound resampled.
    """
    place = Place(place) if isinstance(place, Path) else place
    divisor = math.gcd(header.rate, rate)
    p, q = header.rate // divisor, rate // divisor
    margin = p * math.ceil(8 / min(p, q)) if p != q else 0
    low = max(0, begin // q * p - margin)
    high = min(header.frames, -(-(begin + length) * p // q) + margin)
    if low >= high:
        return torch.zeros(header.channels, length)
    samples = read_frames(place, header.first + low, header.first + high)
    if p != q:
        samples = resampler(p, q)(samples)
    skip = begin - low // p * q
    sound = samples[:, skip : skip + length]
    return functional.pad(sound, (0, length - sound.shape[1]))


def read_frames(place: Place, low: int, high: int) -> Tensor:
    """Return frames low .. high - 1, shape (C, high - low); what ends before or is not finite is a `ValueError`."""
    samples = array_frames(place, low, high) if place.row >= 0 else file_frames(place, low, high)
    if samples.shape[1] < high - low:
        raise ValueError(f"it ends after {low + samples.shape[1]} samples")
    if not bool(samples.isfinite().all()):
        raise ValueError("it contains numbers that are not finite")
    return samples


def file_frames(place: Place, low: int, high: int) -> Tensor:
    """Return frames of a sound file or of a member of an archive."""
    with source(place) as opened, optional.soundfile().SoundFile(opened) as file:
        first = seekable(file, place, low)
        try:
            if file.seekable():  # also to 0: after a seek an MP3 decoder rounds otherwise than without one
                file.seek(first)
            samples = file.read(high - first, dtype="float32", always_2d=True)
        except RuntimeError as error:
            raise ValueError(f"it is damaged, or shorter than its header says ({error})") from error
        return torch.from_numpy(samples.T.copy())[:, low - first :]


def seekable(file: Any, place: Place, low: int) -> int:
    """Return the last frame up to `low` from which on a decoder gives what it gives when it reads the whole file."""
    if not file.seekable():  # GSM, say
        return 0
    if file.subtype == "OPUS":
        return max(0, low - int(file.samplerate) // SETTLES)
    if file.subtype == "VORBIS":
        return min(low, last_page(place))
    if not file.subtype.startswith("MPEG"):
        return low
    if file.samplerate >= 32_000:
        return low - low % GRANULES
    # At low sample rates a frame leans on those before. mpg123 misses them after a seek, and says so on stderr.
    return 0 if low < SLOW * file.samplerate else low


def array_frames(place: Place, low: int, high: int) -> Tensor:
    """Return samples of a row of an array: of whole numbers, the largest is full scale."""
    row = opened_array(place.path, place.path.stat().st_mtime_ns)[place.row]
    part = np.array(np.atleast_2d(row)[:, low:high])
    if np.issubdtype(part.dtype, np.integer):
        return torch.from_numpy(part.astype(np.float64) / (np.iinfo(part.dtype).max + 1.0)).float()
    return torch.from_numpy(part.astype(np.float32))


@lru_cache(maxsize=4)
def opened_array(path: Path, stamp: int) -> NDArray[Any]:
    """Return an array mapped from its file, once as long as the file is not changed."""
    array: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    return array


def source(place: Place) -> AbstractContextManager[Any]:
    """Return what soundfile opens: the name of a file, or a part of one."""
    return nullcontext(str(place.path)) if place.size < 0 else Region(place)


class Region(io.RawIOBase):
    """The bytes of a place as a file of their own."""

    def __init__(self, place: Place) -> None:
        self.file: BinaryIO = place.path.open("rb")
        self.begin, self.size, self.at = place.offset, place.size, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self.at = max(0, offset + {io.SEEK_SET: 0, io.SEEK_CUR: self.at, io.SEEK_END: self.size}[whence])
        return self.at

    def tell(self) -> int:
        return self.at

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer).cast("B")
        self.file.seek(self.begin + self.at)
        data = self.file.read(max(0, min(len(view), self.size - self.at)))
        view[: len(data)] = data
        self.at += len(data)
        return len(data)

    def close(self) -> None:
        self.file.close()
        super().close()


def opened_bytes(place: Place) -> BinaryIO | Region:
    """Return a file that holds the bytes of a place and nothing else."""
    return place.path.open("rb") if place.size < 0 else Region(place)


def last_page(place: Place) -> int:
    """Return a frame just before the last page of an Ogg file, 0 where there is only one.

    libsndfile 1.2.2 misses by up to a block when it seeks into that page, whose count of frames leaves out what the
    encoder padded. Each page begins with OggS and holds, from byte 6, the number of frames up to its end.
    """
    with opened_bytes(place) as file:
        size = file.seek(0, io.SEEK_END)
        file.seek(max(0, size - 2 * PAGE))
        end = file.read()
    before = end.rfind(b"OggS", 0, max(end.rfind(b"OggS"), 0))
    return max(0, int.from_bytes(end[before + 6 : before + 14], "little", signed=True) - 1) if before >= 0 else 0


@lru_cache(maxsize=32)
def resampler(p: int, q: int) -> Any:
    """Return torchaudio's resampler from rate p to rate q; making its filter takes longer than using it."""
    return optional.torchaudio("transforms").Resample(p, q)
