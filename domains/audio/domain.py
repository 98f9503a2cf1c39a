"""Audio as a domain: waveforms in R^(C x T)."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from polydiff.abilities import Confusion, Units
from polydiff.condition_batch import blank_conditions
from polydiff.conditions import Conditions
from polydiff.config import Config
from polydiff.domain import Metric, Samples
from polydiff.domains.audio.codec import Standardise
from polydiff.domains.audio.config import AudioConfig
from polydiff.domains.audio.data import Source, Values, open_source
from polydiff.domains.audio.given import bridged, read_sounds, region
from polydiff.domains.audio.measure import chunk
from polydiff.domains.audio.metrics import pitch_confusion, pitch_metrics, set_metrics
from polydiff.domains.audio.pairs import pair_metrics
from polydiff.domains.audio.pitch import hear
from polydiff.domains.audio.plucks import LOWEST, note_name
from polydiff.domains.audio.reference import COMPARED, HELD_OUT, KNOWN, Reference, clip_count, portraits
from polydiff.domains.audio.restore import Missing, Upsample
from polydiff.domains.audio.show import pcm16, show
from polydiff.domains.audio.tasks import FromFiles, measure_task, open_task, read_told
from polydiff.domains.audio.writing import suffix, write_sound
from polydiff.errors import UserError, unknown
from polydiff.fields import Labels, from_json, meanings, to_json
from polydiff.inspection import Inspection
from polydiff.plugins import build_backbone
from polydiff.quarantine import Quarantine
from polydiff.random import permutation, streams
from polydiff.space import Batch, Condition, Euclidean, Space, State

MEASURED = 2048
"""Training clips that statistics are measured on, and that samples are compared with."""
MOST_NUMBERS = 2**26
"""Most numbers that those clips hold, 256 MiB; there are fewer of long ones."""
FLATS = {"DB": "C#", "EB": "D#", "GB": "F#", "AB": "G#", "BB": "A#"}


class Audio:
    """Waveforms: synthesised plucks, or a folder of sound files.

    Arguments:
        config: The run's configuration.
        statistics: {"std", "gains", "conditions"} and what the task measures; None: measured on training clips.
    """

    def __init__(self, config: Config, statistics: Mapping[str, Any] | None = None) -> None:
        assert isinstance(config, AudioConfig)
        self.config, self.data = config, config.data
        self.statistics: Mapping[str, Any] = dict(statistics or {})
        self.statistics = self.statistics or self.measure()
        self.codec = Standardise(self.statistics["std"], tuple(self.statistics["gains"]))
        self.fields = from_json(told_conditions(self.statistics))
        self.task = open_task(config, self.codec, self.statistics)
        for name in self.fields.keys() & self.task.conditions.keys():
            raise UserError(f"A column of the data is named {name}, which is what task={config.task} tells. Rename it.")
        self.conditions: Conditions = {name: f.kind for name, f in self.fields.items()} | dict(self.task.conditions)

    @cached_property
    def source(self) -> Source:
        """The data set, opened on first use."""
        source = open_source(self.data)
        if self.statistics and meanings(source.fields) != meanings(self.fields):
            raise UserError(
                f"The conditions in the data are not those of training: {meanings(source.fields)}, not "
                f"{meanings(self.fields)}. Bring the files back as they were, or begin a new run."
            )
        return source

    @cached_property
    def reference(self) -> Tensor:
        """Training clips from all over the data set, each cropped in its own fixed way, shape (N, C, T)."""
        n = min(MEASURED, max(MOST_NUMBERS // (self.data.channels * self.data.length), 2))
        indices = self.some("train", n)
        return self.source.clips("train", indices, streams(self.data.seed, "audio/reference", indices))[0]

    @cached_property
    def known(self) -> Reference:
        """What samples are compared with. A pitch tracker hears the notes of plucks; other classes are learnt."""
        made = self.data.name == "plucks"  # without end: there is nothing to copy, and no class to learn
        classes = {} if made else {name: len(self.class_names(name)) for name in self.fields}
        n = clip_count(COMPARED if made else KNOWN, self.data.channels * self.data.length)
        parts = (self.some_clips("train", n), self.some_clips("test", min(n, HELD_OUT)))
        several = {name: k for name, k in classes.items() if k > 1}
        return Reference.of(*parts, self.data.sample_rate, several, self.size("test"))

    def some_clips(self, split: str, n: int) -> Iterator[tuple[Tensor, Mapping[str, Tensor]]]:
        """Yield up to n clips from all over a split with their conditions, some at a time, always the same."""
        indices, step = self.some(split, n), chunk(self.data.channels * self.data.length)
        for part in (indices[i : i + step] for i in range(0, len(indices), step)):
            generators = streams(self.data.seed, "audio/reference", part) if split == "train" else None
            sounds, values = self.source.clips(split, part, generators)
            yield sounds, self.cond(values)

    @property
    def quarantine(self) -> Quarantine | None:
        """What was found in the data and what of it is put aside; None where sounds are computed."""
        return self.source.quarantine

    def some(self, split: str, n: int) -> list[int]:
        """Return up to n examples of a split, always the same and from all over it; fewer are the first of more."""
        chosen: list[int] = permutation(self.data.seed, f"audio/{split}", self.size(split))[:n].tolist()
        return chosen

    def measure(self) -> dict[str, Any]:
        """Return the statistics of the training data."""
        codec = Standardise.measure(self.reference, self.config.whiten)
        told = measure_task(self.config, self.reference)
        return {"std": codec.std, "gains": list(codec.gains), "conditions": to_json(self.source.fields), **told}

    @staticmethod
    def inspect(config: Config, said: Collection[str]) -> Inspection:
        """Return what a folder of sounds holds (`polydiff.inspection.Inspects`)."""
        from polydiff.domains.audio.inspect import inspect_sounds

        assert isinstance(config, AudioConfig)
        return inspect_sounds(config, said)

    def size(self, split: str) -> int:
        return self.source.size(split)

    def batch(self, split: str, indices: Sequence[int], generators: Sequence[torch.Generator]) -> Batch:
        sounds, values = self.source.clips(split, indices, generators)
        whole = self.codec.encode(sounds)
        told = self.task.ask(whole, generators)
        x, space = self.placed(whole, told)
        return Batch(x, space, {**self.cond(values), **told} or None)

    def placed(self, sounds: Tensor, told: Mapping[str, Tensor]) -> tuple[State, Euclidean]:
        """Return the states of sounds of unit variance, and where they live: what is told may say."""
        if isinstance(self.task, Upsample):
            missing = self.task.space(told)
            return missing.encode(sounds), missing
        return sounds, self.space(len(sounds), sounds.shape[-1])

    def read(self, paths: Sequence[Path]) -> Batch:
        """Return whole files as clean states (`polydiff.abilities.Reads`)."""
        whole = self.codec.encode(read_sounds(paths, self.data))
        absent = blank_conditions(self.conditions, len(whole), whole.shape[2:])
        told = self.task.ask(whole, streams(0, "read", range(len(whole)))) if isinstance(self.task, Upsample) else {}
        x, space = self.placed(whole, told)
        return Batch(x, space, absent | told or None)

    def region(self, text: str, given: Batch) -> Tensor:
        """Return which samples lie in BEGIN:END, in seconds (`polydiff.abilities.HasRegions`)."""
        return region(text, self.data.sample_rate, given.x.shape[-1])

    def forget(self, x: State, mask: Tensor, space: Space) -> State:
        """Return states whose filter met nothing of what the mask leaves out (`polydiff.abilities.Forgets`)."""
        if not self.codec.gains:
            return x
        return self.codec.encode(bridged(self.codec.decode(x), mask))

    def told(self, paths: Sequence[Path], degrade: bool = False) -> Batch:
        """Return what the network is told of recordings or mel spectrograms (`polydiff.abilities.Restores`)."""
        if not isinstance(self.task, FromFiles):
            raise UserError(f"task={self.config.task} reads no files of another form.")
        told, length = read_told(self.task, paths, degrade)
        x = self.task.guess(told, (length,))
        space = self.task.space(told) if isinstance(self.task, Upsample) else self.space(len(x), length)
        return Batch(x, space, blank_conditions(self.conditions, len(x), x.shape[2:]) | told)

    def compare(self, samples: Samples, truth: Samples) -> dict[str, Metric]:
        return pair_metrics(samples.examples, truth.examples, self.config)

    def space(self, n: int, length: int | None = None) -> Euclidean:
        """Return where n clips of so many samples live, those of training where none are said."""
        return Euclidean(n, (self.data.channels, length or self.data.length))

    def class_names(self, name: str) -> Sequence[str]:
        """Return the words of a class condition, () of another."""
        field = self.fields.get(name)
        return field.names if isinstance(field, Labels) else ()

    def cond(self, values: Sequence[Values]) -> dict[str, Tensor]:
        """Return what is said of examples as the domain's conditions."""
        return {name: field.encode([row.get(name) for row in values]) for name, field in self.fields.items()}

    def blank(self, generators: Sequence[torch.Generator], asked: Mapping[str, Any]) -> tuple[Space, Condition | None]:
        for name in asked:
            if name not in self.fields:
                raise unknown("condition", name, self.fields)
        drawn = {name: field.draw(generators) for name, field in self.fields.items()}
        wanted = {name: self.ask(name, value, len(generators)) for name, value in asked.items()}
        further = blank_conditions(self.task.conditions, len(generators), (self.data.length,))
        return self.space(len(generators)), {**drawn, **wanted, **further} or None

    def ask(self, name: str, wanted: Any, n: int) -> Tensor:
        """Return the condition of n samples in the user's words; notes are understood as C4, Db4 and MIDI 60."""
        note = midi_name(wanted) if name == "pitch" and isinstance(wanted, str) else wanted
        return self.fields[name].ask(name, note if note in self.class_names(name) else wanted, n)

    def backbone(self) -> nn.Module:
        return build_backbone(self.config.backbone, channels=self.data.channels, dims=1, conditions=self.conditions)

    def units(self, x: State, space: Space) -> Units:
        gain = space.log_volume if isinstance(space, Missing) else 0
        assert isinstance(space, Euclidean)
        volume = torch.full((space.batch,), self.codec.log_volume(space.shape), device=x.device)
        return Units(None, None, volume + gain, "full scale")

    def decode(self, x: State, space: Space) -> list[Any]:
        whole = space.decode(x.float()) if isinstance(space, Missing) else x.float()
        return list(self.codec.decode(whole).unbind())

    def examples(self, split: str, n: int) -> Samples:
        sounds, values = self.source.clips(split, self.some(split, n))
        return Samples(list(sounds.unbind()), self.cond(values) or None)

    def evaluate(self, samples: Samples) -> dict[str, Metric]:
        judged: dict[str, Metric] = {}
        if self.data.name == "plucks":
            notes, asked = len(self.class_names("pitch")), (samples.cond or {}).get("pitch")
            judged = pitch_metrics(samples.examples, self.data.sample_rate, LOWEST, notes, asked)
        return judged | set_metrics(samples, self.known)

    def confusions(self, samples: Samples) -> dict[str, Confusion]:
        """Return what was asked of clips against what is heard (`polydiff.abilities.HasConfusions`)."""
        cond, rate, found = samples.cond or {}, self.data.sample_rate, {}
        if self.data.name == "plucks" and "pitch" in cond:
            names = self.class_names("pitch")
            found["pitch"] = pitch_confusion(samples.examples, rate, LOWEST, names, cond["pitch"])
        for name, judge in self.known.judges.items():
            if name in cond:
                seen = judge.answers(portraits(samples.examples, rate)).argmax(1)
                found[name] = Confusion.of(cond[name], seen, self.class_names(name))
        return found

    def show(self, samples: Samples) -> str:
        return show(samples.examples, self.captions(samples), self.data.sample_rate)

    def captions(self, samples: Samples) -> list[str]:
        """Return what each clip was asked to be and, for notes, what is heard."""
        asked = [", ".join(map(str, words.values())) for words in self.words(samples)]
        if self.data.name != "plucks" or not len(samples):
            return [text or f"sample {i}" for i, text in enumerate(asked)]
        return [f"asked {text}, heard {note}" for text, note in zip(asked, self.heard(samples), strict=True)]

    def heard(self, samples: Samples) -> list[str]:
        """Return the note that a pitch tracker hears in each clip, with its deviation in cents."""
        pitch = hear(samples.examples, self.data.sample_rate)
        notes = pitch.semitones.round().int().tolist()
        cents = (100 * (pitch.semitones - pitch.semitones.round())).round().int().tolist()
        names = [f"{note_name(note)} {shift:+d} cents" for note, shift in zip(notes, cents, strict=True)]
        return [name if voiced else "no pitch" for name, voiced in zip(names, pitch.voiced.tolist(), strict=True)]

    def save(self, samples: Samples, directory: Path) -> list[dict[str, Any]]:
        directory.mkdir(parents=True, exist_ok=True)
        names = [f"sample-{i:05d}{suffix(self.data.encoding)}" for i in range(len(samples))]
        for name, sound in zip(names, samples.examples, strict=True):
            write_sound(directory / name, sound, self.data.sample_rate, self.data.encoding)
        if self.data.name != "plucks" or not names:
            return [{"file": name} for name in names]
        return [{"file": name, "heard": note} for name, note in zip(names, self.heard(samples), strict=True)]

    def archive(self, samples: Samples) -> Mapping[str, NDArray[Any] | str]:
        """Return arr_0 (B, T, C), in int16 or float32 as in files, and rate, samples a second of each."""
        pcm = self.data.encoding != "float"
        sounds = np.stack([pcm16(sound) if pcm else sound.T.numpy() for sound in samples.examples])
        return {"arr_0": sounds, "rate": np.full(len(sounds), self.data.sample_rate, np.int32)}

    def words(self, samples: Samples) -> list[dict[str, Any]]:
        """Return the conditions of samples in the user's words, {} for each where there are none."""
        return [{} for _ in samples.examples] if samples.cond is None else self.describe(samples.cond)

    def describe(self, cond: Condition) -> list[dict[str, Any]]:
        n = len(next(iter(cond.values()), ()))
        columns = {name: field.words(cond[name]) for name, field in self.fields.items() if name in cond}
        return [{name: column[i] for name, column in columns.items()} for i in range(n)]


def told_conditions(statistics: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return what statistics say of conditions; older runs have one at most, in keys of its own."""
    if "conditions" in statistics or not statistics["condition"]:
        return statistics.get("conditions", {})  # type: ignore[no-any-return]
    return {statistics["condition"]: {"type": "classes", "names": statistics["names"], "counts": statistics["counts"]}}


def midi_name(text: str) -> str:
    """Return a note's name in the form of the classes: C#4 for 61, c#4 and Db4; other words unchanged."""
    if text.isascii() and text.isdecimal():
        return note_name(int(text))
    match = re.fullmatch(r"([A-Ga-g][#b]?)(\d)", text.strip())
    if not match:
        return text
    letter = match[1].upper()
    return FLATS.get(letter, letter) + match[2]
