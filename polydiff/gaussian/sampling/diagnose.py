"""Where a run of a sampler broke: the first state that is not finite, or absurdly far out."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import torch

from polydiff.core.space import Space, State
from polydiff.gaussian.denoise import Denoise
from polydiff.gaussian.sampling.execute import Step

LIMIT = 1e4
"""Largest |x| in standard deviations of data and noise that is no explosion."""


def sound(x: State, sigma: float, sigma_data: float) -> bool:
    """Return whether a state is finite and within the limit."""
    return bool(x.abs().amax() <= LIMIT * math.hypot(sigma, sigma_data))  # false of NaN


class Broken(NamedTuple):
    """The first state of a run that is not sound.

    Attributes:
        step: Which, counted from 1.
        level: Noise level at which it began.
        to: Noise level at which it ended.
        samples: Places in the batch of the samples it concerns.
        largest: Largest |x| of them afterwards, ignoring NaN; infinite if it overflowed; NaN if all are NaN.
        before: Largest |x| of the batch before the step; NaN before the first one.
    """

    step: int
    level: float
    to: float
    samples: Sequence[int]
    largest: float
    before: float


def first_broken(steps: Iterable[Step], space: Space, highest: float, sigma_data: float) -> Broken | None:
    """Return where a run breaks, None where it does not.

    Arguments:
        steps: The run, from its first step on.
        space: Where its states live.
        highest: Noise level at which it begins.
        sigma_data: Standard deviation of the data.
    """
    level, before = highest, math.nan
    for number, step in enumerate(steps, 1):
        if not sound(step.x, step.sigma, sigma_data):
            within = step.x.abs() <= LIMIT * math.hypot(step.sigma, sigma_data)
            places = space.sum((~within).to(step.x)).nonzero()[:, 0].tolist() or range(space.batch)  # padding alone
            numbers = step.x.abs()[~step.x.isnan()]
            largest = float(numbers.amax()) if len(numbers) else math.nan
            return Broken(number, level, step.sigma, places, largest, before)
        level, before = step.sigma, float(torch.amax(step.x.abs()))
    return None


def where(steps: Iterable[Step], space: Space, indices: Sequence[int], denoise: Denoise) -> str:
    """Return the words for where a run breaks.

    Arguments:
        steps: The run, from its first step on.
        space: Where its states live.
        indices: Numbers of the samples.
        denoise: Whose schedule and data they are.
    """
    with torch.no_grad():
        found = first_broken(steps, space, denoise.schedule.sigma_max, denoise.sigma_data)
    if found is None:
        return ", but not when they are drawn once more"
    t = float(denoise.schedule.time(-2 * torch.tensor(found.level, dtype=torch.float64).log()))
    number = indices[found.samples[0]]
    there = "all are NaN" if math.isnan(found.largest) else f"the largest |x| is {found.largest:.3g}"
    before = "" if math.isnan(found.before) else f"; before, it was {found.before:.3g}"
    return (
        f": first after step {found.step} of the sampler, from noise level {found.level:.4g} (t = {t:.3g}) to "
        f"{found.to:.4g}, in {len(found.samples)} of {len(indices)} samples, such as number {number}. "
        f"There {there}{before}"
    )
