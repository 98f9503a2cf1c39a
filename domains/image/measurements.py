"""Linear measurements of images by name: grey, blurred, reduced or partly known images.

They act on states, so that y has the scale of the codec.

Symbols: C channels, H and W sides in pixels, m means of the channels, w weights of the channels.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

from polydiff.contract.measurements import kept_places, mean_blocks, name_and_value, number
from polydiff.core.space import Batch, Euclidean, Measurement, State
from polydiff.domains.image.codec import Standardise
from polydiff.domains.image.config import ImageData
from polydiff.domains.image.data.inputs import read_file, read_mask, region
from polydiff.support.errors import UserError

FORMS: Mapping[str, str] = {
    "grey": "grey",
    "blur": "blur=1.5",
    "mean": "mean=4",
    "gap": "gap=2,2:6,6",
    "mask": "mask=white.png",
}
"""Name of a measurement -> an example."""
WEIGHTS = (0.299, 0.587, 0.114)
"""Shares of red, green and blue in grey, those of Pillow (ITU-R BT.601)."""
REACH = 3
"""Radius of a blur, in its standard deviations."""
LEAST_BLUR = 0.1
"""Least standard deviation of a blur, in pixels; beside it a pixel keeps all but 1e-21 of its light."""


def examples_for(data: ImageData) -> list[str]:
    """Return one text for each kind of measurement of a model's images that needs no file."""
    half = data.side // 2
    colour = ["grey"] if data.planes == len(WEIGHTS) else []
    return [*colour, f"blur={min(1.5, half / REACH):.2g}", "mean=2", f"gap=0,0:{half},{half}"]


def measurement(text: str, given: Batch, codec: Standardise, data: ImageData) -> Measurement:
    """Return a measurement of images.

    Arguments:
        text: One of `FORMS`, with another value.
        given: The clean states (B, C, H, W).
        codec: Codec of the states.
        data: Data of the model, for the size of a mask.

    Raises:
        UserError: There is no such measurement, or the images do not allow it.
    """
    name, value = name_and_value(text, FORMS)
    x, unit = given.x, 2 / codec.std  # a pixel has the range [-1, 1] before the codec divides by its std
    side = min(x.shape[2:])
    match name:
        case "grey":
            return grey(x, codec, unit)
        case "blur":
            what = f"the standard deviation of a blur in pixels, for images of {side} pixels,"
            return blur(x, number(text, value, LEAST_BLUR, side / REACH, what), unit)
        case "mean":
            what = f"the side of a block in pixels, for images of {side} pixels,"
            return mean_blocks(x, int(number(text, value, 2, side, what, whole=True)), unit)
        case "gap":
            return kept_places(x, ~region(value, x.shape[2], x.shape[3]), unit, text)
        case _:
            return kept_places(x, ~read_mask(Path(value), [], data, "mask="), unit, text)


def read_measured(text: str, paths: Sequence[Path], codec: Standardise, data: ImageData) -> tuple[Batch, Tensor]:
    """Return what pictures hold as measurements (`polydiff.contract.measurements.ReadsMeasured`).

    A reduced picture has the sides of the blocks' grid, and any other the sides of the model's images. The codec shifts
    and scales all pixels of a channel alike, so a blurred or reduced picture is encoded as the images are.

    Arguments:
        text: One of `FORMS`, with another value.
        paths: The pictures.
        codec: Codec of the states.
        data: Data of the model.
    """
    name, _ = name_and_value(text, FORMS)
    space = Euclidean(len(paths), (data.planes, data.side, data.side))
    blank = Batch(torch.zeros(len(paths), *space.shape), space)
    operator = measurement(text, blank, codec, data)
    planes = 1 if name == "grey" else data.planes
    sides = operator.space.shape[1:] if name == "mean" else space.shape[1:]  # type: ignore[attr-defined] # Euclidean
    pictures = [read_file(path, 0, planes) for path in paths]
    for path, picture in zip(paths, pictures, strict=True):
        if tuple(picture.shape[1:]) != tuple(sides):
            raise UserError(
                f"{path} has {picture.shape[2]} x {picture.shape[1]} pixels, but {text} of the model's images, "
                f"{data.side} x {data.side}, has {sides[1]} x {sides[0]}. Leave out measured if the file is to be "
                "measured."
            )
    stacked = torch.stack(pictures)
    if name == "grey":
        mean = sum(weight * one for weight, one in zip(WEIGHTS, codec.mean, strict=True))
        return blank, Standardise((mean,), codec.std).encode(stacked)
    y = codec.encode(stacked)
    return blank, y if name in ("blur", "mean") else operator.forward(y)


def grey(x: State, codec: Standardise, unit: float) -> Measurement:
    """Return the grey value of each pixel, y = sum_c w_c x_c; grey pixels have three equal channels before the codec.

    Arguments:
        x: States (B, C, H, W), for their sizes.
        codec: Gives the means of the channels.
        unit: As in `polydiff.core.space.Measurement`.

    Raises:
        UserError: The images have one channel.
    """
    if x.shape[1] != len(WEIGHTS):
        raise UserError("grey measures images with three channels, and the images of this model are grey already.")
    weights, mean = torch.tensor(WEIGHTS)[:, None, None], torch.tensor(codec.mean)[:, None, None]
    shift = ((weights * mean).sum(0) - mean) / codec.std

    def forward(x: State) -> Tensor:
        return (weights.to(x) * x).sum(1, keepdim=True)

    return Measurement(
        forward,
        lambda y: weights.to(y) * y,
        Euclidean(len(x), (1, *x.shape[2:])),
        unit,
        lambda y: y + shift.to(y),
        "the grey image",
    )


def blur(x: State, std: float, unit: float) -> Measurement:
    """Return the convolution with a Gaussian, of images mirrored at their edges: an operator that is its own adjoint.

    Arguments:
        x: States (B, C, H, W), for their sizes.
        std: Standard deviation of the Gaussian in pixels.
        unit: As in `polydiff.core.space.Measurement`.
    """
    radius = min(math.ceil(REACH * std), *x.shape[2:])
    line = torch.exp(-(torch.arange(-radius, radius + 1).double() ** 2) / (2 * std**2))
    line /= line.sum()

    def forward(x: State) -> Tensor:
        for axis in (2, 3):
            x = x.movedim(axis, -1)
            before, after = x[..., :radius].flip(-1), x[..., x.shape[-1] - radius :].flip(-1)
            padded = torch.cat([before, x, after], -1)
            rows = functional.conv1d(padded.reshape(-1, 1, padded.shape[-1]), line.to(x)[None, None])
            x = rows.reshape(x.shape).movedim(-1, axis)
        return x

    return Measurement(forward, forward, Euclidean(len(x), tuple(x.shape[1:])), unit, lambda y: y, "the blurred image")
