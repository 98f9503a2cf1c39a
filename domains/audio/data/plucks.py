r"""Plucked strings, synthesised: the embedded data set of audio.

Class c is the note MIDI 48 + c (C3 upwards) of an ideal string with a little stiffness, excited at one point:

$$ x(t) = \sum_{k=1}^{K} a_k\, e^{-t / \tau_k} \cos(2 \pi f_k t + \varphi_k), \qquad
   f_k = k f_0 \sqrt{1 + B k^2}, \quad \tau_k = \tau k^{-d}, \quad
   a_k = |\sin(\pi k \beta)|\, k^{-s}\, 10^{g_k / 20}, $$

with f_0 the class's frequency detuned by N(0, 3 cents). Modes above 0.45 of the sample rate are omitted. All other
parameters are drawn for each clip. A clip depends only on (seed, split, index), so the data set is unlimited and
nothing is stored. (Modal synthesis of the plucked string: Fletcher & Rossing, 1998, ISBN 978-0-387-98374-5.)

Symbols: B stiffness, beta plucking position, s tilt of the spectrum, tau decay time, d its slope over the modes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from polydiff.contract.data.splits import chosen_of_class
from polydiff.contract.fields import Field, Labels
from polydiff.core.streams import streams
from polydiff.domains.audio.config import AudioData
from polydiff.domains.audio.data.notes import frequency, note_name
from polydiff.domains.audio.data.source import Values

LOWEST = 48
"""MIDI number of class 0: C3, 130.8 Hz."""
MODES = 40
"""Upper bound of the modes of a string."""
BAND = 0.45
"""Highest frequency of a mode, as a share of the sample rate."""
CHUNK = 32
"""Number of clips synthesised at a time; more do not fit into the processor's cache."""


@dataclass(frozen=True)
class Strings:
    """Parameters of B plucked strings, each of shape (B, 1) unless stated otherwise.

    Arguments:
        f_0: Fundamental frequency in Hz.
        stiffness: B.
        place: beta, the plucking position as a share of the string's length.
        tilt: s.
        decay: tau in seconds.
        damping: d.
        onset: Time of the pluck in seconds.
        peak: Largest magnitude of the clip.
        level: Deviation g_k of each mode in dB, shape (B, MODES).
        phase: phi_k, shape (B, MODES).
    """

    f_0: Tensor
    stiffness: Tensor
    place: Tensor
    tilt: Tensor
    decay: Tensor
    damping: Tensor
    onset: Tensor
    peak: Tensor
    level: Tensor
    phase: Tensor


def draw_strings(classes: Tensor, generators: Sequence[torch.Generator]) -> Strings:
    """Draw one string for each class (B,), each from its own generator."""
    u = torch.stack([torch.rand(7 + MODES, generator=g, dtype=torch.float64) for g in generators])
    z = torch.stack([torch.randn(1 + MODES, generator=g, dtype=torch.float64) for g in generators])

    def uniform(i: int, low: float, high: float) -> Tensor:
        return low + (high - low) * u[:, i : i + 1]

    octaves = (classes.double()[:, None] + z[:, :1] * 3 / 100) / 12
    return Strings(
        f_0=frequency(LOWEST) * 2**octaves,
        stiffness=10 ** uniform(0, -5, -4),
        place=uniform(1, 0.1, 0.45),
        tilt=uniform(2, 0.6, 1.6),
        decay=uniform(3, 0.15, 0.8),
        damping=uniform(4, 0.2, 1.0),
        onset=uniform(5, 0.0, 0.05),
        peak=0.9 * 10 ** (uniform(6, -12, 0) / 20),
        level=3 * z[:, 1:],
        phase=2 * math.pi * u[:, 7:],
    )


def synthesise(strings: Strings, sample_rate: int, length: int) -> Tensor:
    """Return the sounds of B strings, shape (B, length).

    A mode is c z^n with complex c and z. With n = 64 j + i, z^n = (z^64)^j z^i, so all samples of a clip are the
    product of a (length / 64, modes) and a (modes, 64) matrix.
    """
    audible = min(
        MODES, int(1.02 * BAND * sample_rate / frequency(LOWEST))
    )  # for the lowest note, detuned by -30 cents
    k = torch.arange(1, audible + 1, dtype=torch.float64)
    f = k * strings.f_0 * torch.sqrt(1 + strings.stiffness * k**2)
    a = torch.sin(math.pi * k * strings.place).abs() * k**-strings.tilt * 10 ** (strings.level[:, :audible] / 20)
    a = a * (f <= BAND * sample_rate)
    log_z = torch.complex(-(k**strings.damping) / strings.decay, 2 * math.pi * f) / sample_rate
    start = (strings.onset * sample_rate).round()
    n = torch.arange(length, dtype=torch.float64)
    x = powers(torch.polar(a, strings.phase[:, :audible]), log_z, start, length)
    attack = ((n - start) / (0.002 * sample_rate)).clamp(0, 1)
    x = x * attack
    return (strings.peak * x / x.abs().amax(1, keepdim=True).clamp(min=1e-9)).float()


def powers(c: Tensor, log_z: Tensor, start: Tensor, length: int, inner: int = 64) -> Tensor:
    """Return Re sum_k c_k z_k^(n - start) for n = 0 .. length - 1, shape (B, length).

    Arguments:
        c: Complex amplitude of each of K modes, (B, K).
        log_z: Complex log z_k, (B, K).
        start: Sample at which each sound has the phase of c, (B, 1).
        length: Number of samples.
        inner: Number of columns of the second matrix: n = inner j + i.
    """
    i = torch.arange(inner, dtype=torch.float64)
    j = torch.arange(-(-length // inner), dtype=torch.float64) * inner
    left = c[:, None] * torch.exp(log_z[:, None] * (j - start)[..., None])
    right = torch.exp(log_z[..., None] * i)
    real = torch.cat([left.real, -left.imag], 2) @ torch.cat([right.real, right.imag], 1)
    return real.flatten(1)[:, :length]


def pan(mono: Tensor, generators: Sequence[torch.Generator]) -> Tensor:
    """Return mono clips (B, 1, T) in stereo (B, 2, T), panned up to 60 degrees to a random side.

    The gains are those of constant-power panning, cos a and sin a, divided by the larger of the two, so that the louder
    channel keeps its level.
    """
    u = torch.stack([torch.rand(1, generator=g, dtype=torch.float64) for g in generators])
    angle = math.pi / 4 * (1 + (2 * u - 1) * 2 / 3)
    gains = torch.cat([angle.cos(), angle.sin()], 1)
    return mono * (gains / gains.amax(1, keepdim=True)).float()[..., None]


@dataclass(frozen=True)
class Plucks:
    """Synthesised plucked strings as a data source; the class of an example is its index mod classes.

    Arguments:
        sample_rate: In Hz.
        length: Samples of a clip.
        classes: Number of notes.
        sizes: Split -> number of examples.
        seed: Random seed of the data set.
        channels: 1, or 2: each string is panned at random.
        used: Numbers of the training examples that are used, of one class after the other in turn; None: all.
    """

    sample_rate: int
    length: int
    classes: int
    sizes: dict[str, int]
    seed: int = 0
    channels: int = 1
    profiles: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    quarantine: None = None
    used: Sequence[int] | None = None

    def with_few(self, data: AudioData) -> Plucks:
        """Return the data source with the training examples that `data.per_class` uses."""
        counts = [len(range(c, self.sizes["train"], self.classes)) for c in range(self.classes)]
        few = [chosen_of_class(data, name, n) for name, n in zip(self.names, counts, strict=True)]
        used = [i * self.classes + c for column in zip(*few, strict=True) for c, i in enumerate(column)]
        return replace(self, sizes={**self.sizes, "train": len(used)}, used=used)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Notes of the classes."""
        return tuple(note_name(LOWEST + c) for c in range(self.classes))

    @property
    def fields(self) -> dict[str, Field]:
        n = self.size("train")
        return {"pitch": Labels(self.names, tuple(len(range(c, n, self.classes)) for c in range(self.classes)))}

    def size(self, split: str) -> int:
        return self.sizes[split]

    def labels(self, indices: Sequence[int]) -> Tensor:
        """Return the class of each example, shape (B,)."""
        return torch.tensor(list(indices), dtype=torch.long) % self.classes

    def clips(
        self, split: str, indices: Sequence[int], generators: Sequence[torch.Generator] | None = None
    ) -> tuple[Tensor, list[Values]]:
        parts = [self.sounds(split, indices[i : i + CHUNK]) for i in range(0, len(indices), CHUNK)]
        sounds = torch.cat(parts)[:, None]
        if self.channels == 2:
            sounds = pan(sounds, streams(self.seed, f"plucks/{split}/pan", self.numbers(split, indices)))
        return sounds, [{"pitch": self.names[i % self.classes]} for i in indices]

    def numbers(self, split: str, indices: Sequence[int]) -> Sequence[int]:
        """Return the numbers of these examples among all of the split."""
        return indices if self.used is None or split != "train" else [self.used[i] for i in indices]

    def sounds(self, split: str, indices: Sequence[int]) -> Tensor:
        """Return the sounds of these examples, shape (B, T)."""
        indices = self.numbers(split, indices)
        strings = draw_strings(self.labels(indices), streams(self.seed, f"plucks/{split}", indices))
        return synthesise(strings, self.sample_rate, self.length)
