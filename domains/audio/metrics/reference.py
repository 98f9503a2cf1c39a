"""What samples are compared with: training clips, how near held-out clips come to them, and judges of the classes."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from polydiff.domains.audio import optional_imports as optional
from polydiff.domains.audio.chunks import each
from polydiff.domains.audio.metrics.clip_features import Measured
from polydiff.domains.audio.metrics.judge import Judge, Labelled
from polydiff.domains.audio.output.show import pcm16
from polydiff.domains.audio.spectrogram import BANDS, FRAMES, portrait
from polydiff.metrics.copies import copy_threshold, nearest

COMPARED, KNOWN = 2048, 8192
"""Most training clips that distances are taken to, and among which copies are looked for and judges learn."""
NUMBERS = 2**28
"""Most numbers that they hold: there are fewer of long clips."""
HELD_OUT = 1024
"""Most held-out clips that say how near is near, and how often a judge is right."""

Clips = Iterator[tuple[Tensor, Mapping[str, Tensor]]]
"""Clips (B, C, T) and their conditions, some at a time."""


def clip_count(most: int, numbers: int) -> int:
    """Return how many clips of so many numbers are taken."""
    return min(most, max(NUMBERS // numbers, 2))


@dataclass(frozen=True)
class Reference:
    """What samples are compared with.

    Arguments:
        sample_rate: In Hz.
        n: Held-out clips; no more samples are compared where their number matters.
        known: Training clips.
        near: Distance to the nearest training clip under which a sample counts as its copy, NaN where unknown.
        judges: Name of a condition -> its classifier.
        digest: Of the training clips that distances are taken to.
    """

    sample_rate: int
    n: int
    known: Measured
    near: float
    judges: Mapping[str, Judge]
    digest: str

    @classmethod
    def of(cls, train: Clips, test: Clips, sample_rate: int, classes: Mapping[str, int], n: int) -> Reference:
        """Measure a data set.

        Arguments:
            train: Training clips from all over it.
            test: Held-out clips.
            sample_rate: In Hz.
            classes: Name of each condition that a classifier judges -> its number of classes.
            n: Held-out clips that there are.
        """
        classes = {} if optional.lacks_torchaudio() else classes
        learnt, held_out = (Studied.of(clips, sample_rate, classes) for clips in (train, test))
        near = copy_threshold(nearest(held_out.measured.features, learnt.measured.features))
        found = {name: Judge.of(learnt.labelled(name), held_out.labelled(name), k) for name, k in classes.items()}
        judges = {name: judge for name, judge in found.items() if judge}
        return cls(sample_rate, n, learnt.measured, near, judges, learnt.digest)


@dataclass(frozen=True)
class Studied:
    """Clips of one split, measured; `spectrograms` and `labels` are those that classifiers learn from."""

    measured: Measured
    spectrograms: Tensor
    labels: Mapping[str, Tensor]
    digest: str

    @classmethod
    def of(cls, clips: Clips, sample_rate: int, classes: Mapping[str, int]) -> Studied:
        """Measure clips as they come; their waveforms are not kept."""
        digest, n, measured, seen = hashlib.sha256(), 0, [], [torch.zeros(0, BANDS, FRAMES).half()]
        labels: dict[str, list[Tensor]] = {name: [] for name in classes}
        for sounds, cond in clips:
            digest.update(pcm16(sounds[: max(COMPARED - n, 0)]).tobytes())
            n += len(sounds)
            measured.append(Measured.of(sounds, sample_rate))
            if classes:
                seen.append(portraits(sounds, sample_rate))
            for name, found in labels.items():
                found.append(cond[name])
        joined = {name: torch.cat(found) for name, found in labels.items()}
        return cls(Measured.join(measured), torch.cat(seen), joined, digest.hexdigest()[:8])

    def labelled(self, name: str) -> Labelled:
        """Return what the classifier of a condition learns from."""
        return Labelled(self.spectrograms, self.labels[name])


def portraits(sounds: Sequence[Tensor] | Tensor, sample_rate: int) -> Tensor:
    """Return what a classifier sees of clips (C, T), which may differ in length, in half precision."""
    return each(lambda x: portrait(x, sample_rate).half(), sounds)
