"""Evaluation of samples: a pitch tracker for notes, classifiers for other classes, and distances between sets."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

from torch import Tensor

from polydiff.contract.domain import Samples
from polydiff.domains.audio.data.clips import Clips
from polydiff.domains.audio.data.notes import frequency, note_name, note_number
from polydiff.domains.audio.data_conditions import SoundConditions
from polydiff.domains.audio.metrics.pitch import HIGH, LOW, detect_pitch
from polydiff.domains.audio.metrics.reference import COMPARED, HELD_OUT, KNOWN, Reference, clip_count, portraits
from polydiff.domains.audio.metrics.sample_set import pitch_confusion, pitch_metrics, set_metrics
from polydiff.metrics.results import Confusion, Metric


@dataclass(frozen=True)
class Evaluation:
    """Metrics for samples of one data set.

    Arguments:
        clips: Clips of the data set.
        conditions: Conditions of the data set.
    """

    clips: Clips
    conditions: SoundConditions

    @cached_property
    def pitches(self) -> list[int]:
        """MIDI number of each class of the condition "pitch"; [] unless the pitch tracker can detect them all."""
        found = [note_number(name) for name in self.conditions.class_names("pitch")]
        known = [note for note in found if note is not None and LOW <= frequency(note) <= HIGH]
        return known if len(known) == len(found) else []

    @cached_property
    def reference(self) -> Reference:
        """Reference clips, and a classifier for each class condition except notes that the tracker detects."""
        data, unlimited = self.clips.data, self.clips.data.name == "plucks"  # samples cannot be copies of these
        tracked = ["pitch"] if self.pitches else []
        classes = {
            name: len(self.conditions.class_names(name)) for name in self.conditions.fields if name not in tracked
        }
        n = clip_count(COMPARED if unlimited else KNOWN, data.channels * data.length)
        parts = (self.encoded("train", n), self.encoded("test", min(n, HELD_OUT)))
        several = {name: k for name, k in classes.items() if k > 1}
        return Reference.of(*parts, data.sample_rate, several, self.clips.size("test"))

    def encoded(self, split: str, n: int) -> Iterator[tuple[Tensor, Mapping[str, Tensor]]]:
        """Yield chunks of a random subset of a split: clips (B, C, T) and their conditions, up to n in all."""
        return ((sounds, self.conditions.encode(values)) for sounds, values in self.clips.parts(split, n))

    def evaluate(self, samples: Samples) -> dict[str, Metric]:
        """Return the metrics of samples."""
        metrics: dict[str, Metric] = {}
        if self.pitches:
            requested = (samples.cond or {}).get("pitch")
            metrics = pitch_metrics(samples.examples, self.clips.data.sample_rate, self.pitches, requested)
        return metrics | set_metrics(samples, self.reference)

    def confusions(self, samples: Samples) -> dict[str, Confusion]:
        """Return, by condition, the confusion of requested and detected classes."""
        cond, rate, found = samples.cond or {}, self.clips.data.sample_rate, {}
        if self.pitches and "pitch" in cond:
            found["pitch"] = pitch_confusion(samples.examples, rate, self.pitches, cond["pitch"])
        for name, judge in self.reference.judges.items():
            if name in cond:
                predicted = judge.log_probabilities(portraits(samples.examples, rate)).argmax(1)
                found[name] = Confusion.of(cond[name], predicted, self.conditions.class_names(name))
        return found

    def notes(self, samples: Samples) -> list[str] | None:
        """Return the detected note of each clip with its deviation in cents; None if the data have no notes."""
        if not self.pitches or not len(samples):
            return None
        pitch = detect_pitch(samples.examples, self.clips.data.sample_rate)
        numbers = pitch.semitones.round().int().tolist()
        cents = (100 * (pitch.semitones - pitch.semitones.round())).round().int().tolist()
        names = [f"{note_name(note)} {shift:+d} cents" for note, shift in zip(numbers, cents, strict=True)]
        return [name if voiced else "no pitch" for name, voiced in zip(names, pitch.voiced.tolist(), strict=True)]

    def captions(self, samples: Samples) -> list[str]:
        """Return each clip's conditions and, where the data have notes, the detected one."""
        described = [{} for _ in samples.examples] if samples.cond is None else self.conditions.describe(samples.cond)
        requested = [", ".join(map(str, one.values())) for one in described]
        notes = self.notes(samples)
        if notes is None:
            return [text or f"sample {i}" for i, text in enumerate(requested)]
        wanted = [f"requested {text}, " if text else "" for text in requested]
        return [f"{text}detected {note}" for text, note in zip(wanted, notes, strict=True)]
