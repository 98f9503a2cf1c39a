"""Sounds made of what is left of them: upsampling, of a recording at a low rate, and vocoding, of a mel spectrogram."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor

from polydiff.core.conditions import LOW, Aligned, Condition, Conditions
from polydiff.core.space import Euclidean, State
from polydiff.domains.audio.codec import Standardise, spectrum
from polydiff.domains.audio.config import AudioData
from polydiff.domains.audio.data.crops import Header
from polydiff.domains.audio.data.index import header_numbers
from polydiff.domains.audio.data.inputs import read_sound
from polydiff.domains.audio.tasks.low_rate import (
    CUTOFFS,
    LowPass,
    draw_low_pass,
    envelope,
    raised,
    record,
    with_low_band,
    within,
)
from polydiff.domains.audio.tasks.mel import SUFFIX, Mel, Scale, griffin_lim, read_mel
from polydiff.support.errors import UserError

MEASURED = 256
"""Clips that the filter is measured on."""
PLAIN = Standardise(1.0)
"""Changes nothing."""
LEAST = 1e-3
"""Least envelope, of the level of a recording."""
MEL = "mel"
"""Name of the condition that holds a mel spectrogram."""


@dataclass(frozen=True)
class Missing(Euclidean):
    """Where that lives which recordings lack: a sound is y + g W^-1 x, with x the state.

    What is missing is thousands of times weaker than the sound, fades with it and gets weaker with frequency. Divided
    by the envelope of what is known just below it, and with its spectrum evened out, it is as strong everywhere as the
    noise that it is told from.

    Arguments:
        origin: y, the recordings at the full rate, (B, C, T), on the CPU.
        gain: g, of the same shape.
        filter: W.
    """

    origin: Tensor = field(kw_only=True)
    gain: Tensor = field(kw_only=True)
    filter: Standardise = field(kw_only=True)

    @property
    def log_volume(self) -> Tensor:
        """Log of the volume, in the units of sounds, of a unit cube of states, (B,)."""
        return self.gain.log().sum((1, 2)) + self.filter.log_volume(self.shape)

    def encode(self, sound: Tensor) -> State:
        """Return the states of sounds, both of unit variance."""
        return self.filter.encode((sound - self.origin) / self.gain)

    def decode(self, x: State) -> Tensor:
        """Return the sounds of states."""
        return self.origin + self.gain * self.filter.decode(x)


@dataclass(frozen=True)
class Upsample:
    """The task of making sounds of recordings at a low rate, which are told brought back to the full rate.

    States are what is `Missing`. In training every example is recorded by a filter of its own (`draw_low_pass`).

    Arguments:
        data: The settings, with both rates.
        codec: Of sounds.
        filter: Of what is missing over the envelope, measured on the training data.
    """

    data: AudioData
    codec: Standardise
    filter: Standardise = PLAIN

    residual: ClassVar[bool] = True

    @property
    def conditions(self) -> Conditions:
        return {LOW: Aligned(2 * self.data.channels)}

    @property
    def top(self) -> float:
        """Frequency in Hz up to which all recordings are whole."""
        return CUTOFFS[0] * self.data.given_rate / 2

    def observe(self, x: State, generators: Sequence[torch.Generator]) -> dict[str, Tensor]:
        return self.degraded(x, [draw_low_pass(self.data.given_rate, generator) for generator in generators])

    def degraded(self, x: Tensor, filters: Sequence[LowPass]) -> dict[str, Tensor]:
        """Return what the network is told of sounds that are recorded by these filters."""
        rate, low = self.data.sample_rate, self.data.given_rate
        return self.beside(raised(record(x, rate, low, filters), rate, low, x.shape[-1]))

    def beside(self, low: Tensor) -> dict[str, Tensor]:
        """Return what the network is told: recordings at the full rate, and their upper part at an even level."""
        upper, gain = self.upper(low)
        return {LOW: torch.cat([low, upper / gain], 1)}

    def upper(self, low: Tensor) -> tuple[Tensor, Tensor]:
        """Return the upper part of recordings at the full rate, and its envelope, both (B, C, T)."""
        upper = within(low, self.data.sample_rate, 0.6 * self.top, self.top)
        least = LEAST * low.square().mean(-1, keepdim=True).sqrt() + 1e-6
        return upper, envelope(upper, self.data.sample_rate // 125) + least

    def space(self, told: Condition) -> Missing:
        """Return where that lives which the recordings lack."""
        low = told[LOW][:, : self.data.channels]
        gain = self.upper(low)[1]
        return Missing(len(low), tuple(low.shape[1:]), origin=low, gain=gain, filter=self.filter)

    def measure(self, sounds: Tensor) -> Standardise:
        """Return the filter that evens out what training sounds (N, C, T) lack, as it is in the median.

        Its gains are the mean over clips in dB, so that a few loud ones do not say how strong the many are; in the
        recordings' own band they are those of the lowest missing frequencies.
        """
        sounds, low = sounds[:MEASURED], self.data.given_rate
        space = self.space(self.degraded(sounds, [LowPass("brickwall", low / 2)] * len(sounds)))
        lacking = space.encode(sounds)
        power = torch.stack([spectrum(clip[None]) for clip in lacking]).mean(0)
        known = torch.linspace(0, self.data.sample_rate / 2, len(power)) < low / 2
        power = torch.where(known, power[~known].max(), power)
        gains = tuple((power.max() - power).tolist())
        level = Standardise(1.0, gains).encode(lacking).square().mean((1, 2)).sqrt().median()
        return Standardise(float(level.clamp(min=1e-3)), gains)

    def read(self, path: Path, degrade: bool = False) -> tuple[dict[str, Tensor], int]:
        """Return what the network is told of one file of the low rate, and the length of what is made of it.

        Arguments:
            path: A sound file.
            degrade: Whether it is one of a higher rate, to be recorded at the low one first.
        """
        rate, low = self.data.sample_rate, self.data.given_rate
        if degrade:
            sound = self.codec.encode(read_sound(path, self.data))[None]
            return self.degraded(sound, [LowPass("brickwall", low / 2)]), sound.shape[-1]
        less = {"sample_rate": low, "length": max(256, self.data.length * low // rate)}
        sound = read_sound(path, self.data.model_copy(update=less))
        header = Header(path.name, *header_numbers(path))
        if header.rate != low:
            advice = f" Pass --degrade to resample it to {low} Hz first." if header.rate > low else ""
            raise UserError(
                f"{path} has a sample rate of {header.rate} Hz; the model upsamples {low} to {rate} Hz.{advice}"
            )
        length = header.length_at(rate)
        return self.beside(raised(self.codec.encode(sound)[None], rate, low, length)), length

    @property
    def simple(self) -> str:
        return "the recording at the low rate, interpolated: nothing above its band"

    def guess(self, told: Condition, sizes: Sequence[int]) -> State:
        low = told[LOW]
        return low.new_zeros(len(low), self.data.channels, *sizes)

    def finish(self, x: State, told: Condition) -> State:
        """Return states without what they add to a recording's own band: as far up as no filter of training reaches."""
        missing = self.space(told)
        return missing.encode(with_low_band(missing.decode(x), missing.origin, self.data.sample_rate, self.top))


@dataclass(frozen=True)
class Vocode:
    """The task of making sounds of their mel spectrograms.

    Arguments:
        data: The settings.
        codec: Of the states.
        mel: The definition.
        scale: As measured on the training data.
    """

    data: AudioData
    codec: Standardise
    mel: Mel
    scale: Scale

    residual: ClassVar[bool] = False

    @property
    def conditions(self) -> Conditions:
        return {MEL: Aligned(self.data.channels * self.mel.bands, self.mel.hop)}

    def observe(self, x: State, generators: Sequence[torch.Generator]) -> dict[str, Tensor]:
        return {MEL: self.scale.encode(self.mel(self.codec.decode(x)))}

    def read(self, path: Path, degrade: bool = False) -> tuple[dict[str, Tensor], int]:
        """Return what the network is told of a .mel.npz file, or of a sound file, and its length in samples."""
        if path.name.endswith(SUFFIX):
            spectrogram, length = read_mel(path, self.mel, self.data.channels)
        else:
            sound = read_sound(path, self.data)
            spectrogram, length = self.mel(sound[None])[0], sound.shape[-1]
        return {MEL: self.scale.encode(spectrogram)[None]}, length

    @property
    def simple(self) -> str:
        return "the method of Griffin and Lim on the same spectrogram"

    def guess(self, told: Condition, sizes: Sequence[int]) -> State:
        return self.codec.encode(griffin_lim(self.mel, self.scale.decode(told[MEL]), *sizes))

    def finish(self, x: State, told: Condition) -> State:
        """Return states as they are: a mel spectrogram fixes none of their numbers."""
        return x
