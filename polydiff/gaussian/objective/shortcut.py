r"""Shortcut models: a network that is conditioned on the size of the step.

In flow time t = s / (1 + s) with x_t = (1 - t) x_0 + t eps, the network predicts the constant velocity u(x_t, t, d).
Over a step d it leads to the same point as the flow: x_{t - d} = x_t - d u. The estimate of the clean state is
D = x_t - t u. A step is then a step of DDIM, and the network keeps its target. Most samples are trained at d = 0, which
is denoising. The others are trained by self-consistency: one step 2d equals two steps d of the averaged network,
without gradient,

$$ u(x_t, t, 2d) = \tfrac12 u(x_t, t, d) + \tfrac12 u(x_{t-d}, t - d, d), \qquad\text{that is}\qquad
   D(x_t, t, 2d) = D_2 + \frac{t - 2d}{2 (t - d)} (D_1 - D_2), $$

with D_1 = D(x_t, t, d) and D_2 = D(x_{t-d}, t - d, d). The step sizes are T 2^{-level}, where T is the flow time of the
highest noise level. A step starts at a multiple of its size. The network's condition "_step" is log_2(d / T), and NaN
("not given") for d = 0. (Frans et al., 2024, https://arxiv.org/abs/2410.12557; there t runs from noise to data, and a
step of 1 / 128 counts as d = 0.)

Symbols: s noise level, t flow time, d size of a step, x_t = (1 - t) (x_0 + s eps), B batch size, R rows of a state.
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
"""Golden ratio conjugate: multiples of it, modulo 1, are evenly spread however many they are."""


class Jump(NamedTuple):
    """Steps of size 2d for which self-consistency is trained, one for each sample; each field (B,), float64.

    Attributes:
        t: Flow time at which the step starts, a multiple of its size.
        d: Half of the size of the step.
        level: log_2(T / 2d), a whole number.
    """

    t: Tensor
    d: Tensor
    level: Tensor


@OBJECTIVES.register("shortcut")
@dataclass(frozen=True)
class Shortcut(DenoisingObjective):
    """Denoising and self-consistency in one batch.

    Arguments:
        loss: Norm and weighting of both parts, and the distribution of noise levels of denoising.
        share: Share of the samples that is trained by self-consistency, in (0, 1), on average over the training steps.
        finest: A power of 2. Steps of size T / finest or less count as d = 0.

    Raises:
        ValueError: An option is out of its range.
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
        """Return the jumps for uniform numbers u in (0, 1), shape (B,).

        All sizes are equally frequent, and so are all starts of a size.
        """
        place = u * math.log2(self.finest)
        level = place.floor()
        start = 1 + ((place - level) * 2**level).floor()
        size = flow_time(schedule.sigma_max) / 2**level
        return Jump(start * size, size / 2, level)

    def shortcut_mask(self, n: int, step: int, first: int = 0) -> Tensor:
        """Return which samples of a batch are trained by self-consistency, shape (n,), bool.

        They are evenly spread over the batch, and differ from step to step. The phase of the pattern advances by the
        golden ratio, so that over the steps every place in a batch of any size has the right share.

        Arguments:
            n: Number of samples.
            step: Number of the training step.
            first: Place of the first of them in the batch.
        """
        phase = (step + 1) * GOLDEN % 1
        return (torch.arange(first, first + n, dtype=torch.float64) * self.share + phase) % 1 < self.share

    def __call__(
        self, module: Denoiser, batch: Batch, u: Tensor, generators: Sequence[torch.Generator], moment: Moment
    ) -> Outcome:
        x_0, space, cond = batch
        eps, jump = space.noise(generators), self.jumps(u, module.schedule)
        jumps = self.shortcut_mask(len(u), moment.step, moment.first)
        goal = self.goal(moment.ema, x_0, eps, jump, space, cond)
        sigma = torch.where(jumps, noise_level(jump.t), self.loss.noise_levels(u, module.schedule))
        step = torch.where(jumps, -jump.level, math.nan).to(x_0)
        s = space.expand(sigma.to(x_0))
        d = module(noisy_state(x_0, s, eps), sigma.to(x_0), space, {**(cond or {}), STEP: step})
        target = torch.where(space.expand(jumps.to(x_0.device)), goal, x_0)
        return Outcome(self.loss.penalise(d - target, s, module, space), sigma)

    @torch.no_grad()
    def goal(self, ema: Denoise, x_0: State, eps: State, jump: Jump, space: Space, cond: Condition | None) -> State:
        """Return D(x_t, t, 2d), (R, ...), from two steps d that start at x_t = (1 - t) x_0 + t eps.

        Arguments:
            ema: The averaged network.
            x_0: Clean states, (R, ...).
            eps: Noise, (R, ...).
            jump: Start t, half size d and level of each sample's step.
            space: Where the states live.
            cond: Conditions without "_step"; None: none.
        """
        t, d, level = jump
        s0, s1, share = (c.to(x_0) for c in (noise_level(t), noise_level(t - d), (t - 2 * d) / (2 * (t - d))))
        half = torch.where(2 ** (level + 1) < self.finest, -level - 1, math.nan).to(x_0)
        half_step = {**(cond or {}), STEP: half}
        x = noisy_state(x_0, space.expand(s0), eps)
        first = ema(x, s0, space, half_step)
        second = ema(first + space.expand(s1 / s0) * (x - first), s1, space, half_step)
        return second + space.expand(share) * (first - second)
