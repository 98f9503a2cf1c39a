"""Restoration tasks: upsampling a recording at a low rate, and vocoding a mel spectrogram."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor

from polydiff.contract.following import NoiseAugmentation, noisy
from polydiff.core.conditions import LOW, LOW_LEVEL, Aligned, Condition, Conditions, Number
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
    ratio,
    record,
    with_low_band,
    within,
)
from polydiff.domains.audio.tasks.mel import SUFFIX, Mel, Scale, griffin_lim, read_mel
from polydiff.support.errors import UserError

MEASURED = 256
"""Number of clips on which the filter is measured."""
PLAIN = Standardise(1.0)
"""The identity codec."""
LEAST = 1e-3
"""Lower bound of the envelope, relative to the level of a recording."""
FAINT = 1e-3
"""Level of the missing part, relative to the envelope, below which it is rounding error rather than sound."""
MEL = "mel"
"""Name of the condition on a mel spectrogram."""


@dataclass(frozen=True)
class Missing(Euclidean):
    """The space of upsampling: a state x stands for the sound y + g W^-1 x, so it is the part that recordings lack.

    The missing part is thousands of times weaker than the sound, decays with it and falls with frequency. Division by
    the envelope of the highest known band, followed by whitening, gives it the level of the diffusion's noise at all
    times and frequencies.

    Arguments:
        origin: y, the recordings at the full rate, shape (B, C, T), on the CPU.
        gain: g, shape (B, C, T).
        filter: W.
    """

    origin: Tensor = field(kw_only=True)
    gain: Tensor = field(kw_only=True)
    filter: Standardise = field(kw_only=True)

    @property
    def log_volume(self) -> Tensor:
        """Log of the volume that a unit cube of states has in sounds of unit variance, shape (B,)."""
        return self.gain.log().sum((1, 2)) + self.filter.log_volume(self.shape)

    def encode(self, sound: Tensor) -> State:
        """Return the states (B, C, T) of sounds (B, C, T), both of unit variance."""
        return self.filter.encode((sound - self.origin) / self.gain)

    def decode(self, x: State) -> Tensor:
        """Return the sounds (B, C, T) of states (B, C, T)."""
        return self.origin + self.gain * self.filter.decode(x)


@dataclass(frozen=True)
class Upsample:
    """The task of upsampling: restore sounds, conditioned on recordings at a low rate.

    The recordings are interpolated to the full rate. States are the missing part (`Missing`). In training each example
    is recorded through its own random filter (`draw_low_pass`).

    Arguments:
        data: The data section of the configuration, with both sample rates.
        codec: The codec of sounds.
        filter: Codec of the missing part divided by the envelope, measured on the training data.
    """

    data: AudioData
    codec: Standardise
    filter: Standardise = PLAIN

    residual: ClassVar[bool] = True

    @property
    def noise(self) -> NoiseAugmentation | None:
        """Noise on the recordings in training, on whose level the network is conditioned. None: none."""
        return NoiseAugmentation(*self.data.noise) if self.data.noise else None

    @property
    def conditions(self) -> Conditions:
        return {LOW: Aligned(2 * self.data.channels)} | ({LOW_LEVEL: Number()} if self.noise else {})

    @property
    def top(self) -> float:
        """Lowest cut-off of the training filters in Hz."""
        return CUTOFFS[0] * self.data.given_rate / 2

    def observe(self, x: State, generators: Sequence[torch.Generator]) -> dict[str, Tensor]:
        return self.degraded(x, [draw_low_pass(self.data.given_rate, generator) for generator in generators])

    def degraded(self, x: Tensor, filters: Sequence[LowPass]) -> dict[str, Tensor]:
        """Return the task's conditions of sounds (B, C, T) recorded through these filters."""
        rate, low = self.data.sample_rate, self.data.given_rate
        return self.observed(raised(record(x, rate, low, filters), rate, low, x.shape[-1]))

    def observed(self, low: Tensor) -> dict[str, Tensor]:
        """Return the task's conditions of recordings at the full rate (B, C, T).

        They are the recordings and their upper band divided by its envelope, shape (B, 2 C, T), and the level 0 of the
        noise, if there is any in training.
        """
        upper, gain = self.upper(low)
        level = {LOW_LEVEL: self.noise.encode(low.new_zeros(len(low)))} if self.noise else {}
        return {LOW: torch.cat([low, upper / gain], 1), **level}

    def disturbed(
        self, observed: Condition, levels: Tensor, generators: Sequence[torch.Generator]
    ) -> dict[str, Tensor]:
        """Return the task's conditions with noise on the recordings, from those without noise.

        The noise is white at the low rate and brought to the full rate as the recordings are. States are the parts that
        the recordings with the noise lack.

        Arguments:
            observed: The task's conditions without noise.
            levels: Standard deviation of the noise on each recording, (B,), where sounds have the standard deviation 1.
            generators: One for each recording.
        """
        assert self.noise is not None
        low, p, q = observed[LOW][:, : self.data.channels], *ratio(self.data.sample_rate, self.data.given_rate)
        still = low.new_zeros(*low.shape[:2], -(-low.shape[-1] * q // p))
        noise = raised(noisy(still, levels, generators), self.data.sample_rate, self.data.given_rate, low.shape[-1])
        return {**self.observed(low + noise), LOW_LEVEL: self.noise.encode(levels)}

    def at_low_rate(self, sounds: Tensor) -> dict[str, Tensor]:
        """Return the task's conditions of sounds at the low rate (B, C, T q / p), not standardised."""
        rate, low = self.data.sample_rate, self.data.given_rate
        return self.observed(raised(self.codec.encode(sounds), rate, low, self.data.length))

    def upper(self, low: Tensor) -> tuple[Tensor, Tensor]:
        """Return the upper band of recordings at the full rate, and its envelope, both (B, C, T)."""
        upper = within(low, self.data.sample_rate, 0.6 * self.top, self.top)
        least = LEAST * low.square().mean(-1, keepdim=True).sqrt() + 1e-6
        return upper, envelope(upper, self.data.sample_rate // 125) + least

    def space(self, observed: Condition) -> Missing:
        """Return the space of the missing part, given the task's conditions."""
        low = observed[LOW][:, : self.data.channels]
        gain = self.upper(low)[1]
        return Missing(len(low), tuple(low.shape[1:]), origin=low, gain=gain, filter=self.filter)

    def measure(self, sounds: Tensor) -> Standardise:
        """Return the codec that whitens the missing part of training sounds (N, C, T).

        Its gains are means over clips in dB and its std is the median over clips, so that a few loud clips do not
        dominate. In the band of the recordings the gains are those of the strongest missing frequencies. Clips whose
        missing part is below `FAINT`, such as digital silence and constant tails, are not measured: their spectrum is
        rounding error or undefined.

        Raises:
            UserError: No clip has a missing part.
        """
        sounds, low = sounds[:MEASURED], self.data.given_rate
        space = self.space(self.degraded(sounds, [LowPass("brickwall", low / 2)] * len(sounds)))
        missing = space.encode(sounds)
        missing = missing[missing.square().mean((1, 2)).sqrt() > FAINT]
        if not len(missing):
            raise UserError(
                f"The {len(sounds)} training clips that were measured contain nothing above {low / 2:g} Hz, so there "
                "is nothing to restore. Lower data.low_rate, or train on recordings with these frequencies."
            )
        power = torch.stack([spectrum(clip[None]) for clip in missing]).mean(0)
        known = torch.linspace(0, self.data.sample_rate / 2, len(power)) < low / 2
        power = torch.where(known, power[~known].max(), power)
        gains = tuple((power.max() - power).tolist())
        level = Standardise(1.0, gains).encode(missing).square().mean((1, 2)).sqrt().median()
        return Standardise(float(level.clamp(min=FAINT)), gains)

    def read(self, path: Path, degrade: bool = False) -> tuple[dict[str, Tensor], int]:
        """Return the task's conditions (1, ...) from one file, and the length of the restored sound in samples.

        Arguments:
            path: A sound file at the low rate.
            degrade: Whether the file has a higher rate and is downsampled first.

        Raises:
            UserError: The file cannot be read, or has another sample rate than the low rate.
        """
        rate, low = self.data.sample_rate, self.data.given_rate
        if degrade:
            sound = self.codec.encode(read_sound(path, self.data))[None]
            return self.degraded(sound, [LowPass("brickwall", low / 2)]), sound.shape[-1]
        at_low_rate = {"sample_rate": low, "length": max(256, self.data.length * low // rate)}
        sound = read_sound(path, self.data.model_copy(update=at_low_rate))
        header = Header(path.name, *header_numbers(path))
        if header.rate != low:
            advice = f" Set degrade to resample it to {low} Hz first." if header.rate > low else ""
            raise UserError(
                f"{path} has a sample rate of {header.rate} Hz; the model upsamples {low} to {rate} Hz.{advice}"
            )
        length = header.length_at(rate)
        return self.observed(raised(self.codec.encode(sound)[None], rate, low, length)), length

    @property
    def simple(self) -> str:
        return "the recording at the low rate, interpolated: nothing above its band"

    def guess(self, observed: Condition, sizes: Sequence[int]) -> State:
        low = observed[LOW]
        return low.new_zeros(len(low), self.data.channels, *sizes)

    def finish(self, x: State, observed: Condition) -> State:
        """Return states (B, C, T) whose sounds have the recordings' own low band, up to `top`.

        Where the recordings have noise, x stays as it is.
        """
        missing = self.space(observed)
        kept = missing.encode(with_low_band(missing.decode(x), missing.origin, self.data.sample_rate, self.top))
        if self.noise is None:
            return kept
        return torch.where(self.noise.is_exact(observed[LOW_LEVEL])[:, None, None], kept, x)


@dataclass(frozen=True)
class Vocode:
    """The task of vocoding: restore sounds, conditioned on their mel spectrograms.

    Arguments:
        data: The data section of the configuration.
        codec: The codec of the states.
        mel: The definition of the spectrograms.
        scale: Their standardisation, measured on the training data.
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
        """Return the task's conditions (1, ...) from a .mel.npz file or a sound file, and its length in samples."""
        if path.name.endswith(SUFFIX):
            spectrogram, length = read_mel(path, self.mel, self.data.channels)
        else:
            sound = read_sound(path, self.data)
            spectrogram, length = self.mel(sound[None])[0], sound.shape[-1]
        return {MEL: self.scale.encode(spectrogram)[None]}, length

    @property
    def simple(self) -> str:
        return "the method of Griffin and Lim on the same spectrogram"

    def guess(self, observed: Condition, sizes: Sequence[int]) -> State:
        return self.codec.encode(griffin_lim(self.mel, self.scale.decode(observed[MEL]), *sizes))

    def finish(self, x: State, observed: Condition) -> State:
        """Return states (B, C, T) unchanged, because a mel spectrogram determines none of their values."""
        return x
