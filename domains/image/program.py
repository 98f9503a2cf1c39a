"""New images without polydiff: their PNG files. Copied as states.py beside an exported network.

This file imports numpy and pillow, and nothing of polydiff (`polydiff.export.reference.states`).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Array = NDArray[Any]


def pixels(x: Array, spec: dict[str, Any]) -> Array:
    """Return images, uint8 (B, H, W, C), of states (B, C, H, W)."""
    mean, std = np.array(spec["values"]["mean"])[:, None, None], spec["values"]["std"]
    images: Array = ((x * std + mean + 1) * 127.5).round().clip(0, 255).astype(np.uint8)
    return images.transpose(0, 2, 3, 1)


def write(x: Array, given: dict[str, Array], spec: dict[str, Any], folder: Path) -> list[Path]:
    """Write states (B, C, H, W) as PNG files and return their paths."""
    paths = []
    for i, image in enumerate(pixels(x, spec)):
        paths.append(folder / f"{i:05d}.png")
        Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image).save(paths[-1])
    return paths
