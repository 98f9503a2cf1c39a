r"""Jumps: steps of any size that a network, conditioned on their size, is trained to take at once.

In flow time t = s / (1 + s) with x_t = (1 - t) x_0 + t eps, the network predicts the velocity u(x_t, t, h) whose step
of size h ends where the flow does: x_{t - h} = x_t - h u. The estimate of the clean state is D = x_t - t u. A step is
then a step of DDIM, and the network keeps its target. Some samples of a batch are trained on jumps, the others at
h = 0, which is denoising. An objective chooses what a jump is compared with.

By default, sizes are T 2^{-level} with whole levels, where T is the flow time of the highest noise level, and a jump
starts at a multiple of its size. The network's condition "_step" is log_2(h / T), and NaN ("not given") for h = 0.

Symbols: s noise level, t flow time, h size of a step, x_t = (1 - t) (x_0 + s eps), B batch size, R rows of a state.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor

from polydiff.core.conditions import STEP, Condition
from polydiff.core.objective import Moment, Outcome
from polydiff.core.rules import Rule
from polydiff.core.space import Batch, Space, State
from polydiff.gaussian.denoise import Denoiser
from polydiff.gaussian.forward import noisy_state
from polydiff.gaussian.objective.base import DenoisingObjective
from polydiff.gaussian.schedule.base import Schedule
from polydiff.gaussian.step_size import flow_time, noise_level

GOLDEN = (math.sqrt(5) - 1) / 2
"""Golden ratio conjugate: multiples of it, modulo 1, are evenly spread however many they are."""


class Jump(NamedTuple):
    """One jump for each sample; each field (B,), float64.

    Attributes:
        t: Flow time at which it starts.
        size: h.
        level: log_2(T / h).
    """

    t: Tensor
    size: Tensor
    level: Tensor


@dataclass(frozen=True)
class Jumping(DenoisingObjective):
    """Denoising and jumps in one batch.

    Arguments:
        loss: Norm and weighting of both parts, and the distribution of noise levels of denoising.
        share: Share of the samples that is trained on jumps, in (0, 1), on average over the training steps.
        finest: A power of 2. Steps of size T / finest or less count as h = 0.

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

    @abstractmethod
    def goal(
        self, module: Denoiser, moment: Moment, x_0: State, eps: State, jump: Jump, space: Space, cond: Condition | None
    ) -> State:
        """Return what D(x_t, t, h) is compared with, (R, ...), without gradient.

        Arguments:
            module: The denoiser that is trained.
            moment: State of training, with the averaged denoiser.
            x_0: Clean states, (R, ...).
            eps: Noise, (R, ...); x_t = (1 - t) x_0 + t eps.
            jump: The jump of each sample.
            space: Where the states live.
            cond: Conditions without "_step"; None: none.
        """

    def weight(self, moment: Moment) -> float:
        """Return the weight of the losses of jumps beside those of denoising."""
        return 1.0

    def jumps(self, u: Tensor, schedule: Schedule) -> Jump:
        """Return the jumps for uniform numbers u in (0, 1), shape (B,).

        All sizes are equally frequent, and so are all starts of a size.
        """
        place = u * math.log2(self.finest)
        level = place.floor()
        start = 1 + ((place - level) * 2**level).floor()
        size = flow_time(schedule.sigma_max) / 2**level
        return Jump(start * size, size, level)

    def jump_mask(self, n: int, step: int, first: int = 0) -> Tensor:
        """Return which samples of a batch are trained on jumps, shape (n,), bool.

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
        jumps = self.jump_mask(len(u), moment.step, moment.first)
        goal = self.goal(module, moment, x_0, eps, jump, space, cond)
        sigma = torch.where(jumps, noise_level(jump.t), self.loss.noise_levels(u, module.schedule))
        step = torch.where(jumps, -jump.level, math.nan).to(x_0)
        s = space.expand(sigma.to(x_0))
        d = module(noisy_state(x_0, s, eps), sigma.to(x_0), space, {**(cond or {}), STEP: step})
        target = torch.where(space.expand(jumps.to(x_0.device)), goal, x_0)
        losses = self.loss.penalise(d - target, s, module, space)
        return Outcome(torch.where(jumps.to(losses.device), self.weight(moment) * losses, losses), sigma)
