"""Sounds from a folder of files: wav, flac, ogg, opus, mp3 and aiff, read by soundfile.

Every file's header is read once and remembered. A crop is read by seeking to it; no file is ever decoded whole. A
file that cannot be read is put aside with its reason; where that happens to more than one in twenty, the run stops.
"""

from __future__ import annotations

import hashlib
import json
import math
import warnings
from bisect import bisect_right
from collections.abc import Sequence
from functools import cached_property
from itertools import accumulate
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from polydiff.domains.audio import optional
from polydiff.domains.audio.config import AudioData
from polydiff.domains.audio.crops import Header, read_crop
from polydiff.domains.audio.data import Values
from polydiff.errors import UserError, unknown
from polydiff.fields import Classes, Field
from polydiff.files import files_under, write_atomic
from polydiff.paths import cache_dir

SUFFIXES = frozenset({".wav", ".flac", ".ogg", ".opus", ".mp3", ".aif", ".aiff"})
MOST_BROKEN = 0.05
"""Share of unreadable files above which a run stops."""


class Folder:
    """The sounds of a folder.

    An example is one stretch of a file, `length` samples long, so that long files are drawn as often as they last.
    Training crops begin anywhere in the file; without generators each example is its own stretch.

    Arguments:
        data: The settings, with `path`.
    """

    def __init__(self, data: AudioData) -> None:
        assert data.path is not None
        self.data, self.root = data, data.path
        self.broken: dict[str, str] = {}
        headers = self.usable(index(self.root, self.broken))
        self.classes = class_names(headers, data)
        if self.classes:
            headers = [header for header in headers if class_of(header) in self.classes]
        self.total = len(headers)
        self.headers = dict(zip(("train", "test"), split(headers, data.test_share), strict=True))
        self.starts = {name: [0, *accumulate(map(self.stretches, part))] for name, part in self.headers.items()}

    def usable(self, headers: list[Header]) -> list[Header]:
        """Check what the files are against what was asked for."""
        if not headers and not self.broken:
            raise UserError(
                f"{self.root} holds no sound file ({', '.join(sorted(SUFFIXES))}); hidden ones do not count."
            )
        refuse_if_many(self.broken, len(headers) + len(self.broken), self.root)
        low = [header for header in headers if header.rate < self.data.sample_rate]
        if low and not self.data.upsample:
            raise UserError(
                f"{len(low)} files in {self.root} have a lower sample rate than data.sample_rate="
                f"{self.data.sample_rate}, such as {low[0].path} ({low[0].rate} Hz). Lower data.sample_rate, or take "
                "them with data.upsample=true."
            )
        wide = [header for header in headers if header.channels > self.data.channels]
        if wide and (self.data.mix == "refuse" or self.data.channels > 1):
            raise UserError(
                f"{len(wide)} files in {self.root} have more than {self.data.channels} channels, such as "
                f"{wide[0].path} ({wide[0].channels}). Say data.channels=2 for stereo, or data.channels=1 with "
                "data.mix=average or data.mix=left."
            )
        return headers

    def stretches(self, header: Header) -> int:
        """Return how many clips fit into a file; a shorter file is one, padded with zeros."""
        return max(1, header.length_at(self.data.sample_rate) // self.data.length)

    def size(self, split: str) -> int:
        return self.starts[split][-1]

    @cached_property
    def fields(self) -> dict[str, Field]:
        if not self.classes:
            return {}
        headers = [*self.headers["train"], *self.headers["test"]]
        weights = [self.stretches(header) for header in self.headers["train"]] + [0] * len(self.headers["test"])
        return {"label": Classes.measure([class_of(header) for header in headers], weights)}

    def clips(
        self, split: str, indices: Sequence[int], generators: Sequence[torch.Generator] | None = None
    ) -> tuple[Tensor, list[Values]]:
        drawn: Sequence[torch.Generator | None] = generators or [None] * len(indices)
        pairs = [self.clip(split, index, generator) for index, generator in zip(indices, drawn, strict=True)]
        return torch.stack([sound for sound, _ in pairs]), [values for _, values in pairs]

    def clip(self, split: str, index: int, generator: torch.Generator | None) -> tuple[Tensor, Values]:
        """Return one sound (C, T) and what is said of it; for an unreadable file comes the next that can be read."""
        starts, place = self.starts[split], None if generator is None else float(torch.rand((), generator=generator))
        first = bisect_right(starts, index) - 1
        for step in range(len(self.headers[split])):
            number = (first + step) % len(self.headers[split])
            header = self.headers[split][number]
            begin = self.begin(header, index - starts[first] if step == 0 else 0, place)
            sound = self.read(header, begin)
            if sound is not None:
                return sound, {"label": class_of(header)} if self.classes else {}
        raise UserError(f"No file of the {split} split of {self.root} can be read.")

    def begin(self, header: Header, stretch: int, place: float | None) -> int:
        """Return a crop's first sample: of a stretch, or at a place in [0, 1) of all that are possible."""
        if place is None:
            return stretch * self.data.length
        return int(place * (max(0, header.length_at(self.data.sample_rate) - self.data.length) + 1))

    def read(self, header: Header, begin: int) -> Tensor | None:
        """Return a crop (C, T), or None where the file turns out to be unreadable."""
        if header.path in self.broken:
            return None
        try:
            sound = read_crop(self.root / header.path, header, begin, self.data.length, self.data.sample_rate)
        except (RuntimeError, OSError, ValueError) as error:
            self.broken[header.path] = str(error)
            refuse_if_many(self.broken, self.total, self.root)
            return None
        return match_channels(sound, self.data, header.path)


def scan(root: Path) -> list[Path]:
    """Return the sound files under a folder; folders that begin with _ are hidden, such as _background_noise_."""
    return files_under(root, SUFFIXES, hidden=(".", "_"))


def index(root: Path, broken: dict[str, str]) -> list[Header]:
    """Return the headers of all files under a folder, and put aside those without; remembered in the cache."""
    if not root.is_dir():
        raise UserError(f"data.path={root} is not a folder.")
    memory = (
        cache_dir() / "audio" / f"index-{hashlib.blake2b(str(root.resolve()).encode(), digest_size=8).hexdigest()}.json"
    )
    known, seen = recall(memory), {}
    headers = []
    for path in scan(root):
        name, stat = path.relative_to(root).as_posix(), path.stat()
        stamp = [stat.st_size, stat.st_mtime_ns]
        entry = known.get(name)
        try:
            numbers = entry[2:] if entry is not None and entry[:2] == stamp else header_numbers(path)
        except (RuntimeError, OSError, ValueError) as error:
            broken[name] = str(error)
            continue
        seen[name] = [*stamp, *numbers]
        headers.append(Header(name, *numbers))
    if seen != known:
        write_atomic(memory, json.dumps(seen))
    return headers


def recall(memory: Path) -> dict[str, list[int]]:
    """Return the remembered index, empty where there is none or it is damaged."""
    try:
        entries: Any = json.loads(memory.read_text())
    except (OSError, ValueError):
        return {}
    whole = isinstance(entries, dict) and all(isinstance(entry, list) and len(entry) == 5 for entry in entries.values())
    return entries if whole else {}


def header_numbers(path: Path) -> list[int]:
    """Return (rate, channels, frames) of a file."""
    info = optional.soundfile().info(str(path))
    if info.frames < 1:
        raise ValueError("it holds no sound")
    return [info.samplerate, info.channels, info.frames]


def refuse_if_many(broken: dict[str, str], total: int, root: Path) -> None:
    """Warn of unreadable files, and stop where they are more than one in twenty."""
    if not broken:
        return
    listed = "\n".join(f"  {name}: {reason}" for name, reason in sorted(broken.items())[:20])
    text = f"{len(broken)} of {total} files in {root} cannot be read:\n{listed}"
    if len(broken) > MOST_BROKEN * total:
        raise UserError(f"{text}\nRemove or repair them.")
    warnings.warn(f"{text}\nThey are left out.", stacklevel=2)


def class_of(header: Header) -> str:
    """Return the name of the folder that a file is sorted under."""
    return header.path.partition("/")[0]


def class_names(headers: list[Header], data: AudioData) -> tuple[str, ...]:
    """Return the names of the classes, () where the folders are not classes."""
    loose = [header.path for header in headers if "/" not in header.path]
    found = sorted({class_of(header) for header in headers if "/" in header.path})
    if data.labels == "none" or (data.labels == "auto" and not data.only and (loose or len(found) < 2)):
        return ()
    if loose:
        raise UserError(f"{data.path}: {loose[0]} lies beside the class folders. Move it, or say data.labels=none.")
    for name in data.only:
        if name not in found:
            raise unknown("class folder", name, found)
    return tuple(name for name in found if not data.only or name in data.only)


def split(headers: list[Header], share: float) -> tuple[list[Header], list[Header]]:
    """Return (train, test): a file is held out by a hash of its name, so that adding files moves none.

    Names with _nohash_ (Speech Commands) are hashed up to it, which keeps a speaker's recordings together.
    """

    def lot(header: Header) -> float:
        speaker, mark, _ = header.path.rpartition("/")[2].partition("_nohash_")
        text = speaker if mark else header.path
        return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=7).digest()) / 2**56

    lots = [lot(header) for header in headers]
    if len(set(lots)) < 2:
        raise UserError("A folder needs two sound files at least (of two speakers): one to train on, one to hold out.")
    bound = min(max(share, math.nextafter(min(lots), 1)), max(lots))  # at least one on each side
    train = [header for header, number in zip(headers, lots, strict=True) if number >= bound]
    return train, [header for header, number in zip(headers, lots, strict=True) if number < bound]


def match_channels(sound: Tensor, data: AudioData, name: str) -> Tensor:
    """Return a sound with the channels asked for."""
    if sound.shape[0] <= data.channels:
        return sound.expand(data.channels, -1)
    if data.mix == "left":
        return sound[:1]
    mono = sound.mean(0, keepdim=True)
    if mono.square().mean() < 0.05 * sound.square().mean():
        warnings.warn(f"{name}: averaging the channels loses over 95 % of the power; see data.mix=left.", stacklevel=2)
    return mono
