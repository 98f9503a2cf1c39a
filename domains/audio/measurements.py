r"""Linear measurements of sounds by name: without high frequencies, reduced, mixed to one channel, or partly known.

They act on the sound divided by the codec's std, which is the state itself unless the codec filters. The filter is
symmetric, so that the adjoint of A on sounds, A F, is F A*, with F the filter of decoding.

Symbols: A operator on sounds, F filter, C channels, T samples, K coefficients of a cosine transform.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from polydiff.contract.measurements import kept_places, mean_blocks, name_and_value, number
from polydiff.core.space import Batch, Euclidean, Measurement, State
from polydiff.domains.audio.codec import Standardise, filtered, mirrored
from polydiff.domains.audio.config import AudioData
from polydiff.domains.audio.data.inputs import bridged, check_rate, read_sounds, region
from polydiff.support.errors import UserError

FORMS: Mapping[str, str] = {"low": "low=2000", "mean": "mean=4", "mono": "mono", "gap": "gap=0.2:0.3"}
"""Name of a measurement -> an example."""


def examples_for(data: AudioData) -> list[str]:
    """Return one text for each kind of measurement of a model's sounds."""
    quarter = data.length / data.sample_rate / 4
    several = ["mono"] if data.channels > 1 else []
    return [f"low={data.sample_rate // 4}", "mean=4", *several, f"gap={quarter:.4g}:{2 * quarter:.4g}"]


def measurement(text: str, given: Batch, codec: Standardise, rate: int) -> Measurement:
    """Return a measurement of sounds.

    Arguments:
        text: One of `FORMS`, with another value.
        given: The clean states (B, C, T).
        codec: Codec of the states.
        rate: Sample rate in Hz.

    Raises:
        UserError: There is no such measurement, or the sounds do not allow it.
    """
    name, value = name_and_value(text, FORMS)
    x, length, unit = given.x, given.x.shape[-1], 1 / codec.std
    match name:
        case "low":
            what = f"the highest frequency in Hz, of sounds with {rate} samples a second,"
            of_sounds = low(x, number(text, value, rate / length / 2, rate / 2, what), rate, unit)
        case "mean":
            what = "the number of samples of a block"
            of_sounds = mean_blocks(x, int(number(text, value, 2, length, what, whole=True)), unit)
        case "mono":
            of_sounds = mono(x, unit)
        case _:
            of_sounds = gap(x, region(value, rate, length), unit, text)
    return of_states(of_sounds, codec)


def read_measured(text: str, paths: Sequence[Path], codec: Standardise, data: AudioData) -> tuple[Batch, Tensor]:
    """Return what sound files hold as measurements (`polydiff.contract.measurements.ReadsMeasured`).

    A reduced sound has as many samples as there are blocks, and a sample rate that is lower by their size. It measures
    sounds of the model's length if that has so many blocks, otherwise of whole blocks. All other files have the model's
    sample rate and the length of what they measure.

    Arguments:
        text: One of `FORMS`, with another value.
        paths: The files.
        codec: Codec of the states.
        data: Data of the model.
    """
    name, value = name_and_value(text, FORMS)
    block = (
        int(number(text, value, 2, data.length, "the number of samples of a block", whole=True))
        if name == "mean"
        else 1
    )
    rate, channels = round(data.sample_rate / block), 1 if name == "mono" else data.channels
    for path in paths:
        check_rate(path, rate, f"{text} of the model's sounds")
    sounds = read_sounds(paths, data.model_copy(update={"sample_rate": rate, "channels": channels, "mix": "refuse"}))
    blocks = sounds.shape[-1]
    length = data.length if -(-data.length // block) == blocks else blocks * block
    space = Euclidean(len(paths), (data.channels, length))
    blank = Batch(torch.zeros(len(paths), *space.shape), space)
    operator = measurement(text, blank, codec, data.sample_rate)
    return blank, sounds / codec.std if name in ("mean", "mono") else operator.forward(codec.encode(sounds))


def of_states(sounds: Measurement, codec: Standardise) -> Measurement:
    """Return the measurement of states whose decoded sounds, divided by the codec's std, a measurement is of."""
    if not codec.gains:
        return sounds
    inverse = [-gain for gain in codec.gains]
    return replace(
        sounds,
        forward=lambda x: sounds.forward(filtered(x, inverse)),
        adjoint=lambda y: filtered(sounds.adjoint(y), inverse),
        simple=lambda y: filtered(sounds.estimate(y), codec.gains),
    )


def low(x: State, top: float, rate: int, unit: float) -> Measurement:
    """Return the coefficients of the cosine transform below a frequency, those of a sound mirrored at its ends.

    Arguments:
        x: States (B, C, T), for their sizes.
        top: The frequency in Hz.
        rate: Sample rate in Hz.
        unit: As in `polydiff.core.space.Measurement`.
    """
    length = x.shape[-1]
    kept = min(math.ceil(2 * top * length / rate), length)
    space = Euclidean(len(x), (x.shape[1], kept))

    def back(y: Tensor) -> State:
        return from_cosines(torch.cat([y, y.new_zeros(*y.shape[:2], length - kept)], -1))

    return Measurement(
        lambda x: cosines(x)[..., :kept], back, space, unit, back, f"the sound without frequencies above {top:g} Hz"
    )


def cosines(x: Tensor) -> Tensor:
    """Return the orthonormal cosine transform (DCT-II) of sounds (..., T), of their shape."""
    length = x.shape[-1]
    turned: Tensor = (mirrored(x)[..., :length] * turn(length, x).conj()).real
    return turned * weights(length, x) / 2


def from_cosines(y: Tensor) -> Tensor:
    """Return the sounds (..., T) that have a cosine transform, the inverse and the adjoint of `cosines`."""
    length = y.shape[-1]
    spectrum = turn(length, y) * (2 * y / weights(length, y))
    both: Tensor = torch.fft.irfft(torch.cat([spectrum, torch.zeros_like(spectrum[..., :1])], -1), n=2 * length)
    return both[..., :length]


def turn(length: int, like: Tensor) -> Tensor:
    """Return exp(i pi k / 2 T), shape (T,), in the precision and on the device of a tensor."""
    angle = torch.arange(length, dtype=torch.float64, device=like.device) * (math.pi / 2 / length)
    return torch.complex(angle.cos().to(like.dtype), angle.sin().to(like.dtype))


def weights(length: int, like: Tensor) -> Tensor:
    """Return the factors that make the cosine transform of T samples orthonormal, shape (T,)."""
    factors = like.new_full((length,), math.sqrt(2 / length))
    factors[0] = math.sqrt(1 / length)
    return factors


def mono(x: State, unit: float) -> Measurement:
    """Return the mean of the channels.

    Raises:
        UserError: The sounds have one channel.
    """
    channels = x.shape[1]
    if channels == 1:
        raise UserError("mono measures sounds with several channels, and those of this model have one.")
    return Measurement(
        lambda x: x.mean(1, keepdim=True),
        lambda y: (y / channels).expand(-1, channels, -1),
        Euclidean(len(x), (1, x.shape[-1])),
        unit,
        lambda y: y.expand(-1, channels, -1),
        "the same sound in each channel",
    )


def gap(x: State, inside: Tensor, unit: float, text: str) -> Measurement:
    """Return the samples outside a gap; a straight line is the simple estimate of those within it.

    Arguments:
        x: States (B, C, T), for their sizes.
        inside: Mask (T,) of the gap.
        unit: As in `polydiff.core.space.Measurement`.
        text: The measurement, for the message.
    """
    plain = kept_places(x, ~inside, unit, text)
    return replace(plain, simple=lambda y: bridged(plain.adjoint(y), ~inside), method="a straight line across the gap")
