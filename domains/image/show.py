"""Samples as files, as arrays, and as an HTML fragment that fetches nothing: a grid of images above their captions."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.nn import functional

SHOWN = 64
CELL, CAPTIONED, WIDEST = 64, 96, 256
"""Least width of an image on the page, the same with a caption of several words, and largest width, in pixels."""
COLUMNS, GAP = 8, 4
"""Images in a row of a sheet, and pixels between them."""
LONG, LONGEST = 12, 240
"""Numbers of characters above which a caption needs a wider image, and above which it is cut."""


def show(images: Sequence[Tensor], captions: Sequence[str]) -> str:
    """Return images uint8 (C, H, W), each above its caption, as HTML. Long captions wrap; the longest are cut."""
    if not images:
        return "<p>No images.</p>"
    shown = list(zip(images, captions, strict=True))[:SHOWN]
    least = CAPTIONED if any(len(caption) > LONG for _, caption in shown) else CELL
    width = min(max(least, images[0].shape[-1]), WIDEST)
    figures = "".join(figure(image, caption, width) for image, caption in shown)
    return (
        f'<div style="display:grid;grid-template-columns:repeat(auto-fill,{width}px);gap:10px 8px;align-items:start">'
        f"{figures}</div>"
    )


def figure(image: Tensor, caption: str, width: int) -> str:
    """Return one image, `width` pixels wide on the page, above its caption; a cut caption is whole in its tooltip."""
    text = html.escape(caption)
    cut = caption if len(caption) <= LONGEST else caption[: LONGEST - 1].rstrip() + "\N{HORIZONTAL ELLIPSIS}"
    words = (
        f'<figcaption title="{text}" style="font:12px/1.3 sans-serif;color:#444;margin-top:2px;'
        f'overflow-wrap:anywhere">{html.escape(cut)}</figcaption>'
        if caption
        else ""
    )
    enlarged = "image-rendering:pixelated;" if image.shape[-1] < width else ""
    height = round(width * image.shape[-2] / image.shape[-1])
    return (
        f'<figure style="margin:0;width:{width}px"><img alt="{text or "image"}" src="{data_url(image)}" '
        f'width="{width}" height="{height}" style="display:block;{enlarged}">{words}</figure>'
    )


HOT = (205, 40, 30)
"""Colour of places of weight 1."""
STRONGEST, PALE = 0.85, 0.4
"""Share of this colour at weight 1, and contrast of the image below."""


def with_weights(image: Tensor, weights: Tensor) -> Tensor:
    """Return an image uint8 (C, H, W) in pale grey under weights in [0, 1] of places (h, w) in red: uint8 (3, H, W)."""
    grey = 255 - PALE * (255 - image.float().mean(0))
    share = functional.interpolate(weights[None, None].float(), grey.shape, mode="nearest-exact")[0]
    hot = torch.tensor(HOT, dtype=torch.float32)[:, None, None]
    return (grey + STRONGEST * share * (hot - grey)).round().to(torch.uint8)


def data_url(image: Tensor) -> str:
    """Return an image uint8 (C, H, W) as a PNG of its own pixels in a URL."""
    buffer = io.BytesIO()
    to_pillow(image).save(buffer, "PNG", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def to_pillow(image: Tensor) -> Image.Image:
    """Return an image uint8 (C, H, W) as Pillow's, grey for one channel."""
    pixels = image.permute(1, 2, 0).numpy()
    return Image.fromarray(np.ascontiguousarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels))


def save(images: Sequence[Tensor], words: Sequence[Mapping[str, Any]], directory: Path) -> list[dict[str, Any]]:
    """Write images uint8 (C, H, W) as PNG files; return the name of each with its conditions, for manifest.json."""
    directory.mkdir(parents=True, exist_ok=True)
    entries = []
    for i, (image, own) in enumerate(zip(images, words, strict=True)):
        name = f"sample-{i:05d}.png"
        to_pillow(image).save(directory / name)
        entries.append({"file": name, **own})
    return entries


def to_array(images: Sequence[Tensor]) -> NDArray[np.uint8]:
    """Return images uint8 (C, H, W) of one size as an array uint8 (N, H, W, C)."""
    array: NDArray[np.uint8] = torch.stack(list(images)).permute(0, 2, 3, 1).numpy()
    return array


def archive(images: Sequence[Tensor], labels: Tensor | None) -> dict[str, NDArray[Any] | str]:
    """Return arr_0, uint8 (N, H, W, C), the format that judges of images read, and arr_1, classes (N,) if there are."""
    return {"arr_0": to_array(images), **({} if labels is None else {"arr_1": labels.numpy()})}


def sheet(images: Sequence[Tensor]) -> bytes:
    """Return a PNG of images uint8 (C, H, W) in rows of up to eight; small ones are enlarged by a whole factor."""
    pictures = [to_pillow(image).convert("RGB") for image in images]
    factor = max(1, CELL // max(side for picture in pictures for side in picture.size))
    width, height = (factor * max(picture.size[axis] for picture in pictures) + GAP for axis in (0, 1))
    columns = min(len(pictures), COLUMNS)
    page = Image.new("RGB", (columns * width - GAP, -(-len(pictures) // columns) * height - GAP), "white")
    for i, picture in enumerate(pictures):
        large = picture.resize((factor * picture.width, factor * picture.height), Image.Resampling.NEAREST)
        page.paste(large, (i % columns * width, i // columns * height))
    buffer = io.BytesIO()
    page.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


CONVERTERS: Mapping[str, Callable[[Sequence[Any]], Any]] = {
    "numpy": to_array,
    "pil": lambda images: [to_pillow(image) for image in images],
    "png": sheet,
}
"""Name of a library, or of a format -> conversion of images to its objects."""
