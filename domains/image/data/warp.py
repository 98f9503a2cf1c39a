r"""Augmentation that does not leak: random changes of training images, of which the network knows.

The changes are those of Karras et al. (2022, https://arxiv.org/abs/2206.00364, appendix F.2): half of the images are
mirrored left for right, and each of the following has the probability p:

| change | distribution |
|---|---|
| mirrored top for bottom | in half of the cases |
| scaled by $2^{0.2 n}$ | n ~ N(0, 1) |
| turned by an angle | uniform over the circle |
| stretched by $2^{0.2 n}$ along an axis and compressed by as much across it | n ~ N(0, 1), any axis |
| moved by $(n_x, n_y)/8$ of the side | $n_x, n_y$ ~ N(0, 1) |

Nine numbers describe the changes and are 0 if and only if the image is unchanged. They are a condition of the network,
so a network that is given 0 draws images as they were before. Moved and turned images are sampled by cubic
interpolation and reflected beyond their edges. A turn by 90 degrees and a move by whole pixels are exact.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from polydiff.core.conditions import AUGMENT
from polydiff.domains.image.config import ImageData
from polydiff.domains.image.data.source import Split, augment, shrunk

NUMBERS = 9
"""Length of the vector that describes the changes of an image."""
SIZES, MOVES = 0.2, 0.125
"""Standard deviations of log_2 of a scale or stretch, and of a move as a share of the side."""


class Warp(NamedTuple):
    """Changes of an image, in the order in which they are made; the default is none.

    Attributes:
        mirror: Left for right.
        flip: Top for bottom.
        scale: n of the factor 2^(0.2 n).
        turn: Angle, anticlockwise, in radians.
        stretch: n of the factor 2^(0.2 n) along an axis.
        axis: Angle of this axis, in radians.
        right: Move to the right, in eighths of the side.
        down: Move down, in eighths of the side.
    """

    mirror: bool = False
    flip: bool = False
    scale: float = 0.0
    turn: float = 0.0
    stretch: float = 0.0
    axis: float = 0.0
    right: float = 0.0
    down: float = 0.0

    @property
    def condition(self) -> list[float]:
        """The `NUMBERS` numbers that describe the changes."""
        turn = math.cos(self.turn) - 1, math.sin(self.turn)
        stretch = self.stretch * math.cos(self.axis), self.stretch * math.sin(self.axis)
        return [float(self.mirror), float(self.flip), self.scale, *turn, *stretch, self.right, self.down]


def training_images(
    part: Split, indices: Sequence[int], data: ImageData, generators: Sequence[torch.Generator]
) -> tuple[Tensor, dict[str, Tensor]]:
    """Return images of a training step, uint8 (B, C, S, S), and the condition that describes their changes.

    Arguments:
        part: The training images.
        indices: Which of them, B numbers.
        data: Gives crop, flip and augment.
        generators: One for each image; it decides all changes of this image.

    Returns:
        The images, and {"_augment": (B, 9)}, or {} if `data.augment` is 0.
    """
    pairs = list(zip(indices, generators, strict=True))
    images = [augment(part.images[i], data, g) for i, g in pairs]
    if not data.augment:
        return shrunk(torch.stack(images), data.shrink), {}
    warps = [draw(data.augment, g) for g in generators]
    changed = [warped(image, warp) for image, warp in zip(images, warps, strict=True)]
    return shrunk(torch.stack(changed), data.shrink), {AUGMENT: torch.tensor([warp.condition for warp in warps])}


def draw(p: float, generator: torch.Generator) -> Warp:
    """Return random changes, each with the probability p; mirroring is always in half of the cases."""
    flips, scales, turns, stretches, moves = (torch.rand(5, generator=generator) < p).tolist()
    mirror, flip = (torch.rand(2, generator=generator) < 0.5).tolist()
    turn, axis = ((2 * torch.rand(2, generator=generator) - 1) * math.pi).tolist()
    scale, stretch, right, down = torch.randn(4, generator=generator).tolist()
    return Warp(
        mirror=mirror,
        flip=flips and flip,
        scale=scales * scale,
        turn=turns * turn,
        stretch=stretches * stretch,
        axis=stretches * axis,
        right=moves * right,
        down=moves * down,
    )


def warped(image: Tensor, warp: Warp) -> Tensor:
    """Return an image uint8 (C, S, S) with these changes."""
    image = image.flip([axis for axis, yes in ((-1, warp.mirror), (-2, warp.flip)) if yes])
    if not (warp.scale or warp.turn or warp.stretch or warp.right or warp.down):
        return image
    side = image.shape[-1]
    ends = torch.linspace(-1, 1, side, dtype=torch.float64)  # centres of the outermost pixels are at -1 and 1
    down, right = torch.meshgrid(ends, ends, indexing="ij")
    move = 2 * MOVES * side / (side - 1) * torch.tensor([warp.right, warp.down], dtype=torch.float64)
    places = (torch.stack([right, down], -1) - move) @ inverse(warp).T
    seen = functional.grid_sample(
        image.float()[None], places.float()[None], mode="bicubic", padding_mode="reflection", align_corners=True
    )
    return seen[0].round().clamp(0, 255).to(torch.uint8)


def inverse(warp: Warp) -> Tensor:
    """Return the matrix (2, 2) from a place (right, down) of the changed image to that of the image, without moves."""
    size, stretch = 2 ** (-SIZES * warp.scale), 2 ** (-SIZES * warp.stretch)
    along = torch.diag(torch.tensor([stretch, 1 / stretch], dtype=torch.float64))
    return size * turned(-warp.turn) @ turned(warp.axis) @ along @ turned(-warp.axis)


def turned(angle: float) -> Tensor:
    """Return the matrix (2, 2) that turns places (right, down) anticlockwise by an angle in radians."""
    c, s = math.cos(angle), math.sin(angle)
    return torch.tensor([[c, s], [-s, c]], dtype=torch.float64)
