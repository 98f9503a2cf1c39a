r"""The size of a sampler's step as a condition of networks that are trained on jumps (`objective.jumps`).

A step of length d in flow time t = s / (1 + s) is the share d / T of the way, where T is the flow time of the
schedule's highest noise level. The network's condition "_step" is log_2(d / T), or NaN ("not given") for steps of
length T / finest or less.

Symbols: s noise level, t flow time, B batch size.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

import torch
from torch import Tensor

from polydiff.core.conditions import STEP, Condition
from polydiff.core.space import Space, State, per_sample
from polydiff.gaussian.denoise import with_variance
from polydiff.gaussian.sampling.plan import Plan, at_nearest, evaluation_rows
from polydiff.gaussian.wrapper import Wrapper

Number = TypeVar("Number", float, Tensor)


@dataclass(frozen=True, eq=False)
class StepSize(Wrapper):
    """A denoiser whose condition "_step" is the size of the sampler's step.

    Arguments:
        denoiser: The wrapped denoiser, trained by an objective of `polydiff.gaussian.objective.jumps`.
        rows: The sampler's plan; most exact with the spacing "flow" and a power of 2 of steps, as in training.
        finest: The number of equal steps from which the step size is "not given"; the same as in training.
    """

    rows: Plan
    finest: int = 128

    def __call__(self, x: State, sigma: Tensor, space: Space, cond: Condition | None = None) -> State:
        return self.denoiser(x, sigma, space, self.with_step(cond, x, sigma, space))

    def with_variance(
        self, x: State, sigma: Tensor, space: Space, cond: Condition | None = None
    ) -> tuple[State, Tensor]:
        """Return the estimate of the clean state and the learned variance v, each of the shape of x.

        Arguments:
            x: Noisy states, (R, ...).
            sigma: Noise levels, () or (B,).
            space: Where x lives.
            cond: Conditions without "_step"; None: no others.
        """
        return with_variance(self.denoiser, x, sigma, space, self.with_step(cond, x, sigma, space))

    def with_step(self, cond: Condition | None, x: State, sigma: Tensor, space: Space) -> Condition:
        """Return the conditions and "_step", the size of the step that starts at each sample's noise level.

        Arguments:
            cond: Conditions; None: no others.
            x: States, for device and precision.
            sigma: Noise levels, () or (B,).
            space: Where the states live.
        """
        (size,) = at_nearest(sigma, *self.sizes)
        return {**(cond or {}), STEP: per_sample(size, x, space)}

    @cached_property
    def sizes(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Noise levels at which the plan evaluates the network, and the condition "_step" of the steps from there."""
        at, to = torch.tensor([(row.at, row.to) for row in evaluation_rows(self.rows)], dtype=torch.float64).T
        share = (flow_time(at) - flow_time(to)) / flow_time(self.schedule.sigma_max)
        return tuple(at.tolist()), tuple(step_condition(share.log2(), self.finest).tolist())


def step_condition(log2_share: Tensor, finest: int) -> Tensor:
    """Return the condition "_step" of steps from log_2(d / T): the same number, or NaN if d is T / finest or less."""
    return torch.where(2**log2_share * finest > 1 + 1e-6, log2_share, math.nan)


def flow_time(s: Number) -> Number:
    """Return the flow time t = s / (1 + s) of a noise level."""
    return s / (1 + s)


def noise_level(t: Number) -> Number:
    """Return the noise level s = t / (1 - t) of a flow time."""
    return t / (1 - t)
