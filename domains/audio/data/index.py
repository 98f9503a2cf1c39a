"""Each sound's rate, channels and length, looked up once and remembered; what is no sound is put aside.

A sound of up to ten seconds is read whole, of a longer one its beginning, its end and a few places between. So what
is cut short, silent or not finite is known before training begins, and opening a data set again costs a `stat` a file.
"""

from __future__ import annotations

import hashlib
import json
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import torch

from polydiff.contract.quarantine import Quarantine
from polydiff.domains.audio import optional_imports as optional
from polydiff.domains.audio.data.catalogue import Entry
from polydiff.domains.audio.data.crops import Header, Place, opened_array, read_frames, source
from polydiff.support.files import cache_dir, write_cache

THREADS = 8
"""Files looked at together."""
WHOLE, LOOKS = 10, 8
"""Seconds up to which a sound is read whole, and places at which a longer one is looked at, each half a second."""
PATIENCE = 5.0
"""Seconds after which progress is told, again and again."""
FULL = 0.999
"""Share of full scale from which on three samples in a row are called clipped."""
VERSION = 2


class Facts(NamedTuple):
    """What is remembered of a file."""

    rate: int
    channels: int
    frames: int
    clipped: int


class Sound(NamedTuple):
    """A sound that can be read: `header` is of its part of the file."""

    entry: Entry
    header: Header
    clipped: bool


def index(entries: Sequence[Entry], root: Path, rate: int, aside: Quarantine) -> list[Sound]:
    """Return the sounds that can be read and put the others aside; arrays are taken to be of this sample rate."""
    found, reasons = facts_of({entry.place for entry in entries}, root)
    sounds = []
    for entry in entries:
        facts = found.get(entry.place)
        try:
            if facts is None:
                raise ValueError(reasons[entry.place])
            sounds.append(Sound(entry, part_of(entry, facts, facts.rate or rate), bool(facts.clipped)))
        except ValueError as error:
            aside.exclude(entry.name, str(error))
    return sounds


def part_of(entry: Entry, facts: Facts, rate: int) -> Header:
    """Return the header of an entry's part of a file; an empty part, or one beyond the end, is a `ValueError`."""
    first = round(entry.start * rate)
    last = facts.frames if entry.end is None else round(entry.end * rate)
    if not 0 <= first < last or last > facts.frames + rate // 20:  # people round seconds
        part, whole = f"{first / rate:g}:{last / rate:g} s", f"{facts.frames / rate:g} s"
        raise ValueError(f"its part {part} is empty or lies outside the file, which is {whole} long")
    return Header(entry.name, rate, facts.channels, min(last, facts.frames) - first, first)


def facts_of(places: Iterable[Place], root: Path) -> tuple[dict[Place, Facts], dict[Place, str]]:
    """Return what is known of files, from memory or by looking, and why the others cannot be read."""
    key = hashlib.blake2b(str(root.resolve()).encode(), digest_size=8).hexdigest()
    memory = cache_dir() / "audio" / f"index-{VERSION}-{key}.json"
    known, seen = recall(memory), {}
    found, reasons, unknown = {}, {}, []
    for place in sorted(places):
        try:
            name, stat = name_of(place, root), place.path.stat()
        except (OSError, ValueError) as error:  # the name may hold what none can
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
    if (all_seen := known | seen) != known:  # also what is not asked for this time
        write_cache(memory, json.dumps(all_seen))
    return found, reasons


def name_of(place: Place, root: Path) -> str:
    """Return by what a place is remembered."""
    try:
        path = place.path.relative_to(root).as_posix()
    except ValueError:
        path = str(place.path)
    return f"{path}@{place.offset}" if place.size >= 0 else f"{path}[{place.row}]" if place.row >= 0 else path


def recall(memory: Path) -> dict[str, list[int]]:
    """Return the remembered index, empty where there is none or it is damaged."""
    try:
        entries: Any = json.loads(memory.read_text())
    except (OSError, ValueError):
        return {}
    whole = isinstance(entries, dict) and all(isinstance(entry, list) and len(entry) == 6 for entry in entries.values())
    return entries if whole else {}


def looked_at(places: Sequence[Place]) -> Iterator[Facts | str]:
    """Yield what files are, or why they cannot be read, looking at several at a time; long work is told on stderr."""
    told = time.monotonic()
    with ThreadPoolExecutor(THREADS, thread_name_prefix="polydiff-index") as pool:
        for done, facts in enumerate(pool.map(attempt, places), 1):
            if time.monotonic() - told > PATIENCE:
                told = time.monotonic()
                print(f"Indexing sounds: {done} of {len(places)}", file=sys.stderr, flush=True)
            yield facts


def attempt(place: Place) -> Facts | str:
    """Return what a file is, or why it cannot be read."""
    try:
        return look(place)
    except (OSError, RuntimeError, ValueError) as error:
        return why(error).removeprefix(f"Error opening {str(place.path)!r}: ")


def why(error: Exception) -> str:
    """Return what an error says, without number and name of a file."""
    if isinstance(error, UnicodeEncodeError):
        return "its name is not UTF-8"
    return (error.strerror if isinstance(error, OSError) else None) or str(error)


def look(place: Place) -> Facts:
    """Return what a file is; one without sound in it is a `ValueError`."""
    rate, channels, frames = header_numbers(place)
    whole, silent, clipped = frames <= WHOLE * (rate or 16_000), True, False
    for low, high in parts(frames, rate or 16_000, whole):
        x = read_frames(place, low, high)
        full = x.abs() >= FULL
        silent = silent and not bool(x.any())
        clipped = clipped or bool((full[:, 2:] & full[:, 1:-1] & full[:, :-2]).any())
    if silent and (whole or all_zero(place, frames)):
        raise ValueError("it is silent: all samples are 0")
    return Facts(rate, channels, frames, int(clipped))


def parts(frames: int, rate: int, whole: bool) -> list[tuple[int, int]]:
    """Return the parts of a sound that are looked at."""
    if whole:
        return [(0, frames)]
    size = rate // 2
    return [(low, low + size) for low in torch.linspace(0, frames - size, LOOKS).long().tolist()]


def all_zero(place: Place, frames: int, block: int = 2**20) -> bool:
    """Return whether a sound, read block by block, is nothing but zeros."""
    return not any(bool(read_frames(place, low, min(low + block, frames)).any()) for low in range(0, frames, block))


def header_numbers(place: Place | Path) -> list[int]:
    """Return (rate, channels, frames) of a file; the rate of an array is 0."""
    place = Place(place) if isinstance(place, Path) else place
    if place.row >= 0:
        shape = opened_array(place.path, place.path.stat().st_mtime_ns).shape
        return [0, shape[1] if len(shape) == 3 else 1, shape[-1]]
    if place.path.is_dir():
        raise ValueError("it is a folder")
    with place.path.open("rb"), source(place) as opened:  # says what the system says, such as "Permission denied"
        info = optional.soundfile().info(opened)
    if info.frames < 1:
        raise ValueError("it contains no samples")
    if info.samplerate < 1 or info.channels < 1:
        raise ValueError(f"it has {info.channels} channels at {info.samplerate} Hz")
    return [info.samplerate, info.channels, info.frames]
