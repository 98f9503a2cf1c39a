"""A detector that reads scenes from pixels, without training.

1. A picture is averaged down to 32 x 32 pixels. The ground is the median of its outermost pixels.
2. Each pixel, lightly blurred, is explained as a mixture of the ground and one colour of the palette; things are the
   connected parts where the share of the colour is above one half.
3. A thing's colour is that nearest to the median of its inner pixels. With this median, the share of each pixel around
   it follows without a blur, and the nearest of some thousand templates gives shape, size and position.

It reports no scene at all if the ground is not plain and light, if there is nothing on it or more than `MOST` things,
if much of it belongs to no thing, or if no thing has a recognisable shape.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from polydiff.domains.image.shapes.components import blurred, grow, label
from polydiff.domains.image.shapes.scene import COLOURS, SHAPES, SIZES, UNITS, Scene, Thing
from polydiff.domains.image.shapes.templates import WINDOW, templates
from polydiff.support.errors import UserError

CHUNK = 256
"""Number of pictures read at a time."""
MOST = 6
"""Largest number of things in a picture that is a scene."""
SPECK = 8
"""Parts of fewer pixels are no things."""
LIGHT, TINT, ROUGH = 180.0, 45.0, 45.0
"""Of the ground: least value of a channel, largest difference between channels, largest median deviation."""
INSIDE = 0.5
"""Share of a colour, in a blurred pixel, from which on it belongs to a thing."""
CORE = 0.85
"""Share of a colour, relative to the largest of a thing, from which on a pixel counts for the thing's colour."""
STRAY, STRAYS = 60.0, 0.06
"""A pixel away from all things that differs from the ground by more than the first, in RGB, is stray; a scene has a
smaller share of them than the second."""
FAR = 90.0
"""A median colour farther than this from all of the palette, in RGB, has no name."""
MISFIT = 0.2
"""Largest squared difference of a thing from its best template, relative to the template's square."""
REACH = 2
"""Pixels around a thing that are compared with templates too."""


class Parts(NamedTuple):
    """The parts found in a batch, N in all.

    Arguments:
        image: Index of the picture of each, (N,).
        windows: RGB values around each, less the ground, (N, 3, WINDOW, WINDOW).
        core: Its inner pixels in the window, booleans (N, WINDOW, WINDOW).
        around: Its pixels and those near it, booleans (N, WINDOW, WINDOW).
        x: Column of the middle of the window, (N,).
        y: Its row.
    """

    image: Tensor
    windows: Tensor
    core: Tensor
    around: Tensor
    x: Tensor
    y: Tensor


@torch.no_grad()
def detect(images: Tensor) -> list[Scene | None]:
    """Return what pictures show; None if a picture shows no scene.

    The things of a scene have no particular order. A thing without a recognisable shape or colour has None there.

    Arguments:
        images: uint8 (B, 3, S, S) with S a multiple of 32.

    Raises:
        UserError: The images have another shape or are not uint8.
    """
    wrong = images.ndim != 4 or images.shape[1] != 3 or images.shape[2] != images.shape[3] or images.shape[2] % UNITS
    if wrong or not images.shape[2] or images.dtype != torch.uint8:
        raise UserError(
            "The detector of shapes reads colour images, uint8 (B, 3, S, S) with S a multiple of 32, not "
            f"{images.dtype} {tuple(images.shape)}."
        )
    return [scene for part in images.cpu().split(CHUNK) if len(part) for scene in read(part)]


def read(images: Tensor) -> list[Scene | None]:
    """Return what a few pictures show."""
    x = functional.avg_pool2d(images.float(), images.shape[-1] // UNITS)
    border = torch.cat([x[..., 0, :], x[..., -1, :], x[..., 1:-1, 0], x[..., 1:-1, -1]], -1)
    ground = border.median(-1).values
    rough = (border - ground[..., None]).abs().median(-1).values.amax(1)
    plain = (ground.amin(1) >= LIGHT) & (ground.amax(1) - ground.amin(1) <= TINT) & (rough <= ROUGH)
    x = x - ground[..., None, None]
    soft = blurred(x)
    share = shares(soft, ground)
    labels = without_specks(label(share > INSIDE))
    near = grow(labels, REACH)
    strays = ((soft.square().sum(1) > STRAY**2) & (near == 0)).double().mean((1, 2))
    parts = find(x, share, labels, near)
    found = things(parts, ground)
    scenes: list[list[Thing]] = [[] for _ in images]
    for b, thing in zip(parts.image.tolist(), found, strict=True):
        scenes[b].append(thing)
    good = (plain & (strays < STRAYS)).tolist()
    return [
        Scene(tuple(seen)) if ok and len(seen) <= MOST and any(thing.shape for thing in seen) else None
        for ok, seen in zip(good, scenes, strict=True)
    ]


def palette() -> Tensor:
    """Return the mean RGB values of all colours, (C, 3)."""
    return torch.tensor(list(COLOURS.values()), dtype=torch.float32)


def shares(x: Tensor, ground: Tensor) -> Tensor:
    """Return the share of a colour in each pixel, 0 to 1, (B, H, W): of the colour whose mixture is nearest.

    Arguments:
        x: RGB values less the ground, (B, 3, H, W).
        ground: RGB value of the ground, (B, 3).
    """
    best = least = x.new_zeros(len(x), *x.shape[2:])
    for colour in palette():
        ray = colour - ground
        along = (ray[..., None, None] * x).sum(1)
        square = ray.square().sum(1)[:, None, None]
        share = (along / square).clamp(0, 1)
        miss = share * (share * square - 2 * along)  # |x - share ray|^2 - |x|^2
        best, least = torch.where(miss < least, share, best), torch.minimum(miss, least)
    return best


def without_specks(labels: Tensor) -> Tensor:
    """Return labels (B, H, W) with those of fewer than `SPECK` pixels set to 0."""
    names, which, counts = labels.unique(return_inverse=True, return_counts=True)
    kept: Tensor = names * (counts >= SPECK)
    return kept[which]


def find(x: Tensor, share: Tensor, labels: Tensor, near: Tensor) -> Parts:
    """Return the parts of pictures.

    Arguments:
        x: RGB values less the ground, (B, 3, H, W).
        share: Share of a colour in each pixel, (B, H, W).
        labels: Part of each pixel, 0 for none, (B, H, W).
        near: The same, with the pixels near parts, (B, H, W).
    """
    names = labels.unique()
    names = names[names > 0]
    b, row, column = (labels > 0).nonzero(as_tuple=True)
    which = torch.searchsorted(names, labels[b, row, column])
    weight = share[b, row, column].double()

    def total(values: Tensor) -> Tensor:
        return torch.zeros(len(names), dtype=torch.float64).index_add(0, which, values)

    mass = total(weight)
    y_0, x_0 = ((total(weight * place) / mass).round().long() for place in (row, column))
    image = torch.zeros(len(names), dtype=torch.long).index_put((which,), b)
    half = WINDOW // 2
    steps = torch.arange(WINDOW)
    at = (image[:, None, None], (y_0[:, None] + steps)[:, :, None], (x_0[:, None] + steps)[:, None, :])
    wide = (half,) * 4
    own = functional.pad(share, wide)[at] * (functional.pad(labels, wide)[at] == names[:, None, None])
    core = own >= CORE * own.amax((1, 2), keepdim=True)
    around = functional.pad(near, wide)[at] == names[:, None, None]
    windows = functional.pad(x, wide).movedim(1, -1)[at].movedim(-1, 1)
    return Parts(image, windows, core, around, x_0, y_0)


def things(parts: Parts, ground: Tensor) -> list[Thing]:
    """Return what each part is.

    Arguments:
        parts: N parts.
        ground: RGB value of the ground of each picture, (B, 3).
    """
    masked = parts.windows.masked_fill(~parts.core[:, None], torch.nan).flatten(2)
    colour = masked.nanmedian(-1).values
    distance, nearest = torch.cdist(colour + ground[parts.image], palette()).min(1)
    share = (parts.windows * colour[:, :, None, None]).sum(1) / colour.square().sum(1).clamp(min=1)[:, None, None]
    share = (share.clamp(-0.5, 1.5) * parts.around).flatten(1)
    known = templates()
    squares = known.pictures.square().sum(1)
    misses = squares - 2 * share @ known.pictures.T + share.square().sum(1, keepdim=True)
    miss, best = (misses / squares).min(1)
    rows = zip(
        known.shapes[best].tolist(),
        known.sizes[best].tolist(),
        (parts.x + 0.5 + known.x[best]).tolist(),
        (parts.y + 0.5 + known.y[best]).tolist(),
        nearest.tolist(),
        (miss <= MISFIT).tolist(),
        (distance <= FAR).tolist(),
        strict=True,
    )
    shapes, sizes, colours = SHAPES, tuple(SIZES), tuple(COLOURS)
    return [
        Thing(shapes[shape] if fits else None, colours[name] if close else None, sizes[size] if fits else None, x, y)
        for shape, size, x, y, name, fits, close in rows
    ]
