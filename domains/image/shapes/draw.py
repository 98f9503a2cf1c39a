"""Random scenes: scene i of a split depends on (seed, split, i) alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch

from polydiff.core.streams import stream
from polydiff.domains.image.shapes.layout import OPPOSITE, Dice, at_place, related
from polydiff.domains.image.shapes.scene import COLOURS, PLACES, RELATIONS, SEEN, SIZES, UNSEEN, Scene, Thing

Split = Literal["train", "test", "unseen"]
RGB = tuple[float, float, float]
NUMBERS = 40
"""Uniform numbers of a scene; at most 36 are used."""
STRETCH = 0.04
"""Largest relative deviation of a thing's width from the mean of its size."""
SHADE = 10.0
"""Largest deviation of a thing's colour from its mean, in each channel."""
GROUND = (215.0, 235.0)
"""Range of the grey level of the ground."""


@dataclass(frozen=True)
class Look:
    """How a scene is painted.

    Arguments:
        ground: Grey level of the ground, 0 to 255.
        widths: Width and height of each thing, in units.
        shades: RGB value of each thing, 0 to 255 each.
    """

    ground: float
    widths: tuple[float, ...]
    shades: tuple[RGB, ...]


def dice_of(seed: int, purpose: str, index: int, numbers: int = NUMBERS) -> Dice:
    """Return the random choices of the stream (seed, purpose, index)."""
    generator = stream(seed, purpose, index)
    return Dice(torch.rand(numbers, generator=generator, dtype=torch.float64).tolist())


def draw(seed: int, split: Split, index: int, counts: Sequence[int]) -> tuple[Scene, Look]:
    """Return a scene and how it is painted.

    Arguments:
        seed: Seed of the data set.
        split: "train" and "test" show pairs of colour and shape that are in `SEEN`; each scene of "unseen" has exactly
            one thing whose pair is in `UNSEEN`.
        index: Index of the scene, from 0.
        counts: Possible numbers of things, all equally likely.
    """
    dice = dice_of(seed, f"shapes/{split}", index)
    count = dice.pick(counts)
    pairs = draw_pairs(dice, count, split)
    sizes = [dice.pick(tuple(SIZES)) for _ in pairs]
    widths = tuple(SIZES[size] * dice.between(1 - STRETCH, 1 + STRETCH) for size in sizes)
    if count == 1:
        points = [at_place(dice, dice.pick(tuple(PLACES)))]
    else:
        points = related(dice, [width / 2 for width in widths], draw_relations(dice, count))
    things = tuple(
        Thing(shape, colour, size, x, y) for (colour, shape), size, (x, y) in zip(pairs, sizes, points, strict=True)
    )
    look = Look(dice.between(*GROUND), widths, tuple(shade(dice, colour) for colour, _ in pairs))
    return Scene(things), look


def draw_pairs(dice: Dice, count: int, split: Split) -> list[tuple[str, str]]:
    """Return different pairs (colour, shape) of the things of a scene."""
    held_out = int(dice.between(0, count)) if split == "unseen" else -1
    pairs: list[tuple[str, str]] = []
    for i in range(count):
        known = [pair for pair in (UNSEEN if i == held_out else SEEN) if pair not in pairs]
        pairs.append(dice.pick(known))
    return pairs


def draw_relations(dice: Dice, count: int) -> list[str]:
    """Return relations of the first thing to each of the others; two are never opposite, for lack of room."""
    first = dice.pick(RELATIONS)
    if count == 2:
        return [first]
    return [first, dice.pick([name for name in RELATIONS if name != OPPOSITE[first]])]


def shade(dice: Dice, colour: str) -> RGB:
    """Return a colour near the mean of its name."""
    r, g, b = (channel + dice.between(-SHADE, SHADE) for channel in COLOURS[colour])
    return min(max(r, 0), 255), min(max(g, 0), 255), min(max(b, 0), 255)
