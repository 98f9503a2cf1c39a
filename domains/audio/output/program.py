"""New sounds without polydiff: their WAV files. Copied as states.py beside an exported network.

This file imports numpy, and nothing of polydiff (`polydiff.export.reference.states`).
"""

from __future__ import annotations

import wave
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


def sounds(x: Array, spec: dict[str, Any]) -> Array:
    """Return sounds (B, C, T) of states (B, C, T), with full scale 1: the filter of the codec is undone."""
    x, gains = x * spec["values"]["std"], np.array(spec["values"]["gains"])
    if not len(gains):
        return x
    length = x.shape[-1]
    place = np.linspace(0, len(gains) - 1, length + 1)
    factor = 10 ** (-np.interp(place, np.arange(len(gains)), gains) / 20)
    mirrored = np.concatenate([x, x[..., ::-1]], -1)
    return np.fft.irfft(np.fft.rfft(mirrored) * factor, n=2 * length)[..., :length]


def write(x: Array, given: dict[str, Array], spec: dict[str, Any], folder: Path) -> list[Path]:
    """Write states (B, C, T) as WAV files of 16 bits and return their paths."""
    paths = []
    for i, sound in enumerate(sounds(x, spec)):
        paths.append(folder / f"{i:05d}.wav")
        with wave.open(str(paths[-1]), "wb") as file:
            file.setnchannels(len(sound))
            file.setsampwidth(2)
            file.setframerate(spec["values"]["sample_rate"])
            file.writeframes((sound.T.clip(-1, 1) * 32767).round().astype("<i2").tobytes())
    return paths
