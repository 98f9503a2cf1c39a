"""What a small classifier learns from labelled images: its accuracy on held-out ones.

It is the network of the judge (`polydiff.domains.image.metrics.judge`), trained anew on the given images alone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional

from polydiff.core.streams import stream
from polydiff.domains.image.data.source import Split
from polydiff.domains.image.metrics.judge import BATCH, SMOOTHING, Classifier
from polydiff.metrics.classifier import classifier, mixed

STEPS = 200
TURN, SCALE, MOVE = 15, 0.1, 0.1
"""Largest change of an image: turn in degrees, scale as a share, and move as a share of its side."""
CHANGES = "turned by up to 15 degrees, scaled by up to 10 % and moved by up to a tenth of the side"


def accuracy(sets: Sequence[tuple[Tensor, Tensor]], test: Split, classes: int, seed: int, augmented: bool) -> float:
    """Return the share of held-out images that a classifier trained on sets of images recognises.

    Arguments:
        sets: Images uint8 (N, C, S, S) and their classes (N,), of each set; each has the same share in training.
        test: Held-out images; those without a class are not counted.
        classes: Number of classes.
        seed: Of the weights, the order of the images and their changes.
        augmented: Whether images are changed (`CHANGES`).
    """
    channels, side = sets[0][0].shape[1:3]
    network = classifier(
        None,
        partial(Classifier, channels, side, classes),
        partial(batch, sets, seed, augmented),
        STEPS,
        smoothing=SMOOTHING,
        seed=seed,
    )
    with torch.no_grad():
        answers = torch.cat([network(part).argmax(1) for part in test.parts(range(len(test)))])
    return float((answers == test.labels)[test.labels >= 0].double().mean())


def batch(sets: Sequence[tuple[Tensor, Tensor]], seed: int, augmented: bool, step: int) -> tuple[Tensor, Tensor]:
    """Return the images of a training step, (BATCH, C, S, S), and their classes."""
    g = stream(seed, "image/learned", step)
    images, labels = mixed(sets, BATCH, g)
    return (changed(images, g) if augmented else images), labels


def changed(images: Tensor, generator: torch.Generator) -> Tensor:
    """Return images uint8 (B, C, S, S), each changed at random (`CHANGES`), with repeated edges, as float32."""
    turn, scale, right, down = (2 * torch.rand(4, len(images), generator=generator) - 1).unbind()
    angle, size = math.radians(TURN) * turn, 1 + SCALE * scale
    cos, sin = angle.cos() / size, angle.sin() / size
    rows = [torch.stack([cos, -sin, 2 * MOVE * right], 1), torch.stack([sin, cos, 2 * MOVE * down], 1)]
    grid = functional.affine_grid(torch.stack(rows, 1), list(images.shape), align_corners=False)
    return functional.grid_sample(images.float(), grid, padding_mode="border", align_corners=False)
