"""Pictures of scenes, with edges smoothed by 4 x 4 samples in each pixel."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from polydiff.domains.image.shapes.draw import STRETCH, Look
from polydiff.domains.image.shapes.scene import SHAPES, SIZES, UNITS, Scene, Thing

Floats = NDArray[np.float64]
SAMPLES = 4
"""Samples of a pixel in each direction."""
BAR = 0.4
"""Width of the bars of a cross, as a share of its own."""
CHUNK = 128
"""Number of scenes painted at a time; more do not fit into the processor's cache."""


def covers(shape: str, x: Floats, y: Floats) -> NDArray[np.bool_]:
    """Return which points are in a shape whose bounding box is [-1, 1] x [-1, 1], with y downwards.

    Arguments:
        shape: One of `SHAPES`.
        x: Coordinates (N, 1, W).
        y: Coordinates (N, H, 1).
    """
    box = (abs(x) <= 1) & (abs(y) <= 1)
    if shape == "circle":
        return np.asarray(x * x + y * y <= 1)
    if shape == "triangle":
        return np.asarray(box & (2 * abs(x) <= y + 1))
    if shape == "cross":
        return np.asarray(box & ((abs(x) <= BAR) | (abs(y) <= BAR)))
    return np.asarray(box)


def coverage(shape: str, x: Floats, y: Floats, width: Floats, side: int) -> Floats:
    """Return the share of each pixel that a shape covers, (N, side, side).

    Arguments:
        shape: One of `SHAPES`.
        x: Middle of each shape from the left of the window, in pixels, (N,).
        y: Middle of each shape from the top of the window, in pixels, (N,).
        width: Width of each shape in pixels, (N,).
        side: Side of the window in pixels.
    """
    samples = (np.arange(side * SAMPLES) + 0.5) / SAMPLES
    half = width[:, None] / 2
    found = covers(shape, ((samples - x[:, None]) / half)[:, None, :], ((samples - y[:, None]) / half)[:, :, None])
    counts = found.reshape(len(x), side, SAMPLES, side, SAMPLES).sum((2, 4), dtype=np.int64)
    return np.asarray(counts / SAMPLES**2)


def render(scenes: Sequence[Scene], looks: Sequence[Look], side: int) -> Tensor:
    """Return pictures of scenes, uint8 (B, 3, side, side).

    Arguments:
        scenes: B scenes.
        looks: How each is painted.
        side: Side of the pictures in pixels.
    """
    parts = [paint(scenes[i : i + CHUNK], looks[i : i + CHUNK], side) for i in range(0, len(scenes), CHUNK)]
    return torch.from_numpy(np.concatenate(parts)) if parts else torch.zeros(0, 3, side, side, dtype=torch.uint8)


def paint(scenes: Sequence[Scene], looks: Sequence[Look], side: int) -> NDArray[np.uint8]:
    """Return pictures of at least one scene, uint8 (B, 3, side, side)."""
    canvas = np.empty((len(scenes), 3, side, side))
    canvas[:] = np.array([look.ground for look in looks])[:, None, None, None]
    for k in range(max(len(scene.things) for scene in scenes)):  # no two of one scene at a time: windows overlap
        for shape in SHAPES:
            rows = [b for b, scene in enumerate(scenes) if k < len(scene.things) and scene.things[k].shape == shape]
            if rows:
                add(canvas, rows, [scenes[b].things[k] for b in rows], [looks[b] for b in rows], k)
    return np.floor(canvas + 0.5).astype(np.uint8)


def add(canvas: Floats, rows: Sequence[int], things: Sequence[Thing], looks: Sequence[Look], k: int) -> None:
    """Paint one thing on each of some pictures.

    Arguments:
        canvas: Pictures (B, 3, side, side), changed in place.
        rows: Index of each picture that gets a thing, all different.
        things: The things, all of one shape.
        looks: How their scenes are painted.
        k: Number of the thing in its scene.
    """
    side = canvas.shape[-1]
    unit = side / UNITS
    window = min(side, math.ceil(max(SIZES.values()) * (1 + STRETCH) * unit) + 2)
    middle = unit * np.array([(thing.x, thing.y) for thing in things])
    start = np.clip(np.floor(middle - window / 2 + 0.5).astype(np.int64), 0, side - window)
    width = unit * np.array([look.widths[k] for look in looks])
    x, y = (middle - start).T
    share = coverage(str(things[0].shape), x, y, width, window)
    change = np.array([look.shades[k] for look in looks]) - np.array([look.ground for look in looks])[:, None]
    columns, lines = (start[:, i : i + 1] + np.arange(window) for i in (0, 1))
    at = (
        np.array(rows)[:, None, None, None],
        np.arange(3)[:, None, None],
        lines[:, None, :, None],
        columns[:, None, None, :],
    )
    canvas[at] += change[:, :, None, None] * share[:, None]
