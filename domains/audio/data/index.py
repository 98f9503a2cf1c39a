"""Index of a data set: sample rate, channels and length of each sound, cached; invalid sounds are excluded.

Sounds of up to ten seconds are read completely. Of longer ones the start, the end and a few places between are read.
Truncated, constant or non-finite files are thus found before training. Opening a data set again costs one `stat` per
file."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import torch

from polydiff.contract.data.places import Place, opened_bytes
from polydiff.contract.data.quarantine import Quarantine
from polydiff.domains.audio import optional_imports as optional
from polydiff.domains.audio.data.catalogue import Entry
from polydiff.domains.audio.data.crops import (
    Header,
    mp3_header,
    opened_array,
    read_frames,
    source,
)
from polydiff.domains.audio.data.formats.ends import missing_bytes, ogg_faults
from polydiff.support.disk import cache_dir
from polydiff.support.errors import UserError
from polydiff.support.files import write_cache
from polydiff.support.progress import counted

THREADS = 8
"""Number of files checked in parallel."""
WHOLE, LOOKS = 10, 8
"""Duration in seconds up to which a sound is read completely, and number of half-second parts read of a longer one."""
FULL = 0.999
"""Magnitude, of full scale 1, from which on three consecutive samples count as clipped."""
OFFSET = 0.1
"""Mean of a channel, of full scale 1, from which on a sound counts as having a DC offset."""
RATES = 100, 1_000_000
"""Lowest and highest sample rate in Hz that is used; others are errors in a header."""
MOST_FRAMES = 2**48
"""Upper bound of the samples of a sound; libsndfile reports more if a FLAC file does not state its length."""
VERSION = 4
"""Version of the cached index."""
MARKS = {
    "clipped": "are clipped",
    "offset": f"have a DC offset above {OFFSET:.0%} of full scale",
    "mended": "are MP3 files whose header states no or a wrong length; all of their frames are used",
    "cut": "are Ogg files without an end, perhaps cut short; they are used up to there",
    "chained": "are Ogg files of several streams in a row, of which the first is used",
}
"""Property of a usable sound -> remark on the sounds that have it, after their number."""


class Facts(NamedTuple):
    """Cached facts on a file: `rate` in Hz (0: an array), its `MARKS`, separated by spaces, a digest of its samples."""

    rate: int
    channels: int
    frames: int
    marks: str
    digest: str


class Sound(NamedTuple):
    """A readable sound; `header` describes its part of the file, and `marks` are some of `MARKS`.

    `digest` is equal for files with the same samples, "" if it is unknown.
    """

    entry: Entry
    header: Header
    marks: frozenset[str] = frozenset()
    digest: str = ""

    @property
    def content(self) -> tuple[str, int, int] | None:
        """What is equal for copies of this part of a file, None if it is unknown."""
        return (self.digest, self.header.first, self.header.frames) if self.digest else None


def index(entries: Sequence[Entry], root: Path, rate: int, aside: Quarantine) -> list[Sound]:
    """Return the readable sounds and exclude the others.

    Arguments:
        entries: The listed sounds.
        root: Path of the data set, which identifies its cache.
        rate: Sample rate in Hz that is assumed for arrays.
        aside: Receives the excluded sounds with reasons.
    """
    found, reasons = facts_of({entry.place for entry in entries}, root)
    sounds = []
    for entry in entries:
        facts = found.get(entry.place)
        try:
            if facts is None:
                raise ValueError(reasons[entry.place])
            part, marks = part_of(entry, facts, facts.rate or rate), frozenset(facts.marks.split())
            sounds.append(Sound(entry, part, marks, facts.digest))
        except ValueError as error:
            aside.exclude(entry.name, str(error))
    return sounds


def part_of(entry: Entry, facts: Facts, rate: int) -> Header:
    """Return the header of an entry's part of a file; raise ValueError if the part is empty or ends after the file."""
    first = round(entry.start * rate)
    last = facts.frames if entry.end is None else round(entry.end * rate)
    if not 0 <= first < last or last > facts.frames + rate // 20:  # times in tables are rounded
        part, whole = f"{first / rate:g}:{last / rate:g} s", f"{facts.frames / rate:g} s"
        raise ValueError(f"its part {part} is empty or lies outside the file, which is {whole} long")
    return Header(entry.name, rate, facts.channels, min(last, facts.frames) - first, first)


def facts_of(places: Iterable[Place], root: Path) -> tuple[dict[Place, Facts], dict[Place, str]]:
    """Return the facts on files, from the cache or by reading them, and the reasons why others cannot be read."""
    key = hashlib.blake2b(str(root.resolve()).encode(), digest_size=8).hexdigest()
    memory = cache_dir() / "audio" / f"index-{VERSION}-{key}.json"
    known, seen = recall(memory), {}
    found, reasons, unknown = {}, {}, []
    for place in sorted(places):
        try:
            name, stat = name_of(place, root), place.path.stat()
        except (OSError, ValueError) as error:  # a name in a table may contain invalid characters
            reasons[place] = why(error)
            continue
        stamp = [stat.st_size, stat.st_mtime_ns]
        if (entry := known.get(name)) is not None and entry[:2] == stamp:
            found[place], seen[name] = Facts(*entry[2:]), entry
        else:
            unknown.append((place, name, stamp))
    for (place, name, stamp), facts in zip(unknown, looked_at([place for place, _, _ in unknown]), strict=True):
        if isinstance(facts, str):
            reasons[place] = facts
        else:
            found[place], seen[name] = facts, [*stamp, *facts]
    if (all_seen := known | seen) != known:  # keep cached files that this configuration does not use
        write_cache(memory, json.dumps(all_seen))
    return found, reasons


def name_of(place: Place, root: Path) -> str:
    """Return the key of a place in the cache."""
    try:
        path = place.path.relative_to(root).as_posix()
    except ValueError:
        path = str(place.path)
    return f"{path}@{place.offset}" if place.size >= 0 else f"{path}[{place.row}]" if place.row >= 0 else path


def recall(memory: Path) -> dict[str, list[Any]]:
    """Return the cached index, empty if it does not exist or is damaged."""
    try:
        entries: Any = json.loads(memory.read_text())
    except (OSError, ValueError):
        return {}
    whole = isinstance(entries, dict) and all(
        isinstance(entry, list) and len(entry) == 2 + len(Facts._fields) for entry in entries.values()
    )
    return entries if whole else {}


def looked_at(places: Sequence[Place]) -> Iterator[Facts | str]:
    """Yield the facts on files, or the reasons why they cannot be read; show progress."""
    with ThreadPoolExecutor(THREADS, thread_name_prefix="polydiff-index") as pool:
        yield from counted("sounds indexed", len(places), pool.map(attempt, places))


def attempt(place: Place) -> Facts | str:
    """Return the facts on a file, or the reason why it cannot be read.

    Damaged files raise errors of many types, such as zipfile.BadZipFile and tokenize.TokenError, so every error is a
    reason, except that a package or memory is missing.
    """
    try:
        return look(place)
    except (UserError, MemoryError):
        raise
    except Exception as error:  # noqa: BLE001 - it becomes the reason
        return why(error).removeprefix(f"Error opening {str(place.path)!r}: ")


def why(error: Exception) -> str:
    """Return an error's message without the error number and the file name."""
    if isinstance(error, UnicodeEncodeError):
        return "its name is not UTF-8"
    return (error.strerror if isinstance(error, OSError) else None) or str(error) or type(error).__name__


def look(place: Place) -> Facts:
    """Return the facts on a file; raise ValueError if it is empty, constant, truncated, not finite or too loud.

    The digest is that of the samples that are read, so files of the same samples in several lossless formats share it.
    """
    rate, channels, frames = header_numbers(place)
    marks = marks_of(place) if place.row < 0 else set()
    whole, means, constant = frames <= WHOLE * (rate or 16_000), [], True
    digest = hashlib.blake2b(f"{channels} {frames}".encode(), digest_size=16)
    for low, high in parts(frames, rate or 16_000, whole):
        x = read_frames(place, low, high)
        digest.update(x.numpy().tobytes())
        full = x.abs() >= FULL
        means.append(x.double().mean(1))
        constant = constant and bool((x == x[:, :1]).all())
        if bool((full[:, 2:] & full[:, 1:-1] & full[:, :-2]).any()):
            marks.add("clipped")
    if float(torch.stack(means).mean(0).abs().max()) > OFFSET:
        marks.add("offset")
    if constant and (value := constant_of(place, frames)) is not None and (value == 0 or frames > 1):
        raise ValueError(f"it is silent: all samples are {value:g}")  # a single sample is an impulse
    return Facts(rate, channels, frames, " ".join(sorted(marks)), digest.hexdigest())


def marks_of(place: Place) -> set[str]:
    """Return the marks of a file's format; raise ValueError if it holds fewer samples than its header states."""
    with opened_bytes(place) as file:
        if missing := missing_bytes(file):
            raise ValueError(f"it is truncated: its header states {missing} bytes more of samples")
        marks = ogg_faults(file)
    return marks | ({"mended"} if mp3_header(place, place.path.stat().st_mtime_ns) else set())


def parts(frames: int, rate: int, whole: bool) -> list[tuple[int, int]]:
    """Return (first frame, end frame) of the parts of a sound to read."""
    if whole:
        return [(0, frames)]
    size = rate // 2
    return [(low, low + size) for low in torch.linspace(0, frames - size, LOOKS).long().tolist()]


def constant_of(place: Place, frames: int, block: int = 2**20) -> float | None:
    """Return the value of all samples of a sound, read in blocks; None if a channel has several values, or they differ.

    Channels of different constants are one constant sound too; the value is that of the first channel.
    """
    first = read_frames(place, 0, 1)
    for low in range(0, frames, block):
        if bool((read_frames(place, low, min(low + block, frames)) != first).any()):
            return None
    return float(first[0, 0])


def header_numbers(place: Place | Path) -> list[int]:
    """Return (rate, channels, frames) of a file; the rate of an array is 0."""
    place = Place(place) if isinstance(place, Path) else place
    if place.row >= 0:
        shape = opened_array(place.path, place.path.stat().st_mtime_ns).shape
        return [0, shape[1] if len(shape) == 3 else 1, shape[-1]]
    if place.path.is_dir():
        raise ValueError("it is a folder")
    with (
        place.path.open("rb"),
        source(place) as opened,
    ):  # open() raises the system's error, such as "Permission denied"
        info = optional.soundfile().info(opened)
    if info.frames > MOST_FRAMES:
        raise ValueError("its header does not state its length; encode it anew")
    if info.frames < 1:
        raise ValueError("it contains no samples")
    if info.samplerate < 1 or info.channels < 1:
        raise ValueError(f"it has {info.channels} channels at {info.samplerate} Hz")
    if not RATES[0] <= info.samplerate <= RATES[1]:
        raise ValueError(f"its sample rate of {info.samplerate} Hz is outside {RATES[0]} to {RATES[1]} Hz")
    return [info.samplerate, info.channels, info.frames]
