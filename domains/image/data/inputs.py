"""A user's own image files as inputs, and parts of an image given in pixels."""

from __future__ import annotations

import re
import warnings
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from polydiff.domains.image.config import ImageData
from polydiff.domains.image.data.files import load
from polydiff.domains.image.data.source import centre, shrunk
from polydiff.support.errors import UserError, check_file

HALF = 128
"""Brightness from which on a pixel of a mask is white."""
CORNERS = re.compile(r"(\d+),(\d+):(\d+),(\d+)")


def read_images(paths: Sequence[Path], data: ImageData) -> Tensor:
    """Return the middle squares of files, as training sees them, uint8 (B, C, S, S).

    Raises:
        UserError: A path is no file, or the file cannot be read as an image.
    """

    images = [centre(read_file(path, data.square, data.planes), data.square) for path in paths]
    return shrunk(torch.stack(images), data.shrink)


def read_file(path: Path, size: int, channels: int) -> Tensor:
    """Return an image whose shorter side is `size` (0: unchanged), uint8 (C, H, W); warn if there are further frames.

    Raises:
        UserError: The path is no file, or the file cannot be read as an image.
    """
    check_file(path)
    try:
        image, facts = load(path, size, channels)
    except Exception as error:
        raise UserError(f"{path} cannot be read as an image: {error}") from error
    if facts.several:
        warnings.warn(f"{path} holds several pages or frames; the first is used.", stacklevel=2)
    return image


def read_whole(paths: Sequence[Path], data: ImageData) -> Tensor:
    """Return whole files in their own size, uint8 (B, C, H, W), for upsampling.

    Raises:
        UserError: A path is no file, or the file cannot be read as an image or differs in size from the first.
    """

    images = [read_file(path, 0, data.planes) for path in paths]
    for path, other in zip(paths, images, strict=True):
        if other.shape != images[0].shape:
            raise UserError(f"{path} differs in size from {paths[0]}. Read files of different sizes one at a time.")
    return torch.stack(images)


def read_mask(path: Path, files: Sequence[Path], data: ImageData, option: str = "mask ") -> Tensor:
    """Return where a picture is white, or transparent, booleans (S, S), resized and cut as the examples are.

    Arguments:
        path: The picture; pixels from half of full brightness on are white.
        files: Files of the examples, whose size it has unless it has the model's; [] for held-out examples.
        data: Gives the size S of the model's images.
        option: What stands before the path in messages.

    Raises:
        UserError: The picture cannot be read, or has another size.
    """
    drawn, side = read_file(path, 0, 1), data.side
    own = (drawn.shape[2], drawn.shape[1])
    for file in files if own != (side, side) else []:
        if (size := upright_size(file)) != own:
            raise UserError(
                f"{option}{path} has {own[0]} x {own[1]} pixels, but {file} has {size[0]} x {size[1]}. A mask has the "
                f"size of the files, or that of the model's images, {side} x {side}."
            )
    if not files and own != (side, side):
        raise UserError(
            f"{option}{path} has {own[0]} x {own[1]} pixels, but the model's images have {side} x {side}. Resize it."
        )
    return centre(read_file(path, side, 1), side)[0] >= HALF


def upright_size(path: Path) -> tuple[int, int]:
    """Return the width and height of an image's file, turned by its EXIF tag."""
    image = read_file(path, 0, 1)
    return image.shape[2], image.shape[1]


def region(text: str, height: int, width: int) -> Tensor:
    """Return the mask of X0,Y0:X1,Y1, booleans (H, W): from the upper left corner to the lower right, excluded.

    Raises:
        UserError: The text has another form, or the part is empty or extends beyond the image.
    """
    corners = CORNERS.fullmatch(text.replace(" ", ""))
    if corners is None:
        raise UserError(
            f"{text!r} is not a part of an image. Write X0,Y0:X1,Y1 in pixels from the upper left, such as 2,2:6,6."
        )
    left, top, right, bottom = map(int, corners.groups())
    if right > width or bottom > height:
        raise UserError(
            f"{text} exceeds the model's images of {width} x {height} pixels, to which gap and keep refer. A "
            "mask of the size of a file marks parts of this file."
        )
    if left >= right or top >= bottom:
        raise UserError(f"{text} contains no pixel: the first corner is the upper left, the second the lower right.")
    mask = torch.zeros(height, width, dtype=torch.bool)
    mask[top:bottom, left:right] = True
    return mask
