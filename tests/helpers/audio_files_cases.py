"""Cases that several tests share: audio files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import soundfile
import torch
from torch import Tensor

from polydiff.contract.data.quarantine import Quarantine
from polydiff.domains.audio.config import AudioData
from polydiff.domains.audio.data.catalogue import catalogue
from polydiff.domains.audio.data.crops import Header
from polydiff.domains.audio.data.index import index

RATE = 16000


def sound(frames: int, channels: int = 1, seed: int = 0) -> Tensor:
    """A smooth random sound that no codec mistakes for another."""
    g = torch.Generator().manual_seed(seed)
    noise = torch.randn(channels, frames + 32, generator=g)
    smooth = torch.nn.functional.avg_pool1d(noise, 33, stride=1)
    return 0.5 * smooth / smooth.abs().max()


def write(path: Path, x: Tensor, rate: int = RATE) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    form = ("OGG", "OPUS") if path.suffix == ".opus" else (None, None)
    soundfile.write(str(path), x.T.numpy(), rate, format=form[0], subtype=form[1])
    return path


def header(path: Path) -> Header:
    info = soundfile.info(str(path))
    return Header(path.name, info.samplerate, info.channels, info.frames)


def settings(root: Path, **more: Any) -> AudioData:
    return AudioData(**{"name": "folder", "path": root, "sample_rate": RATE, "length": 1000, **more})


def headers(root: Path) -> list[Header]:
    """The headers of all sounds under a folder, by way of the index."""
    quarantine = Quarantine(str(root), "sounds")
    return [sound.header for sound in index(catalogue(root, quarantine), root, RATE, quarantine)]


def folder_of(root: Path, n: int, frames: int = 3000) -> Path:
    for i in range(n):
        write(root / f"{i:03d}.wav", sound(frames, seed=i))
    return root
