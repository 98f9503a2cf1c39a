"""A third party's sampler, weighting and objective."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from torch import Tensor

from polydiff import SAMPLERS, Loss, Row
from polydiff.gaussian.loss.weightings import WEIGHTINGS
from polydiff.gaussian.objective.base import OBJECTIVES, Denoising


@SAMPLERS.register("ring_euler")
def ring_euler(levels: Sequence[float], damping: float = 1.0) -> list[Row]:
    """Euler's method, with a damped estimate."""
    return [Row(s0, s1 / s0, (damping * (1 - s1 / s0),), 0.0, s1) for s0, s1 in pairwise(levels)]


@WEIGHTINGS.register("ring_flat")
def ring_flat(s: Tensor, c: Tensor, sigma_data: float) -> Tensor:
    """A constant weight."""
    return c**0


@OBJECTIVES.register("ring_denoising")
@dataclass(frozen=True)
class RingDenoising(Denoising):
    """The denoising objective under another name."""

    loss: Loss = field(default_factory=Loss)
