"""Templates of single things, with which the detector compares what it finds."""

from __future__ import annotations

from functools import cache
from itertools import product
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from polydiff.domains.image.shapes.components import blurred
from polydiff.domains.image.shapes.render import coverage
from polydiff.domains.image.shapes.scene import SHAPES, SIZES

WINDOW = 21
"""Side of a template in pixels."""
STRETCHES = (0.95, 1.0, 1.05)
"""Widths of templates, relative to the mean of their size."""
PHASES = (-0.5, -0.25, 0.0, 0.25, 0.5)
"""Positions of templates relative to a pixel's middle, in x and in y."""
BLURS = (0, 1, 2)
"""How often templates are blurred, for pictures with soft edges."""
LOW = {"triangle": 1 / 6}
"""How far the centroid of a shape is below the middle of its bounding box, as a share of its width; else 0."""


class Templates(NamedTuple):
    """Pictures of K things, one in each, and what they show.

    Arguments:
        pictures: Share of each pixel that the thing covers, float32 (K, WINDOW^2).
        shapes: Index in `SHAPES`, (K,).
        sizes: Index in `SIZES`, (K,).
        x: Middle of the bounding box, relative to the middle of the window, in pixels, (K,).
        y: The same downwards.
    """

    pictures: Tensor
    shapes: Tensor
    sizes: Tensor
    x: Tensor
    y: Tensor


@cache
def templates() -> Templates:
    """Return templates of all shapes and sizes, the centroid of each near the middle of the window."""
    kinds = list(product(enumerate(SHAPES), enumerate(SIZES.values()), STRETCHES, PHASES, PHASES))
    pictures, rows = [], []
    for (shape, name), (size, mean), stretch, x, y in kinds:
        width = mean * stretch
        rows.append((shape, size, x, y - LOW.get(name, 0) * width))
        at_x, at_y = (np.array([WINDOW / 2 + value]) for value in rows[-1][2:])
        pictures.append(coverage(name, at_x, at_y, np.array([width]), WINDOW))
    sharp = torch.from_numpy(np.stack(pictures)).float()
    versions = [sharp]
    for _ in BLURS[1:]:
        versions.append(blurred(versions[-1]))
    shapes, sizes, xs, ys = (torch.tensor(column).repeat(len(BLURS)) for column in zip(*rows, strict=True))
    return Templates(torch.cat(versions).flatten(1), shapes, sizes, xs, ys)
