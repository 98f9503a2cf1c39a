"""Small runs that stand on other runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tiny_runs import SMALL_NETS, TINY

import polydiff

CODEC: dict[str, Any] = {
    **TINY,
    "learn": "encode",
    "backbone.channels": 16,
    "backbone.widest": 16,
    "backbone.blocks": 1,
}


def trained_codec(domain: str, path: Path, **more: Any) -> Path:
    """Train an autoencoder of a domain for a few steps."""
    return polydiff.train(domain, path, overrides={**CODEC, **more})


def trained_on_codes(domain: str, path: Path, codec: Path, progress: Any = None, **more: Any) -> Path:
    """Train a diffusion in the codes of a codec for a few steps."""
    values = {**TINY, **SMALL_NETS[domain], "codec": str(codec), **more}
    return polydiff.train(domain, path, overrides=values, progress=progress)
