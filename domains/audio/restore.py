"""Sounds made of what is left of them: upsampling, of a recording at a low rate, and vocoding, of a mel spectrogram."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from polydiff.conditions import Aligned, Conditions
from polydiff.domains.audio.codec import Standardise
from polydiff.domains.audio.config import AudioData
from polydiff.domains.audio.crops import Header
from polydiff.domains.audio.given import read_sound
from polydiff.domains.audio.index import header_numbers
from polydiff.domains.audio.lowrate import CUTOFFS, LowPass, draw_low_pass, raised, record, with_low_band
from polydiff.domains.audio.mel import SUFFIX, Mel, Scale, griffin_lim, read_mel
from polydiff.errors import UserError
from polydiff.space import State
from polydiff.tasks import LOW

MEL = "mel"
"""Name of the condition that holds a mel spectrogram."""


@dataclass(frozen=True)
class Upsample:
    """The task of making sounds of recordings at a low rate, which are told brought back to the full rate.

    In training every example is recorded by a filter of its own (`lowrate.draw_low_pass`).

    Arguments:
        data: The settings, with both rates.
        codec: Of the states.
    """

    data: AudioData
    codec: Standardise

    @property
    def conditions(self) -> Conditions:
        return {LOW: Aligned(self.data.channels)}

    def ask(self, x: State, generators: Sequence[torch.Generator]) -> dict[str, Tensor]:
        filters = [draw_low_pass(self.data.given_rate, generator) for generator in generators]
        return self.degraded(x, filters)

    def degraded(self, x: State, filters: Sequence[LowPass]) -> dict[str, Tensor]:
        """Return what the network is told of clean states that are recorded by these filters."""
        rate, low = self.data.sample_rate, self.data.given_rate
        return {LOW: raised(record(x, rate, low, filters), rate, low, x.shape[-1])}

    def read(self, path: Path, degrade: bool) -> tuple[dict[str, Tensor], int]:
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
            further = " --degrade takes it down to that first." if header.rate > low else ""
            raise UserError(f"{path} has {header.rate} samples a second; the model makes {rate} of {low}.{further}")
        length = header.length_at(rate)
        return {LOW: raised(self.codec.encode(sound)[None], rate, low, length)}, length

    def finish(self, x: State, told: Tensor) -> State:
        """Return states with the lower part of their spectrum as told: as far up as no filter of training reaches."""
        return with_low_band(x, told.to(x), self.data.sample_rate, CUTOFFS[0] * self.data.given_rate / 2)

    def baseline(self, told: Tensor, length: int) -> State:
        """Return what is told: the recording, interpolated, with nothing above its band."""
        return told


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

    @property
    def conditions(self) -> Conditions:
        return {MEL: Aligned(self.data.channels * self.mel.bands, self.mel.hop)}

    def ask(self, x: State, generators: Sequence[torch.Generator]) -> dict[str, Tensor]:
        return {MEL: self.scale.encode(self.mel(self.codec.decode(x)))}

    def read(self, path: Path, degrade: bool) -> tuple[dict[str, Tensor], int]:
        """Return what the network is told of a .mel.npz file, or of a sound file, and its length in samples."""
        if path.name.endswith(SUFFIX):
            spectrogram, length = read_mel(path, self.mel, self.data.channels)
        else:
            sound = read_sound(path, self.data)
            spectrogram, length = self.mel(sound[None])[0], sound.shape[-1]
        return {MEL: self.scale.encode(spectrogram)[None]}, length

    def finish(self, x: State, told: Tensor) -> State:
        """Return states as they are: a mel spectrogram fixes none of their numbers."""
        return x

    def baseline(self, told: Tensor, length: int) -> State:
        """Return the states that Griffin-Lim makes of the same spectrograms."""
        return self.codec.encode(griffin_lim(self.mel, self.scale.decode(told), length))
