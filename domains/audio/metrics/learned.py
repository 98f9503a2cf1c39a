"""What a small classifier learns from labelled sounds: its accuracy on held-out ones.

It is the network of the judge (`polydiff.domains.audio.metrics.judge`), trained anew on the given sounds alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor

from polydiff.core.streams import stream
from polydiff.domains.audio.metrics.judge import BATCH, SMOOTHING, Classifier, varied
from polydiff.metrics.classifier import classifier, mixed

STEPS = 200
CHANGES = "shifted in time by up to 3 of 32 frames, and made up to 6 dB louder or weaker"


def accuracy(
    sets: Sequence[tuple[Tensor, Tensor]], test: tuple[Tensor, Tensor], classes: int, seed: int, augmented: bool
) -> float:
    """Return the share of held-out sounds that a classifier trained on sets of sounds recognises.

    Arguments:
        sets: Spectrograms (N, 40, 32) and classes (N,) of each set; each has the same share in training.
        test: Spectrograms and classes of held-out sounds, -1 for those without a class, which are not counted.
        classes: Number of classes.
        seed: Of the weights, the order of the sounds and their changes.
        augmented: Whether sounds are changed (`CHANGES`).
    """
    network = classifier(
        None, partial(Classifier, classes), partial(batch, sets, seed, augmented), STEPS, smoothing=SMOOTHING, seed=seed
    )
    spectrograms, labels = test
    with torch.no_grad():
        answers = torch.cat([network(part.float()).argmax(1) for part in spectrograms.split(512)])
    return float((answers == labels)[labels >= 0].double().mean())


def batch(sets: Sequence[tuple[Tensor, Tensor]], seed: int, augmented: bool, step: int) -> tuple[Tensor, Tensor]:
    """Return the spectrograms of a training step, (BATCH, 40, 32), and their classes."""
    g = stream(seed, "audio/learned", step)
    spectrograms, labels = mixed(sets, BATCH, g)
    return (varied(spectrograms, g) if augmented else spectrograms.float()), labels
