"""Reference of an evaluation: features of training clips, the threshold for copies, and classifiers of the labels."""

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
"""Upper bounds of the training clips: for distances between sets, and for copies and classifiers."""
NUMBERS = 2**28
"""Upper bound of the values in these clips; long clips are fewer."""
HELD_OUT = 1024
"""Upper bound of the held-out clips that set the copy threshold and measure the accuracy of classifiers."""

Clips = Iterator[tuple[Tensor, Mapping[str, Tensor]]]
"""Chunks of clips (B, C, T) and their conditions."""


def clip_count(most: int, numbers: int) -> int:
    """Return the number of reference clips, at most `most`, for clips of `numbers` values."""
    return min(most, max(NUMBERS // numbers, 2))


@dataclass(frozen=True)
class Reference:
    """Reference clips of a data set.

    Arguments:
        sample_rate: In Hz.
        n: Number of held-out clips, the upper bound of samples in metrics that depend on their number.
        known: Features of training clips.
        near: Distance to the nearest training clip below which a sample counts as its copy; NaN if not measured.
        judges: Name of a condition -> its classifier.
        digest: Digest of the training clips in distances between sets.
    """

    sample_rate: int
    n: int
    known: Measured
    near: float
    judges: Mapping[str, Judge]
    digest: str

    @classmethod
    def of(cls, train: Clips, test: Clips, sample_rate: int, classes: Mapping[str, int], n: int) -> Reference:
        """Return the reference of a data set.

        Arguments:
            train: A random subset of the training clips.
            test: A random subset of the held-out clips.
            sample_rate: In Hz.
            classes: Name of each condition with a classifier -> its number of classes.
            n: Number of all held-out clips.
        """
        classes = {} if optional.lacks_torchaudio() else classes
        learnt, held_out = (Studied.of(clips, sample_rate, classes) for clips in (train, test))
        near = copy_threshold(nearest(held_out.measured.features, learnt.measured.features))
        found = {name: Judge.of(learnt.labelled(name), held_out.labelled(name), k) for name, k in classes.items()}
        judges = {name: judge for name, judge in found.items() if judge}
        return cls(sample_rate, n, learnt.measured, near, judges, learnt.digest)


@dataclass(frozen=True)
class Studied:
    """Features of the clips of one split, with the spectrograms and labels for classifiers."""

    measured: Measured
    spectrograms: Tensor
    labels: Mapping[str, Tensor]
    digest: str

    @classmethod
    def of(cls, clips: Clips, sample_rate: int, classes: Mapping[str, int]) -> Studied:
        """Return the features of clips, chunk by chunk, without storing the waveforms."""
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
        """Return the spectrograms and labels for the classifier of a condition."""
        return Labelled(self.spectrograms, self.labels[name])


def portraits(sounds: Sequence[Tensor] | Tensor, sample_rate: int) -> Tensor:
    """Return the classifier's input for B clips (C, T), which may differ in length: (B, 40, 32), half precision."""
    return each(lambda x: portrait(x, sample_rate).half(), sounds)
