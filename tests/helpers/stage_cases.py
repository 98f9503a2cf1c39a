"""Small runs that stand on other runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from PIL import Image
from tiny_runs import SMALL_NETS, TINY

import polydiff

LEARNER: dict[str, Any] = {key: value for key, value in TINY.items() if not key.startswith("sample.")}
"""A short training of what generates nothing."""
CODEC: dict[str, Any] = {
    **LEARNER,
    "learn": "encode",
    "backbone.channels": 16,
    "backbone.widest": 16,
    "backbone.blocks": 1,
}
SHAPES_PAIR: dict[str, Any] = {
    **LEARNER,
    "learn": "match",
    "data.name": "shapes",
    "backbone.channels": 16,
    "backbone.widest": 32,
    "backbone.embedding": 16,
    "backbone.patch": 4,
    "backbone.levels": 2,
}


def trained_codec(domain: str, path: Path, **more: Any) -> Path:
    """Train an autoencoder of a domain for a few steps."""
    return polydiff.train(domain, path, overrides={**CODEC, **more})


def trained_on_codes(domain: str, path: Path, codec: Path, progress: Any = None, **more: Any) -> Path:
    """Train a diffusion in the codes of a codec for a few steps."""
    values = {**TINY, **SMALL_NETS[domain], "codec": str(codec), **more}
    return polydiff.train(domain, path, overrides=values, progress=progress)


PAIR: dict[str, Any] = {
    **LEARNER,
    "learn": "match",
    "train.precision": "float32",
    "backbone.channels": 16,
    "backbone.widest": 16,
    "backbone.embedding": 12,
    "backbone.patch": 2,
    "backbone.levels": 2,
    "backbone.text.layers": 1,
    "backbone.text.width": 16,
    "backbone.text.heads": 2,
}
CaptionedPair = tuple[str, Path, dict[str, Any]]
"""A domain, the run of a contrastive pair of captioned examples, and the keys of its data."""
SUFFIX = {"image": "png", "audio": "wav"}
CAPTIONED: dict[str, dict[str, Any]] = {
    "image": {"data.size": 8, "data.channels": 1},
    "audio": {"data.sample_rate": 16000, "data.length": 256, "data.conditions": ["text:text"]},
}
PRIOR: dict[str, Any] = {**TINY, "backbone.hidden": 32, "backbone.layers": 2}


def captioned(domain: str, folder: Path, n: int = 40) -> dict[str, Any]:
    """Write a few examples with captions to a folder; return the keys of the data."""
    folder.mkdir(parents=True, exist_ok=True)
    rows, noise = [], np.random.default_rng(0)
    for i in range(n):
        loud, late = i % 2, i // 2 % 2
        caption = f"a {('faint', 'strong')[loud]} mark at the {('beginning', 'end')[late]}"
        if domain == "image":
            picture = noise.integers(0, 40, (8, 8), dtype=np.uint8)
            picture[:, 4 * late : 4 * late + 4] += np.uint8((60, 200)[loud])
            Image.fromarray(picture).save(folder / f"{i:03d}.png")
        else:
            sound = 0.01 * noise.standard_normal(256)
            sound[128 * late : 128 * late + 128] += (0.1, 0.5)[loud] * np.sin(np.arange(128) / 3)
            soundfile.write(str(folder / f"{i:03d}.wav"), sound, 16000)
        rows.append({"path" if domain == "audio" else "file_name": f"{i:03d}.{SUFFIX[domain]}", "text": caption})
    (folder / "metadata.jsonl").write_text("\n".join(map(json.dumps, rows)))
    path = folder / "metadata.jsonl" if domain == "audio" else folder
    return {**CAPTIONED[domain], "data.path": str(path)}


def trained_pair(domain: str, path: Path, data: dict[str, Any], **more: Any) -> Path:
    """Train a contrastive pair of captioned examples for a few steps."""
    return polydiff.train(domain, path, overrides={**PAIR, **data, **more})


def trained_prior(domain: str, path: Path, pair: Path, data: dict[str, Any], progress: Any = None, **more: Any) -> Path:
    """Train a diffusion of the embeddings of a pair for a few steps."""
    return polydiff.train(domain, path, overrides={**PRIOR, "codec": str(pair), **data, **more}, progress=progress)


def trained_decoder(
    domain: str, path: Path, pair: Path, data: dict[str, Any], progress: Any = None, **more: Any
) -> Path:
    """Train a diffusion of examples that is conditioned on their embeddings by a pair for a few steps."""
    values = {**TINY, **SMALL_NETS[domain], "tell.embedding": str(pair), **data, **more}
    return polydiff.train(domain, path, overrides=values, progress=progress)
