r"""YIN, a pitch tracker that is independent of the synthesiser.

On a window of W samples, with lags tau,

$$ d(\tau) = \sum_{j < W} (x_j - x_{j + \tau})^2, \qquad
   d'(\tau) = d(\tau) \Big/ \tfrac{1}{\tau} \textstyle\sum_{i \le \tau} d(i). $$

The period is the first local minimum of d' below a threshold, or the global minimum if there is no such minimum. It is
refined by a parabola. d' at the period is the aperiodicity: 0 for a periodic sound, near 1 for noise. (de Cheveigné &
Kawahara, 2002, https://doi.org/10.1121/1.1458024)

Symbols: B clips, T samples, W window, tau lag in samples.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from polydiff.domains.audio.chunks import each

LOW, HIGH = 100.0, 700.0
"""Range of the detected pitch in Hz."""
THRESHOLD = 0.15
"""Aperiodicity below which the first minimum is the period."""
VOICED = 0.3
"""Aperiodicity below which a sound counts as pitched."""
AUDIBLE = 1e-3
"""Root mean square, with full scale 1, up to which a sound counts as silence."""


@dataclass(frozen=True)
class Pitch:
    """Detected pitch of B clips.

    Arguments:
        frequency: Fundamental frequency in Hz, shape (B,).
        aperiodicity: d' at the period, shape (B,).
        rms: Root mean square of the window, shape (B,).
    """

    frequency: Tensor
    aperiodicity: Tensor
    rms: Tensor

    @property
    def voiced(self) -> Tensor:
        """Whether a clip has a pitch, shape (B,): it is periodic and not silent."""
        return (self.aperiodicity < VOICED) & (self.rms > AUDIBLE)

    @property
    def harmonics_to_noise(self) -> Tensor:
        """Power of the harmonics over that of the rest in dB, at most 60, of the loudest window, shape (B,).

        Noise of power N in a periodic sound of power H has the aperiodicity N / (H + N), so this is H / N. Partials
        that change from one period to the next count as noise. With few samples a period, the tracker limits the
        ratio: to about 20 dB at 8 kHz above 400 Hz. (Boersma, 1993, defines it by another measure of periodicity.)
        """
        return 10 * (1 / self.aperiodicity.clamp(1e-6, 1 - 1e-6) - 1).log10()

    @property
    def semitones(self) -> Tensor:
        """The pitch as a fractional MIDI note number, 69 for 440 Hz, shape (B,)."""
        return 69 + 12 * torch.log2(self.frequency / 440)

    @property
    def cents(self) -> Tensor:
        """Distance to the nearest note of the tempered scale in cents, at most 50, shape (B,)."""
        return 100 * (self.semitones - self.semitones.round()).abs()


def detect_pitch(sounds: Sequence[Tensor] | Tensor, sample_rate: int) -> Pitch:
    """Return the pitch of clips (C, T), which may differ in length, with their channels averaged.

    Clips with values that are not finite get the aperiodicity 1, so they are not voiced.
    """

    def detected(x: Tensor) -> Tensor:
        pitch = track(x.mean(1), sample_rate)
        broken = ~x.isfinite().all(2).all(1)
        return torch.stack([pitch.frequency, pitch.aperiodicity.masked_fill(broken, 1), pitch.rms], 1)

    return Pitch(*each(detected, sounds).unbind(1))


def track(x: Tensor, sample_rate: int) -> Pitch:
    """Return the pitch of clips (B, T) in the loudest window of each; `sample_rate` is in Hz."""
    window = 2 ** round(math.log2(0.128 * sample_rate))
    lags = int(sample_rate / LOW) + 2
    frames = loudest(x.double(), window + lags)
    d = differences(frames, window, lags)
    running = d.cumsum(1) / torch.arange(1, lags + 1)
    normal = torch.where(running > 0, d / running.clamp(min=1e-30), 1.0)  # silence has d = 0 and counts as aperiodic
    place = period(normal, int(sample_rate / HIGH))
    tau, depth = parabola(normal, place)
    rms = frames[:, :window].square().mean(1).sqrt()
    return Pitch(sample_rate / tau, depth, rms)


def loudest(x: Tensor, size: int) -> Tensor:
    """Return the `size` consecutive samples of largest energy of each clip (B, T), zero-padded if T is smaller."""
    x = torch.nn.functional.pad(x, (0, max(0, size - x.shape[1])))
    energy = torch.nn.functional.pad(x.square().cumsum(1), (1, 0))
    start = (energy[:, size:] - energy[:, :-size]).argmax(1)
    return x.gather(1, start[:, None] + torch.arange(size))


def differences(frames: Tensor, window: int, lags: int) -> Tensor:
    """Return d(tau) for tau = 1 .. lags, shape (B, lags)."""
    head = frames[:, :window]
    return torch.stack([(head - frames[:, tau : tau + window]).square().sum(1) for tau in range(1, lags + 1)], 1)


def period(d: Tensor, shortest: int) -> Tensor:
    """Return the index (tau - 1) of the first local minimum of d' below the threshold, else of the minimum, (B,)."""
    inside = torch.arange(d.shape[1]) >= shortest - 1
    inside[-1] = False  # a minimum has a right neighbour
    turning = torch.zeros_like(d, dtype=torch.bool)
    turning[:, :-1] = d[:, :-1] <= d[:, 1:]
    found = turning & (d < THRESHOLD) & inside
    first = found.int().argmax(1)
    lowest = torch.where(inside, d, torch.inf).argmin(1)
    return torch.where(found.any(1), first, lowest)


def parabola(d: Tensor, place: Tensor) -> tuple[Tensor, Tensor]:
    """Return the fractional lag in samples and the value of the minimum near index `place`, each (B,)."""
    left, mid, right = (d.gather(1, (place + i).clamp(0, d.shape[1] - 1)[:, None])[:, 0] for i in (-1, 0, 1))
    bend = left - 2 * mid + right
    shift = torch.where(bend > 0, (left - right) / (2 * bend.clamp(min=1e-30)), 0.0).clamp(-0.5, 0.5)
    return place + 1 + shift, mid - (left - right) * shift / 4
