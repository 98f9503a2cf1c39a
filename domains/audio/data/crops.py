"""Crops of sounds, read by seeking instead of decoding the whole file, and equal to crops of the resampled whole.

A sound is a file, a member of a tar archive, or a row of an array. A `Place` locates its bytes.
"""

from __future__ import annotations

import io
import math
from contextlib import AbstractContextManager, nullcontext
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from polydiff.contract.data.arrays import load_array
from polydiff.contract.data.places import Place, Region, opened_bytes
from polydiff.domains.audio import optional_imports as optional
from polydiff.domains.audio.data.formats.mp3 import right_header
from polydiff.domains.audio.resample import has_kernel, interpolated, kernel, reach

PAGE = 65_307
"""Upper bound of the bytes of an Ogg page."""
GRANULES = 2304
"""Samples of two MP3 frames, the period of the decoder's state."""
SETTLES = 4
"""1 / SETTLES seconds after a seek, the output of an Opus decoder equals that of decoding the whole file to the bit."""
LOUDEST = 16.0
"""Largest magnitude of a sound, 24 dB above full scale 1. Larger numbers are on another scale, or broken."""
SLOW = 60
"""Crops in the first SLOW seconds of an MP3 file of a low sample rate are decoded from the start of the file."""


class Header(NamedTuple):
    """Sample rate in Hz, channels and frames of a sound, which starts at frame `first` of its file."""

    path: str
    rate: int
    channels: int
    frames: int
    first: int = 0

    def length_at(self, rate: int) -> int:
        """Return the number of samples after resampling to `rate`."""
        return -(-self.frames * rate // self.rate)


def read_crop(place: Place | Path, header: Header, begin: int, length: int, rate: int) -> Tensor:
    """Return samples begin .. begin + length - 1 of a sound resampled to `rate`, with zeros after its end.

    If the rates differ, p input samples become q. The file is then read with a margin as wide as the filter, from a
    multiple of p if the filter has a kernel, so that the crop equals that of the whole sound resampled.

    Arguments:
        place: Place of the sound.
        header: Its header.
        begin: First sample, counted at `rate`.
        length: Number of samples, counted at `rate`.
        rate: Sample rate in Hz.

    Returns:
        Shape (C, length).

    Raises:
        ValueError: The file is damaged, shorter than its header states, not finite, or far beyond full scale.
    """
    place = Place(place) if isinstance(place, Path) else place
    divisor = math.gcd(header.rate, rate)
    p, q = header.rate // divisor, rate // divisor
    if p == q:
        sound = frames_between(place, header, begin, begin + length)
    elif has_kernel(p, q):
        margin = p * math.ceil(8 / min(p, q))
        low = max(0, begin // q * p - margin)
        samples = frames_between(place, header, low, -(-(begin + length) * p // q) + margin)
        skip = begin - low // p * q
        sound = kernel(p, q)(samples)[:, skip : skip + length] if samples.shape[1] else samples
    else:
        margin = reach(p, q) + 1
        low, end = max(0, begin * p // q - margin), min(begin + length, header.length_at(rate))
        samples = frames_between(place, header, low, -(-end * p // q) + margin)
        sound = interpolated(samples, low, begin, end - begin, p, q) if samples.shape[1] else samples
    return functional.pad(sound, (0, length - sound.shape[1]))


def frames_between(place: Place, header: Header, low: int, high: int) -> Tensor:
    """Return those of the frames low .. high - 1 of a sound that exist, shape (C, n)."""
    high = min(high, header.frames)
    if low >= high:
        return torch.zeros(header.channels, 0)
    return read_frames(place, header.first + low, header.first + high)


def read_frames(place: Place, low: int, high: int) -> Tensor:
    """Return frames low .. high - 1, shape (C, high - low).

    Raises:
        ValueError: Frames are missing, not finite, or have a magnitude above `LOUDEST`.
    """
    samples = array_frames(place, low, high) if place.row >= 0 else file_frames(place, low, high)
    if samples.shape[1] < high - low:
        raise ValueError(f"it ends after {low + samples.shape[1]} samples")
    if not bool(samples.isfinite().all()):
        raise ValueError("it contains numbers that are not finite, or too large for float32")
    if samples.numel() and (peak := float(samples.abs().amax())) > LOUDEST:
        raise ValueError(f"it is far beyond full scale, which is 1: it reaches {peak:.4g}{scale_hint(peak)}")
    return samples


def scale_hint(peak: float) -> str:
    """Return advice for sounds of this peak that are on the scale of an integer format, "" for larger ones."""
    bits = next((bits for bits in (8, 16, 24, 32) if peak <= 2 ** (bits - 1)), None)
    return f"; if these are integers of {bits} bits, divide by {2 ** (bits - 1)}" if bits else ""


def file_frames(place: Place, low: int, high: int) -> Tensor:
    """Return frames of a sound file or of a member of an archive."""
    with source(place) as opened, optional.soundfile().SoundFile(opened) as file:
        first = seekable(file, place, low)
        try:
            if file.seekable():  # also to 0, because an MP3 decoder rounds differently after a seek
                file.seek(first)
            samples = file.read(high - first, dtype="float32", always_2d=True)
        except RuntimeError as error:
            raise ValueError(f"it is damaged, or shorter than its header states ({error})") from error
        return torch.from_numpy(samples.T.copy())[:, low - first :]


def seekable(file: Any, place: Place, low: int) -> int:
    """Return the last frame up to `low` from which the decoder's output equals that of decoding the whole file."""
    if not file.seekable():  # such as GSM
        return 0
    if file.subtype == "OPUS":
        return max(0, low - int(file.samplerate) // SETTLES)
    if file.subtype == "VORBIS":
        return min(low, last_page(place))
    if not file.subtype.startswith("MPEG"):
        return low
    if file.samplerate >= 32_000:
        return low - low % GRANULES
    # At low sample rates a frame depends on earlier ones. After a seek mpg123 lacks them and warns on stderr.
    return 0 if low < SLOW * file.samplerate else low


def array_frames(place: Place, low: int, high: int) -> Tensor:
    """Return samples low .. high - 1 of a row of an array (C, high - low); integers are scaled to full scale 1."""
    row = opened_array(place.path, place.path.stat().st_mtime_ns)[place.row]
    part = np.array(np.atleast_2d(row)[:, low:high])
    if np.issubdtype(part.dtype, np.integer):
        return torch.from_numpy(part.astype(np.float64) / (np.iinfo(part.dtype).max + 1.0)).float()
    with np.errstate(over="ignore"):  # what is infinite afterwards is reported as such
        return torch.from_numpy(part.astype(np.float32))


@lru_cache(maxsize=4)
def opened_array(path: Path, stamp: int) -> NDArray[Any]:
    """Return a memory-mapped array, cached until the modification time `stamp` of its file changes."""
    array: NDArray[Any] = load_array(path, mmap_mode="r")
    return array


def source(place: Place) -> AbstractContextManager[Any]:
    """Return the object that soundfile opens: a file name, or bytes of a file, with a right header if it lacks one."""
    if (mended := mp3_header(place, place.path.stat().st_mtime_ns)) is not None:
        return Region(place, *mended)
    return nullcontext(str(place.path)) if place.size < 0 else Region(place)


@lru_cache(maxsize=2**14)
def mp3_header(place: Place, stamp: int) -> tuple[bytes, int] | None:
    """Return `right_header` of the bytes of a place, cached until the modification time `stamp` of its file changes."""
    with opened_bytes(place) as file:
        opening = file.read(3)
        if opening[:1] != b"\xff" and opening != b"ID3":
            return None
        data = opening + file.read()
    return right_header(data, lambda: optional.soundfile().info(Region(place)).frames)


def last_page(place: Place) -> int:
    """Return a frame just before the last page of an Ogg file, 0 if there is only one page.

    The frame count of the last page excludes the encoder's padding, so libsndfile 1.2.2 seeks into that page with an
    error of up to a block. Each page starts with OggS; from byte 6 it contains the number of frames up to its end.
    """
    with opened_bytes(place) as file:
        size = file.seek(0, io.SEEK_END)
        file.seek(max(0, size - 2 * PAGE))
        end = file.read()
    before = end.rfind(b"OggS", 0, max(end.rfind(b"OggS"), 0))
    return max(0, int.from_bytes(end[before + 6 : before + 14], "little", signed=True) - 1) if before >= 0 else 0
