r"""Shortcut models: a jump is compared with two jumps of half its size by the averaged network.

$$ u(x_t, t, 2d) = \tfrac12 u(x_t, t, d) + \tfrac12 u(x_{t-d}, t - d, d), \qquad\text{that is}\qquad
   D(x_t, t, 2d) = D_2 + \frac{t - 2d}{2 (t - d)} (D_1 - D_2), $$

with D_1 = D(x_t, t, d) and D_2 = D(x_{t-d}, t - d, d). (Frans et al., 2024, https://arxiv.org/abs/2410.12557; there t
runs from noise to data, and a step of 1 / 128 counts as d = 0.)

Symbols: as in `polydiff.gaussian.objective.jumps`, d half of the size of a jump.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from polydiff.core.conditions import STEP, Condition
from polydiff.core.objective import Moment
from polydiff.core.space import Space, State
from polydiff.gaussian.denoise import Denoiser
from polydiff.gaussian.forward import noisy_state
from polydiff.gaussian.objective.base import OBJECTIVES
from polydiff.gaussian.objective.jumps import Jump, Jumping
from polydiff.gaussian.step_size import noise_level, step_condition


@OBJECTIVES.register("shortcut")
@dataclass(frozen=True)
class Shortcut(Jumping):
    """Denoising and self-consistency in one batch.

    Arguments:
        loss: Norm and weighting of both parts, and the distribution of noise levels of denoising.
        share: Share of the samples that is trained by self-consistency, in (0, 1), on average over the training steps.
        finest: A power of 2. Steps of size T / finest or less count as d = 0.

    Raises:
        ValueError: An option is out of its range.
    """

    @torch.no_grad()
    def goal(
        self, module: Denoiser, moment: Moment, x_0: State, eps: State, jump: Jump, space: Space, cond: Condition | None
    ) -> State:
        t, d = jump.t, jump.size / 2
        s0, s1, share = (c.to(x_0) for c in (noise_level(t), noise_level(t - d), (t - 2 * d) / (2 * (t - d))))
        half_step = {**(cond or {}), STEP: step_condition(-jump.level - 1, self.finest).to(x_0)}
        x = noisy_state(x_0, space.expand(s0), eps)
        first = moment.ema(x, s0, space, half_step)
        second = moment.ema(first + space.expand(s1 / s0) * (x - first), s1, space, half_step)
        end: State = second + space.expand(share) * (first - second)
        return end
