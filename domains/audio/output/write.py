"""Sounds written to files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from polydiff.domains.audio import optional_imports as optional
from polydiff.domains.audio.config import AudioData
from polydiff.domains.audio.output.show import pcm16
from polydiff.support.errors import UserError

FORMS = {
    "pcm16": (".wav", "PCM_16"),
    "float": (".wav", "FLOAT"),
    "flac": (".flac", "PCM_16"),
    "ogg": (".ogg", "VORBIS"),
}
"""Encoding -> suffix and what libsndfile calls it."""
BLOCK = 32_768
"""Samples written at a time: libsndfile 1.2.2 overruns its stack where it is given a minute of Vorbis at once."""


def suffix(encoding: str) -> str:
    """Return how the names of files in an encoding end."""
    return FORMS[encoding][0]


def write_sound(path: Path, sound: Tensor, sample_rate: int, encoding: str) -> None:
    """Write a sound (C, T), clipped to full scale but with the encoding float."""
    data = sound.T.numpy() if encoding == "float" else pcm16(sound)
    soundfile, (_, subtype) = optional.soundfile(), FORMS[encoding]
    try:
        with soundfile.SoundFile(str(path), "w", sample_rate, data.shape[1], subtype) as file:
            for begin in range(0, len(data), BLOCK):
                file.write(data[begin : begin + BLOCK])
    except soundfile.LibsndfileError as error:
        raise UserError(f"{path} cannot be written: {error} Set data.encoding=pcm16 or float.") from error


def write_sounds(sounds: Sequence[Tensor], directory: Path, data: AudioData) -> list[str]:
    """Write one file a sound (C, T) into a folder, which is made, and return their names."""
    directory.mkdir(parents=True, exist_ok=True)
    names = [f"sample-{i:05d}{suffix(data.encoding)}" for i in range(len(sounds))]
    for name, sound in zip(names, sounds, strict=True):
        write_sound(directory / name, sound, data.sample_rate, data.encoding)
    return names


def sound_arrays(sounds: Sequence[Tensor], data: AudioData) -> Mapping[str, NDArray[Any]]:
    """Return arr_0 (B, T, C), in int16 or float32 as in files, and rate (B,), samples a second of each."""
    arrays = [sound.T.numpy() if data.encoding == "float" else pcm16(sound) for sound in sounds]
    return {"arr_0": np.stack(arrays), "rate": np.full(len(arrays), data.sample_rate, np.int32)}
