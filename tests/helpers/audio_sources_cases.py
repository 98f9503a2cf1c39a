"""Cases that several tests share: audio sources."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from torch import Tensor

from polydiff.domains.audio.config import AudioData
from polydiff.domains.audio.data.folder import Folder

RATE = 8000


def sound(seed: int, frames: int = 1000) -> np.ndarray:
    return (0.3 * np.random.default_rng(seed).standard_normal(frames)).clip(-0.9, 0.9).astype(np.float32)


def write(path: Path, seed: int, frames: int = 1000) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(str(path), sound(seed, frames), RATE, subtype="FLOAT" if path.suffix == ".wav" else None)
    return path


def folder(path: Path, **more: Any) -> Folder:
    return Folder(AudioData(**{"path": path, "sample_rate": RATE, "length": 256, **more}))


def names(source: Folder, split: str) -> list[str]:
    return [sound.entry.name for sound in source.splits[split]]


def everything(source: Folder) -> dict[str, tuple[Tensor, Any]]:
    """The first clip of each sound, and what is said of it, by name."""
    found = {}
    for split, sounds in source.splits.items():
        clips, values = source.clips(split, source.starts[split][:-1])
        found |= dict(zip([s.entry.name for s in sounds], zip(clips[:, 0], values, strict=True), strict=True))
    return found


def rows() -> list[dict[str, Any]]:
    """One row a sound: a class, numbers as words and as numbers, an embedding; some cells are empty."""
    return [
        {
            "path": f"clips/{i}.wav",
            "digit": i % 3,
            "tempo": 60 + i if i else None,
            "speaker": f"s{i % 2}",
            "vector": f"v{i}.npy" if i % 4 else None,
            "split": "test" if i > 8 else "train",
        }
        for i in range(12)
    ]
