"""The user's sound files as input for inpainting, variation and restoration, and time ranges of a sound."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from polydiff.domains.audio.config import AudioData
from polydiff.domains.audio.data.crops import Header, read_crop
from polydiff.domains.audio.data.folder import match_channels
from polydiff.domains.audio.data.index import header_numbers, why
from polydiff.support.errors import UserError, amount, check_file

LONG = 4
"""Ratio to the training length above which a warning is issued."""


def read_sounds(paths: Sequence[Path], data: AudioData) -> Tensor:
    """Return whole files of one length, at the sample rate and with the channels of training, shape (B, C, T).

    Raises:
        UserError: A file is missing, unreadable, silent, has too many channels, or another length than the first.
    """
    sounds = [read_sound(path, data) for path in paths]
    for path, sound in zip(paths, sounds, strict=True):
        if sound.shape != sounds[0].shape:
            raise UserError(
                f"{path} has {sound.shape[-1]} samples, {paths[0]} has {sounds[0].shape[-1]}. Read files of different "
                "lengths one at a time."
            )
    return torch.stack(sounds)


def read_sound(path: Path, data: AudioData) -> Tensor:
    """Return one whole file at the sample rate and with the channels of training, shape (C, T).

    Raises:
        UserError: The file is missing, unreadable, silent, or has too many channels.
    """
    check_file(path)
    try:
        header = Header(path.name, *header_numbers(path))
        length = header.length_at(data.sample_rate)
        sound = read_crop(path, header, 0, length, data.sample_rate)
    except (UserError, MemoryError):
        raise
    except Exception as error:
        raise UserError(f"{path} cannot be read as a sound: {why(error)}") from error
    if header.channels > data.channels and (data.mix == "refuse" or data.channels > 1):
        raise UserError(
            f"{path} has {amount(header.channels, 'channel')}, but the model was trained on sounds of "
            f"{data.channels}. Mix the file down first."
        )
    if not sound.any():
        raise UserError(f"{path} is silent: all its samples are 0.")
    if header.rate < data.sample_rate:
        rates = f"{path} has a sample rate of {header.rate} Hz, the model one of {data.sample_rate} Hz"
        warnings.warn(f"{rates}: the file contains no frequencies above {header.rate / 2:g} Hz.", stacklevel=2)
    if length > LONG * data.length:
        ratio = f"{path} is {length / data.length:.1f} times as long as the training clips"
        warnings.warn(f"{ratio}: the result may not be coherent over its whole length.", stacklevel=2)
    return match_channels(sound, data, str(path))


def check_rate(path: Path, rate: int, what: str) -> None:
    """Raise UserError unless a file has a sample rate.

    Arguments:
        path: The file.
        rate: The sample rate in Hz.
        what: What has this sample rate, for the message.
    """
    check_file(path)
    try:
        found = header_numbers(path)[0]
    except Exception as error:
        raise UserError(f"{path} cannot be read as a sound: {why(error)}") from error
    if found != rate:
        raise UserError(
            f"{path} has a sample rate of {found} Hz, but {what} has {rate} Hz. Leave out measured if the file is to "
            "be measured."
        )


def region(text: str, sample_rate: int, length: int) -> Tensor:
    """Return the mask (T,) of the samples in a time range, booleans.

    Arguments:
        text: BEGIN:END in seconds; `0.2:` goes to the end, `:0.2` starts at the beginning.
        sample_rate: In Hz.
        length: T.

    Raises:
        UserError: The text has another form, or the range is empty or ends after the sound.
    """
    begin, colon, end = text.partition(":")
    whole = length / sample_rate
    try:
        low, high = float(begin or 0), float(end or whole)
    except ValueError:
        low = high = math.nan
    if not colon or not math.isfinite(low) or math.isnan(high):
        raise UserError(
            f"{text!r} is not a part of a sound. Give BEGIN:END in seconds, such as 0.2:0.3, or 0.2: up to the end."
        )
    if low < 0 or high * sample_rate > length + 0.5:
        raise UserError(f"{text} lies outside the sound, which is {whole:.4g} s long.")
    first, last = round(low * sample_rate), round(high * sample_rate)
    if first >= last:
        raise UserError(
            f"{text} contains no sample. The first number is the beginning, the second the end, in seconds."
        )
    places = torch.arange(length)
    return (first <= places) & (places < last)


def bridged(sounds: Tensor, mask: Tensor) -> Tensor:
    """Return sounds (B, C, T) with straight lines where the mask is 0, constant before the first and after the last 1.

    Arguments:
        sounds: Shape (B, C, T).
        mask: 1 at known samples, broadcast to the shape of the sounds; 0 everywhere gives silence.
    """
    flat = sounds.flatten(0, 1).cpu().numpy().copy()
    kept = (mask != 0).to(sounds.device).expand_as(sounds).flatten(0, 1).cpu().numpy()
    for row, here in zip(flat, kept, strict=True):
        places = here.nonzero()[0]
        row[~here] = np.interp((~here).nonzero()[0], places, row[places]) if len(places) else 0
    return torch.from_numpy(flat).reshape(sounds.shape).to(sounds.device)
