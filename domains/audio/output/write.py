"""Writing of sounds to files."""

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
"""Encoding -> suffix and libsndfile's name."""
BLOCK = 32_768
"""Number of samples written at a time; libsndfile 1.2.2 overflows its stack on a minute of Vorbis at once."""


def suffix(encoding: str) -> str:
    """Return the suffix of files in an encoding."""
    return FORMS[encoding][0]


def write_sound(path: Path, sound: Tensor, sample_rate: int, encoding: str) -> None:
    """Write a sound (C, T), clipped to full scale unless the encoding is float.

    Arguments:
        path: The file.
        sound: Shape (C, T), on the CPU.
        sample_rate: In Hz.
        encoding: A key of `FORMS`.

    Raises:
        UserError: libsndfile cannot write the file.
    """
    data = sound.T.numpy() if encoding == "float" else pcm16(sound)
    soundfile, (_, subtype) = optional.soundfile(), FORMS[encoding]
    try:
        with soundfile.SoundFile(str(path), "w", sample_rate, data.shape[1], subtype) as file:
            for begin in range(0, len(data), BLOCK):
                file.write(data[begin : begin + BLOCK])
    except soundfile.LibsndfileError as error:
        raise UserError(f"{path} cannot be written: {error} Set data.encoding=pcm16 or float.") from error


def write_sounds(sounds: Sequence[Tensor], directory: Path, data: AudioData) -> list[str]:
    """Write each sound (C, T) to a file in a folder, which is created if needed, and return the file names."""
    directory.mkdir(parents=True, exist_ok=True)
    names = [f"sample-{i:05d}{suffix(data.encoding)}" for i in range(len(sounds))]
    for name, sound in zip(names, sounds, strict=True):
        write_sound(directory / name, sound, data.sample_rate, data.encoding)
    return names


def sound_arrays(sounds: Sequence[Tensor], data: AudioData) -> Mapping[str, NDArray[Any]]:
    """Return arr_0 (B, T, C), in int16 or float32 as in the files, and rate (B,), the sample rates in Hz."""
    arrays = [sound.T.numpy() if data.encoding == "float" else pcm16(sound) for sound in sounds]
    return {"arr_0": np.stack(arrays), "rate": np.full(len(arrays), data.sample_rate, np.int32)}
