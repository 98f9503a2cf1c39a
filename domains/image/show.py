"""Samples as an HTML fragment that fetches nothing: one picture of all images, each under its caption."""

from __future__ import annotations

import base64
import html
import io
import math
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw
from torch import Tensor

SHOWN, COLUMNS = 64, 8
CELL, GAP, LINE = 64, 6, 14
"""Least width of an enlarged image, gap between images, and height of a caption, in pixels."""


def show(images: Sequence[Tensor], captions: Sequence[str]) -> str:
    """Return a picture of images uint8 (C, H, W), each under its caption, as HTML."""
    if not images:
        return "<p>No images.</p>"
    shown = min(len(images), SHOWN)
    picture = grid(images[:shown], captions[:shown])
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", optimize=True)
    data = base64.b64encode(buffer.getvalue()).decode()
    text = html.escape(f"{shown} images: {', '.join(captions[:shown])}" if any(captions) else f"{shown} images")
    return (
        f'<img alt="{text}" src="data:image/png;base64,{data}" width="{picture.width}" height="{picture.height}" '
        'style="max-width:100%;height:auto;image-rendering:pixelated">'
    )


def grid(images: Sequence[Tensor], captions: Sequence[str]) -> Image.Image:
    """Return the picture: rows of images on a transparent background, with captions in a grey legible on any page."""
    scale = max(1, math.ceil(CELL / images[0].shape[-1]))
    height, width = (scale * side for side in images[0].shape[1:])
    line = LINE if any(captions) else 0
    columns = min(COLUMNS, len(images))
    rows = math.ceil(len(images) / columns)
    picture = Image.new("RGBA", (columns * (width + GAP) - GAP, rows * (height + line + GAP) - GAP), (0, 0, 0, 0))
    pen = ImageDraw.Draw(picture)
    for i, (image, caption) in enumerate(zip(images, captions, strict=True)):
        row, column = divmod(i, columns)
        left, top = column * (width + GAP), row * (height + line + GAP)
        pen.text((left + 1, top), caption[: width // 6], fill=(128, 128, 128, 255))
        picture.paste(to_pillow(image).resize((width, height), Image.Resampling.NEAREST), (left, top + line))
    return picture


def to_pillow(image: Tensor) -> Image.Image:
    """Return an image uint8 (C, H, W) as Pillow's, grey for one channel."""
    pixels = image.permute(1, 2, 0).numpy()
    return Image.fromarray(np.ascontiguousarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels))
