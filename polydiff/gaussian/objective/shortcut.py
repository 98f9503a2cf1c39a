r"""Shortcut models: a network that is conditioned on the size of its step.

In flow time t = s / (1 + s) with x_t = (1 - t) x_0 + t eps, the network gives the velocity u(x_t, t, d) that, held for
a step d, leads to where the flow itself would lead: x_{t - d} = x_t - d u. It is written as a clean state,
D = x_t - t u, so that a step is DDIM's and the target stays the run's own. Most samples are trained at d = 0, plain
denoising; the others by self-consistency, two steps d of the averaged network, without gradient, for one of 2d:

$$ u(x_t, t, 2d) = \tfrac12 u(x_t, t, d) + \tfrac12 u(x_{t-d}, t - d, d), \qquad\text{that is}\qquad
   D(x_t, t, 2d) = D_2 + \frac{t - 2d}{2 (t - d)} (D_1 - D_2), $$

with D_1 = D(x_t, t, d) and D_2 = D(x_{t-d}, t - d, d). Steps are T 2^{-level}, T the flow time of the highest noise
level, and start at their multiples. The network sees log_2(d / T) as the condition "_step", and NaN, "not given", for
d = 0. (Frans et al., 2024, https://arxiv.org/abs/2410.12557; there t runs from noise to data, and 1 / 128 is d = 0.)

Symbols: s noise level, t flow time, d size of a step, B batch.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor

from polydiff.core.conditions import STEP, Condition
from polydiff.core.objective import Moment, Outcome
from polydiff.core.rules import Rule
from polydiff.core.space import Batch, Space, State
from polydiff.gaussian.denoise import Denoise, Denoiser
from polydiff.gaussian.forward import noisy_state
from polydiff.gaussian.objective.base import OBJECTIVES, DenoisingObjective
from polydiff.gaussian.schedule.base import Schedule
from polydiff.gaussian.step_size import flow_time, noise_level

GOLDEN = (math.sqrt(5) - 1) / 2


class Jump(NamedTuple):
    """A step for which self-consistency is trained, one a sample, float64.

    Attributes:
        t: Flow time at which it starts, a multiple of its size.
        d: Half of its size.
        level: log_2(T / 2d), a whole number.
    """

    t: Tensor
    d: Tensor
    level: Tensor


@OBJECTIVES.register("shortcut")
@dataclass(frozen=True)
class Shortcut(DenoisingObjective):
    """Flow matching and self-consistency in one batch.

    Arguments:
        loss: Norm and weighting of both parts, and the distribution of noise levels of the first.
        share: Share of the samples that self-consistency takes, over the steps.
        finest: Number of steps, a power of 2, from which on steps count as d = 0.
    """

    share: float = 0.25
    finest: int = 128

    suits: ClassVar[Mapping[str, Any]] = {
        "backbone.step_size": True,
        "loss.times": "log_normal",
        "loss.times_options": {"mean": 0.0, "std": 1.8},
        "sample.sampler": "shortcut",
        "sample.steps": 4,
        "sample.spacing": "flow",
        "sample.guidance": 1.0,
    }
    rules: ClassVar[Sequence[Rule]] = (
        Rule("backbone.step_size", (True,), "needs backbone.step_size=true: the network must receive the step size."),
    )
    teaches: ClassVar[Sequence[str]] = ("backbone.step_size",)

    def __post_init__(self) -> None:
        if not 0 < self.share < 1:
            raise ValueError(f"share must be between 0 and 1, not {self.share}.")
        if self.finest < 2 or not math.log2(self.finest).is_integer():
            raise ValueError(f"finest must be a power of 2, such as 128, not {self.finest}.")

    def jumps(self, u: Tensor, schedule: Schedule) -> Jump:
        """Return the jumps for numbers of (0, 1): all sizes equally often, and all starts of a size equally often."""
        place = u * math.log2(self.finest)
        level = place.floor()
        start = 1 + ((place - level) * 2**level).floor()
        size = flow_time(schedule.sigma_max) / 2**level
        return Jump(start * size, size / 2, level)

    def chosen(self, n: int, step: int) -> Tensor:
        """Return which of a batch's samples jump: evenly spread, as the numbers u are sorted, and others at each step.

        The pattern's phase goes by the golden ratio, so that over steps the share is right for every batch size and
        at every place of the batch, and so for every size of a jump.
        """
        phase = (step + 1) * GOLDEN % 1
        return (torch.arange(n, dtype=torch.float64) * self.share + phase) % 1 < self.share

    def __call__(
        self, module: Denoiser, batch: Batch, u: Tensor, generators: Sequence[torch.Generator], moment: Moment
    ) -> Outcome:
        x_0, space, cond = batch
        eps, jump, jumps = space.noise(generators), self.jumps(u, module.schedule), self.chosen(len(u), moment.step)
        goal = self.goal(moment.ema, x_0, eps, jump, space, cond)
        sigma = torch.where(jumps, noise_level(jump.t), self.loss.noise_levels(u, module.schedule))
        step = torch.where(jumps, -jump.level, math.nan).to(x_0)
        s = space.expand(sigma.to(x_0))
        d = module(noisy_state(x_0, s, eps), sigma.to(x_0), space, {**(cond or {}), STEP: step})
        target = torch.where(space.expand(jumps.to(x_0.device)), goal, x_0)
        return Outcome(self.loss.penalise(d - target, s, module, space), sigma)

    @torch.no_grad()
    def goal(self, ema: Denoise, x_0: State, eps: State, jump: Jump, space: Space, cond: Condition | None) -> State:
        """Return D(x_t, t, 2d) by two steps d from x_t = (1 - t) x_0 + t eps."""
        t, d, level = jump
        s0, s1, share = (c.to(x_0) for c in (noise_level(t), noise_level(t - d), (t - 2 * d) / (2 * (t - d))))
        half = torch.where(2 ** (level + 1) < self.finest, -level - 1, math.nan).to(x_0)
        half_step = {**(cond or {}), STEP: half}
        x = noisy_state(x_0, space.expand(s0), eps)
        first = ema(x, s0, space, half_step)
        second = ema(first + space.expand(s1 / s0) * (x - first), s1, space, half_step)
        return second + space.expand(share) * (first - second)
