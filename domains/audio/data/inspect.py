"""Inspection of a data set of sounds, for `polydiff data check`."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any, Protocol

import numpy as np
from torch import Tensor

from polydiff.contract.abilities import Inspection
from polydiff.contract.data.columns import LABEL, check_type, other_columns, plain_type
from polydiff.contract.data.noise_range import PRINCIPAL, range_facts
from polydiff.contract.data.quarantine import Quarantine
from polydiff.contract.data.statistics import check_finite
from polydiff.domains.audio.config import AudioConfig, AudioData
from polydiff.domains.audio.data.catalogue import Entry, catalogue
from polydiff.domains.audio.data.clips import Clips
from polydiff.domains.audio.data.folder import Folder, selected
from polydiff.domains.audio.data.index import Sound, index
from polydiff.domains.audio.data.source import Source
from polydiff.domains.audio.tasks.open_task import measure_task
from polydiff.support.errors import UserError

SHARE = 0.05
"""Share of the sounds that may have a lower sample rate than the advised one."""
SHORTEST, LONGEST = 1024, 65_536
"""Range of the advised length, in samples."""
NAMED = 12
"""Upper bound of the classes that are listed with their counts."""
MEASURING = ("upsample", "vocode")
"""Tasks with statistics of their own, which may be undefined for data that other tasks can be trained on."""
QUANTILES = (0.0, 0.05, 0.5, 0.95, 1.0)
"""Quantiles that are reported."""


class Opened(Protocol):
    """Data that are opened as training opens them."""

    clips: Clips
    statistics: Mapping[str, Any]


def inspect_sounds(
    config: AudioConfig, set_keys: Collection[str], prepare: Callable[[AudioConfig], Opened]
) -> Inspection:
    """Inspect the data of `config.data`.

    Arguments:
        config: The configuration.
        set_keys: Dotted keys that the user set; they get no advice.
        prepare: Opens the data of a configuration as training does. A `UserError` becomes a problem of the data.
    """
    data, found = config.data, Inspection()
    assert data.path is not None
    found.quarantine = aside = Quarantine(str(data.path), "sounds")
    try:
        listed = catalogue(data.path, aside)
        entries = selected(listed, data)
        aside.found -= len(listed) - len(entries)
        sounds = index(entries, data.path, data.sample_rate, aside)
        if sounds:
            found.facts |= facts_of(sounds)
            found.advice = advised(sounds, data, set_keys)
        trained(config, found, set_keys, prepare)
    except UserError as error:
        lines = str(error).splitlines()  # those between are the list of excluded files, which is printed anyway
        found.problems.append(lines[0] if len(lines) == 1 else f"{lines[0].removesuffix(':')}. {lines[-1]}")
    return found


def trained(
    config: AudioConfig, found: Inspection, set_keys: Collection[str], prepare: Callable[[AudioConfig], Opened]
) -> None:
    """Open the data as training would, with the advised keys, and add conditions, sizes and levels to `found`.

    Arguments:
        config: The configuration.
        found: What is known; receives the facts.
        set_keys: Dotted keys that the user set.
        prepare: Opens the data of a configuration.
    """
    plain = {key.removeprefix("data."): value for key, value in found.advice.items()}
    data = AudioData.model_validate({**config.data.model_dump(), **plain})
    opened = prepare(config.model_copy(update={"data": data}))
    clips = opened.clips
    found.quarantine = clips.source.quarantine
    found.facts |= {
        "conditions": {name: field.kind.words for name, field in clips.source.fields.items()},
        **other_columns(usable_columns(clips.source), clips.source.fields, data.conditions),
        "examples": {split: clips.size(split) for split in ("train", "test")},
        "level in dB (rms of crops)": quantiles(decibels(clips.reference.square().mean((1, 2)).tolist())),
        "peaks in dB": quantiles(decibels(clips.reference.abs().amax((1, 2)).square().tolist())),
    }
    if PRINCIPAL in opened.statistics:
        found.facts |= range_facts(config, opened.statistics[PRINCIPAL], set_keys)
    for task in MEASURING:
        other = config.model_copy(update={"data": data, "task": task})
        found.facts[f"task={task}"] = task_in_words(other, clips.reference)


def usable_columns(source: Source) -> dict[str, int]:
    """Return the columns of sounds of training that can be conditions, each with the number of its distinct values."""
    sounds = source.splits["train"] if isinstance(source, Folder) else []
    found = {}
    for name in dict.fromkeys(name for sound in sounds for name in sound.entry.columns):
        cells = {sound.entry.name: sound.entry.columns[name] for sound in sounds if name in sound.entry.columns}
        try:
            check_type(name, "class" if name == LABEL else plain_type([*cells.values()]), cells, "sounds")
        except UserError:  # such as a text that differs for each sound
            continue
        found[name] = len(set(map(str, cells.values())))
    return found


def task_in_words(config: AudioConfig, clips: Tensor) -> str:
    """Return whether a task can be trained on training clips (N, C, T), or why not."""
    try:
        check_finite(measure_task(config, clips))
    except UserError as error:
        return f"cannot be trained: {error}"
    return "can be trained"


def facts_of(sounds: Sequence[Sound]) -> dict[str, Any]:
    """Return the facts from headers and columns, by their name in the report."""
    headers = [sound.header for sound in sounds]
    seconds = [header.frames / header.rate for header in headers]
    facts: dict[str, Any] = {
        "files": counts(form(sound.entry) for sound in sounds),
        "sample rates in Hz": counts(header.rate for header in headers),
        "channels": counts(header.channels for header in headers),
        "hours": round(sum(seconds) / 3600, 3),
        "durations in s": quantiles(seconds),
        "clipped": sum("clipped" in sound.marks for sound in sounds),
    }
    columns = {name: None for sound in sounds for name in sound.entry.columns}
    facts |= {f"column {name}": column_in_words(name, sounds) for name in columns}
    return facts


def form(entry: Entry) -> str:
    """Return the suffix of a sound's file, or of the array that contains it."""
    return (entry.place.path.suffix if entry.place.row >= 0 else PurePosixPath(entry.file).suffix).lower()


def column_in_words(name: str, sounds: Sequence[Sound]) -> Any:
    """Return a summary of a column: counts of classes, quantiles of numbers, or the number of embeddings."""
    values = [sound.entry.columns[name] for sound in sounds if name in sound.entry.columns]
    kind = "class" if name == LABEL else plain_type(values)
    missing = {"of": f"{len(values)} of {len(sounds)} sounds"} if len(values) < len(sounds) else {}
    if kind == "number":
        return {"numbers": quantiles([float(value) for value in values]), **missing}
    if kind == "embedding":
        return {"embeddings": len(values)}
    classes = counts(map(str, values))
    return {**(classes if len(classes) <= NAMED else {"different words": len(classes)}), **missing}


def advised(sounds: Sequence[Sound], data: AudioData, set_keys: Collection[str]) -> dict[str, Any]:
    """Return values of keys that suit the sounds, except for keys that the user set."""
    rates = sorted(sound.header.rate for sound in sounds)
    rate = data.sample_rate if "data.sample_rate" in set_keys else max(rates[int(SHARE * len(rates))], 1000)
    length = float(np.median([sound.header.frames / sound.header.rate for sound in sounds])) * rate
    power = 2 ** round(math.log2(max(length, 1)))
    wide = sum(sound.header.channels > 1 for sound in sounds)
    advice: dict[str, Any] = {"data.sample_rate": rate, "data.length": min(max(power, SHORTEST), LONGEST)}
    if rates[0] < rate:
        advice["data.upsample"] = True
    if wide and not {"data.channels", "data.mix"} & {*set_keys}:
        stereo = 2 * wide >= len(sounds) and max(sound.header.channels for sound in sounds) == 2
        advice |= {"data.channels": 2} if stereo else {"data.mix": "average"}
    return {key: value for key, value in advice.items() if key not in set_keys}


def counts(values: Iterable[Any]) -> dict[str, int]:
    """Return the frequency of each value, in descending order."""
    return {str(value): n for value, n in Counter(values).most_common()}


def quantiles(values: Sequence[float]) -> dict[str, float]:
    """Return the `QUANTILES` of values, by name."""
    names = ("least", "5 %", "half", "95 %", "greatest")
    return dict(zip(names, (float(f"{q:.4g}") for q in np.quantile(values, QUANTILES)), strict=True))


def decibels(powers: Sequence[float]) -> list[float]:
    """Return powers in dB of full scale, at least -120 dB."""
    return [10 * math.log10(max(power, 1e-12)) for power in powers]
