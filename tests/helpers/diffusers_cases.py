"""A network of diffusers that attends to an embedding, and images with embeddings."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from untrained import UNET

EMBEDS: dict[str, Any] = {
    **UNET,
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"),
    "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"),
    "attention_head_dim": 4,
    "cross_attention_dim": 6,
}
"""Arguments of a small UNet2DConditionModel."""


def captioned(folder: Path, count: int) -> Path:
    """Random images with an embedding of 2 to 4 tokens each."""
    generator = np.random.default_rng(0)
    folder.mkdir()
    lines = []
    for i in range(count):
        Image.fromarray(generator.integers(0, 256, (8, 8, 3), np.uint8)).save(folder / f"{i}.png")
        np.save(folder / f"{i}.npy", generator.standard_normal((2 + i % 3, 6), np.float32))
        lines.append(json.dumps({"file_name": f"{i}.png", "embedding": f"{i}.npy"}) + "\n")
    (folder / "metadata.jsonl").write_text("".join(lines))
    return folder
