"""How sounds are judged: by a pitch tracker for plucks, by classifiers for other classes, and by distances of sets."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

from torch import Tensor

from polydiff.contract.domain import Samples
from polydiff.domains.audio.data.clips import Clips
from polydiff.domains.audio.data.plucks import LOWEST, note_name
from polydiff.domains.audio.data_conditions import DataConditions
from polydiff.domains.audio.metrics.pitch import hear
from polydiff.domains.audio.metrics.reference import COMPARED, HELD_OUT, KNOWN, Reference, clip_count, portraits
from polydiff.domains.audio.metrics.sample_set import pitch_confusion, pitch_metrics, set_metrics
from polydiff.metrics.results import Confusion, Metric


@dataclass(frozen=True)
class Evaluation:
    """The judges of one data set.

    Arguments:
        clips: Its clips.
        conditions: Its conditions.
    """

    clips: Clips
    conditions: DataConditions

    @property
    def plucks(self) -> bool:
        """Whether the data are synthesised notes, which a pitch tracker hears."""
        return self.clips.data.name == "plucks"

    @cached_property
    def reference(self) -> Reference:
        """What samples are compared with. Classes other than notes are learned."""
        data, named = self.clips.data, self.conditions.class_names
        # plucks have no end: there is nothing to copy, and no class to learn
        classes = {} if self.plucks else {name: len(named(name)) for name in self.conditions.fields}
        n = clip_count(COMPARED if self.plucks else KNOWN, data.channels * data.length)
        parts = (self.encoded("train", n), self.encoded("test", min(n, HELD_OUT)))
        several = {name: k for name, k in classes.items() if k > 1}
        return Reference.of(*parts, data.sample_rate, several, self.clips.size("test"))

    def encoded(self, split: str, n: int) -> Iterator[tuple[Tensor, Mapping[str, Tensor]]]:
        """Yield up to n clips from all over a split with their conditions, some at a time."""
        return ((sounds, self.conditions.encode(values)) for sounds, values in self.clips.parts(split, n))

    def evaluate(self, samples: Samples) -> dict[str, Metric]:
        """Return the metrics of samples."""
        judged: dict[str, Metric] = {}
        if self.plucks:
            notes, requested = len(self.conditions.class_names("pitch")), (samples.cond or {}).get("pitch")
            judged = pitch_metrics(samples.examples, self.clips.data.sample_rate, LOWEST, notes, requested)
        return judged | set_metrics(samples, self.reference)

    def confusions(self, samples: Samples) -> dict[str, Confusion]:
        """Return, by condition, the classes of samples against those that are heard."""
        cond, rate, found = samples.cond or {}, self.clips.data.sample_rate, {}
        if self.plucks and "pitch" in cond:
            names = self.conditions.class_names("pitch")
            found["pitch"] = pitch_confusion(samples.examples, rate, LOWEST, names, cond["pitch"])
        for name, judge in self.reference.judges.items():
            if name in cond:
                seen = judge.answers(portraits(samples.examples, rate)).argmax(1)
                found[name] = Confusion.of(cond[name], seen, self.conditions.class_names(name))
        return found

    def notes(self, samples: Samples) -> list[str] | None:
        """Return the note that is heard in each clip, with its deviation in cents; None where data are no plucks."""
        if not self.plucks or not len(samples):
            return None
        pitch = hear(samples.examples, self.clips.data.sample_rate)
        numbers = pitch.semitones.round().int().tolist()
        cents = (100 * (pitch.semitones - pitch.semitones.round())).round().int().tolist()
        names = [f"{note_name(note)} {shift:+d} cents" for note, shift in zip(numbers, cents, strict=True)]
        return [name if voiced else "no pitch" for name, voiced in zip(names, pitch.voiced.tolist(), strict=True)]

    def captions(self, samples: Samples) -> list[str]:
        """Return each clip's conditions and, for notes, what is heard."""
        words = [{} for _ in samples.examples] if samples.cond is None else self.conditions.describe(samples.cond)
        requested = [", ".join(map(str, one.values())) for one in words]
        notes = self.notes(samples)
        if notes is None:
            return [text or f"sample {i}" for i, text in enumerate(requested)]
        return [f"requested {text}, detected {note}" for text, note in zip(requested, notes, strict=True)]
