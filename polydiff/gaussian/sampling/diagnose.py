"""Find the step at which a run of a sampler breaks: the first state that is not finite or is too large.

Symbols: x state (R, ...), R rows of a state, B batch size.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import torch

from polydiff.core.space import Space, State
from polydiff.gaussian.denoise import Denoise
from polydiff.gaussian.sampling.execute import Step

LIMIT = 1e4
"""Largest |x| of a valid state, in units of sqrt(sigma^2 + sigma_data^2), its standard deviation."""


def within_limit(x: State, sigma: float, sigma_data: float) -> bool:
    """Return whether states (R, ...) at a noise level are finite and at most `LIMIT` standard deviations in size.

    Arguments:
        x: The states.
        sigma: Their noise level.
        sigma_data: Standard deviation of the data.
    """
    return bool(x.abs().amax() <= LIMIT * math.hypot(sigma, sigma_data))  # False for NaN


class Failure(NamedTuple):
    """The first step of a run after which a state is not within the limit.

    Attributes:
        step: Number of the step, from 1.
        level: Noise level at which the step started.
        to: Noise level at which the step ended.
        samples: Places in the batch of the samples that are not within the limit.
        largest: Largest |x| of the batch after the step, ignoring NaN; infinite if it overflowed; NaN if all are NaN.
        before: Largest |x| of the batch before the step; NaN for the first step.
    """

    step: int
    level: float
    to: float
    samples: Sequence[int]
    largest: float
    before: float


def first_failure(steps: Iterable[Step], space: Space, highest: float, sigma_data: float) -> Failure | None:
    """Return the first step of a run that breaks; None if none does.

    Arguments:
        steps: The run, from its first step on.
        space: Where its states live.
        highest: Noise level at which it starts.
        sigma_data: Standard deviation of the data.
    """
    level, before = highest, math.nan
    for number, step in enumerate(steps, 1):
        if not within_limit(step.x, step.sigma, sigma_data):
            within = step.x.abs() <= LIMIT * math.hypot(step.sigma, sigma_data)
            # if only padding is wrong, no sample can be named: name all
            places = space.sum((~within).to(step.x)).nonzero()[:, 0].tolist() or range(space.batch)
            numbers = step.x.abs()[~step.x.isnan()]
            largest = float(numbers.amax()) if len(numbers) else math.nan
            return Failure(number, level, step.sigma, places, largest, before)
        level, before = step.sigma, float(torch.amax(step.x.abs()))
    return None


def describe_failure(steps: Iterable[Step], space: Space, indices: Sequence[int], denoise: Denoise) -> str:
    """Return the part of an error message that says where a run breaks.

    Arguments:
        steps: The run, from its first step on.
        space: Where its states live.
        indices: Numbers of the samples, (B,).
        denoise: Gives the schedule and the standard deviation of the data.
    """
    with torch.no_grad():
        found = first_failure(steps, space, denoise.schedule.sigma_max, denoise.sigma_data)
    if found is None:
        return ", but not when the run is repeated"
    t = float(denoise.schedule.time(-2 * torch.tensor(found.level, dtype=torch.float64).log()))
    number = indices[found.samples[0]]
    there = "all are NaN" if math.isnan(found.largest) else f"the largest |x| is {found.largest:.3g}"
    before = "" if math.isnan(found.before) else f"; before, it was {found.before:.3g}"
    return (
        f": first after step {found.step} of the sampler, from noise level {found.level:.4g} (t = {t:.3g}) to "
        f"{found.to:.4g}, in {len(found.samples)} of {len(indices)} samples, such as number {number}. "
        f"There {there}{before}"
    )
