"""The user's sound files as a data source: split, cropped, and excluded if unusable.

Crops are read by seeking, without decoding whole files. Files are never modified.
"""

from __future__ import annotations

import warnings
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from functools import cached_property
from itertools import accumulate
from typing import Any

import torch
from torch import Tensor

from polydiff.contract.conditions.profiles import Values as Profiled
from polydiff.contract.conditions.profiles import profiles_of
from polydiff.contract.data.columns import (
    LABEL,
    column_types,
    labelled,
    measure_embeddings,
    measure_fields,
    read_vectors,
    values_of,
)
from polydiff.contract.data.copies import joined, note_copies
from polydiff.contract.data.identity import identity
from polydiff.contract.data.quarantine import Quarantine
from polydiff.contract.data.splits import TEST, TRAIN, assign, chosen, counts, scarce
from polydiff.contract.fields import Field
from polydiff.domains.audio.config import AudioData
from polydiff.domains.audio.data.catalogue import Entry, catalogue
from polydiff.domains.audio.data.crops import read_crop
from polydiff.domains.audio.data.index import MARKS, Sound, index, why
from polydiff.domains.audio.data.source import Values
from polydiff.machine.fingerprint import fingerprints
from polydiff.support.errors import UserError, amount, unknown

DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
SHORT = {"sc09": DIGITS}
"""Abbreviation in data.only -> its classes."""
TRIES = 10
"""Upper bound of the crops drawn from a sound to find one above data.silence."""


class Folder:
    """The sounds under a path.

    A sound has one example for each stretch of `length` samples, so sounds are drawn in proportion to their duration.
    Training crops start anywhere in the sound. Without generators, example i is the i-th stretch.

    Arguments:
        data: The data section of the configuration, with `path`.

    Attributes:
        quarantine: Sounds found and excluded, with reasons.
        splits: The sounds of "train" and "test".

    Raises:
        UserError: The files cannot be used, or do not fit the configuration.
    """

    def __init__(self, data: AudioData) -> None:
        assert data.path is not None
        self.data = data
        self.quarantine, self.quiet = Quarantine(str(data.path), "sounds"), 0
        found = catalogue(data.path, self.quarantine, data.rules)
        entries = selected(found, data)
        self.quarantine.found -= len(found) - len(entries)
        sounds = index(entries, data.path, data.sample_rate, self.quarantine)
        self.quarantine.check()
        listed = [sound.entry for sound in sounds]
        label = labelled(listed, data.labels, bool(data.only), data.path)
        self.types = column_types(listed, data.conditions, label, self.quarantine)
        self.arrays = measure_embeddings(listed, self.types, self.quarantine)
        self.quarantine.check()
        if self.quarantine.reasons:
            warnings.warn(f"{self.quarantine.text()}\nThey are excluded.", stacklevel=2)
        self.quarantine.report_ignored("NAME.json and NAME.npy beside the sound NAME")
        sounds = [sound for sound in sounds if sound.entry.name not in self.quarantine.reasons]
        check_formats(sounds, data)
        grouped = data.rules > 1
        self.splits, left_out = split(sounds, data.test_share, self.classes(sounds) if grouped else None, grouped)
        self.quarantine.left_out += len(left_out)
        self.splits[TRAIN] = self.used(self.splits[TRAIN])
        self.count()
        self.starts = {name: [0, *accumulate(map(self.stretches, part))] for name, part in self.splits.items()}
        for mark, text in MARKS.items():
            self.note(mark, sum(mark in sound.marks for part in self.splits.values() for sound in part), text)

    def classes(self, sounds: Sequence[Sound]) -> list[str] | None:
        """Return the class of each sound, None if there are no classes."""
        return (
            [str(values_of(s.entry.columns, self.types).get(LABEL, "")) for s in sounds]
            if LABEL in self.types
            else None
        )

    def used(self, sounds: Sequence[Sound]) -> list[Sound]:
        """Return the training sounds that `data.per_class` uses."""
        classes = self.classes(sounds)
        names = [""] * len(sounds) if classes is None else [name or None for name in classes]
        return [sounds[i] for i in chosen(self.data, names)]

    def count(self) -> None:
        """Count the sounds of each class and split, and warn of classes of which few are held out."""
        parts = [(sound, side) for side, part in self.splits.items() for sound in part]
        names = self.classes([sound for sound, _ in parts])
        if self.data.rules > 1:
            note_copies(self.quarantine, [sound.content for sound, _ in parts], [side for _, side in parts], "samples")
        self.quarantine.splits = counts([side for _, side in parts], names)
        if text := scarce(self.quarantine.splits):
            warnings.warn(text, stacklevel=2)

    def note(self, name: str, count: int, text: str) -> None:
        """Store a count, printed at the end of training, if it is not 0."""
        if count:
            self.quarantine.notes[name] = f"{count} {text}"

    @cached_property
    def fields(self) -> dict[str, Field]:
        return measure_fields(*self.rows, self.types, self.arrays, self.data.text)

    @property
    def profiles(self) -> Profiled:
        values, weights = self.rows
        return profiles_of(self.fields, values.__getitem__, weights)

    @property
    def rows(self) -> tuple[list[dict[str, Any]], list[int]]:
        """Conditions of each sound, and how often it occurs in training, 0 for those held out."""
        train, test = self.splits["train"], self.splits["test"]
        values = [values_of(sound.entry.columns, self.types) for sound in (*train, *test)]
        return values, [*map(self.stretches, train), *(0 for _ in test)]

    def stretches(self, sound: Sound) -> int:
        """Return the number of clips that fit into a sound, at least 1; shorter sounds are padded with zeros."""
        return max(1, sound.header.length_at(self.data.sample_rate) // self.data.length)

    def identity(self, split: str) -> dict[str, Any]:
        """Return names, fingerprints of the files, and values of the sounds of a split."""
        sounds = self.splits[split]
        assert self.data.path is not None
        found = fingerprints([sound.entry.place.path for sound in sounds], self.data.path)

        def content(sound: Sound) -> str:
            values = values_of(sound.entry.columns, self.types).items()
            shown = sorted((name, value) for name, value in values if isinstance(value, str | int | float))
            return repr((found[sound.entry.place.path], *sound.entry.place[1:], *sound.header[1:], shown))

        return identity((sound.entry.name, content(sound)) for sound in sounds)

    def size(self, split: str) -> int:
        return self.starts[split][-1]

    def clips(
        self, split: str, indices: Sequence[int], generators: Sequence[torch.Generator] | None = None
    ) -> tuple[Tensor, list[Values]]:
        drawn: Sequence[torch.Generator | None] = generators or [None] * len(indices)
        pairs = [self.clip(split, index, generator) for index, generator in zip(indices, drawn, strict=True)]
        return torch.stack([sound for sound, _ in pairs]), [values for _, values in pairs]

    def clip(self, split: str, index: int, generator: torch.Generator | None) -> tuple[Tensor, Values]:
        """Return one clip (C, T) and its metadata; an unreadable sound is replaced by the next readable one."""
        starts, sounds = self.starts[split], self.splits[split]
        first = bisect_right(starts, index) - 1
        for step in range(len(sounds)):
            sound = sounds[(first + step) % len(sounds)]
            stretch = index - starts[first] if step == 0 else 0
            begins = [stretch * self.data.length] if generator is None else self.begins(sound, generator)
            if (clip := self.read(sound, begins)) is not None:
                return clip
        raise UserError(f"No sound of the {split} split of {self.data.path} can be read.")

    def begins(self, sound: Sound, generator: torch.Generator) -> list[int]:
        """Draw the first samples of a crop and, with data.silence, of its replacements."""
        possible = max(0, sound.header.length_at(self.data.sample_rate) - self.data.length) + 1
        tries = 1 if self.data.silence is None else TRIES
        return (torch.rand(tries, generator=generator, dtype=torch.float64) * possible).long().tolist()

    def read(self, sound: Sound, begins: Iterable[int]) -> tuple[Tensor, Values] | None:
        """Return the first crop that is loud enough, or the last, and its metadata; None if the sound is unreadable."""
        name = sound.entry.name
        if name in self.quarantine.reasons:
            return None
        try:
            crop = self.audible(sound, begins)
            values = read_vectors(values_of(sound.entry.columns, self.types))
        except (UserError, MemoryError):
            raise
        except Exception as error:  # noqa: BLE001 - it becomes the reason
            if self.quarantine.exclude(name, reason := why(error)):
                warnings.warn(f"{name} is excluded from now on: {reason}", stacklevel=2)
            self.quarantine.check()
            return None
        return match_channels(crop, self.data, name), values

    def audible(self, sound: Sound, begins: Iterable[int]) -> Tensor:
        """Return the first crop above data.silence, or the last one, which is then counted as quiet."""
        gate = None if self.data.silence is None else 10 ** (self.data.silence / 20)
        for begin in begins:
            crop = read_crop(sound.entry.place, sound.header, begin, self.data.length, self.data.sample_rate)
            if gate is None or float(crop.square().mean().sqrt()) >= gate:
                return crop
        with self.quarantine.lock:
            self.quiet += 1
            self.note("quiet", self.quiet, f"crops below data.silence={self.data.silence:g} dB were used")
        return crop


def selected(entries: Sequence[Entry], data: AudioData) -> list[Entry]:
    """Return the sounds whose label is in `data.only`, or all sounds if it is empty."""
    found = {str(entry.columns[LABEL]) for entry in entries if LABEL in entry.columns}
    only = {name for word in data.only for name in ((word,) if word in found else SHORT.get(word, (word,)))}
    for name in sorted(only - found):
        raise unknown("class", name, found, f"These are the classes in {data.path}; data.only selects from them.")
    return [entry for entry in entries if not only or str(entry.columns.get(LABEL)) in only]


def check_formats(sounds: Sequence[Sound], data: AudioData) -> None:
    """Raise UserError if sample rates or channels of the sounds do not fit the configuration."""
    low = [sound.header for sound in sounds if sound.header.rate < data.sample_rate]
    if low and not data.upsample:
        raise UserError(
            f"Sample rates below data.sample_rate={data.sample_rate}: {amount(len(low), 'file')} in {data.path}, such "
            f"as {low[0].path} ({low[0].rate} Hz). Lower data.sample_rate, or resample them with data.upsample=true."
        )
    wide = [sound.header for sound in sounds if sound.header.channels > data.channels]
    if wide and (data.mix == "refuse" or data.channels > 1):
        raise UserError(
            f"More than {amount(data.channels, 'channel')}: {amount(len(wide), 'file')} in {data.path}, such as "
            f"{wide[0].path} ({wide[0].channels}). Set data.channels=2 for stereo, or data.channels=1 with "
            "data.mix=average or data.mix=left."
        )


def split(
    sounds: Sequence[Sound], share: float, classes: Sequence[str] | None = None, grouped: bool = True
) -> tuple[dict[str, list[Sound]], list[Sound]]:
    """Return the sounds by split, and the unused ones of a validation split beside a test split (`splits`).

    Arguments:
        sounds: Usable sounds.
        share: Share of the test split, if the data state none.
        classes: Class of each sound; None: there are no classes, or the splits need not hold each.
        grouped: Whether files with the same samples share a split.

    Raises:
        UserError: A split is empty.
    """
    keys = [key_of(s) for s in sounds]
    if grouped:
        keys = joined(keys, [s.digest or None for s in sounds])
    sides = assign(keys, share, stated=[s.entry.split for s in sounds], classes=classes)
    splits = {name: [s for s, side in zip(sounds, sides, strict=True) if side == name] for name in (TRAIN, TEST)}
    if not all(splits.values()):
        raise UserError(
            f"Sounds to train on: {len(splits['train'])}, held out: {len(splits['test'])}. Each split needs at least "
            "one sound, and the splits share no file or speaker."
        )
    return splits, [s for s, side in zip(sounds, sides, strict=True) if not side]


def key_of(sound: Sound) -> str:
    """Return the name of a sound's file, or of its speaker, which one split holds whole.

    Names with _nohash_ (Speech Commands) begin with the speaker.
    """
    speaker, mark, _ = sound.entry.file.rpartition("/")[2].partition("_nohash_")
    return speaker if mark else sound.entry.file


def match_channels(sound: Tensor, data: AudioData, name: str) -> Tensor:
    """Return a sound (C', T) with the configured number of channels, shape (C, T): repeated, mixed or the left one."""
    if sound.shape[0] <= data.channels:
        return sound.expand(data.channels, -1)
    if data.mix == "left":
        return sound[:1]
    mono = sound.mean(0, keepdim=True)
    if mono.square().mean() < 0.05 * sound.square().mean():
        warnings.warn(
            f"{name}: averaging the channels removes over 95 % of the power. Consider data.mix=left.", stacklevel=2
        )
    return mono
