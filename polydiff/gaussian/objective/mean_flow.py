r"""Mean flow: a network that predicts the mean velocity of the flow over a step of any size.

The mean velocity u(x_t, t, h) of the flow from t to t - h obeys u = v - h du/dt, with the velocity v of the flow at t
(Geng et al., 2025, https://arxiv.org/abs/2505.13447). Its derivative needs a product with the Jacobian of the network.
Over a finite part a h of the step it reads

$$ h\, u(x_t, t, h) = a h\, v + (1 - a)\, h\, u(x_s, s, (1 - a) h), \qquad s = t - a h, $$

which needs one evaluation more, without gradient (Zhang et al., AlphaFlow, 2025, https://arxiv.org/abs/2510.20771).
With v = eps - x_0, x_s lies on the straight path of the same x_0 and eps, and the estimate is compared with

$$ x_0 + (1 - a) \frac{t}{s} (D(x_s, s, (1 - a) h) - x_0). $$

For jumps to the data, h = t, this is consistency training (`polydiff.gaussian.objective.easy_consistency`). a is 1/2 at
first, and is halved from stage to stage: the minimum has a bias of order a. The gradient is of order a, too, so the
losses of jumps have the weight 1 / a, as AlphaFlow's.

Symbols: as in `polydiff.gaussian.objective.jumps`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from polydiff.core.conditions import STEP, Condition
from polydiff.core.objective import Moment
from polydiff.core.space import Space, State
from polydiff.gaussian.denoise import Denoiser
from polydiff.gaussian.forward import noisy_state
from polydiff.gaussian.objective.base import OBJECTIVES
from polydiff.gaussian.objective.jumps import GOLDEN, Jump, Jumping
from polydiff.gaussian.schedule.base import Schedule
from polydiff.gaussian.step_size import flow_time, noise_level, step_condition


@OBJECTIVES.register("mean_flow")
@dataclass(frozen=True)
class MeanFlow(Jumping):
    """Denoising and the identity of the mean velocity in one batch.

    Arguments:
        loss: Norm and weighting of both parts, and the distribution of noise levels of denoising.
        share: Share of the samples that is trained on jumps, in (0, 1), on average over the training steps.
        finest: A power of 2. Steps of size T / finest or less count as h = 0.
        stages: Number of stages in a run; a is 2^{-stages} in the last.

    Raises:
        ValueError: An option is out of its range.
    """

    share: float = 0.5
    stages: int = 5

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 1 <= self.stages <= 20:
            raise ValueError(f"stages must be from 1 to 20, not {self.stages}.")

    def jumps(self, u: Tensor, schedule: Schedule) -> Jump:
        """Return the jumps for uniform numbers u in (0, 1), shape (B,).

        log h is uniform, since the rest (1 - a) h of a jump is no power of 2, and so is the start between h and T.
        """
        level = u * math.log2(self.finest)
        top, place = flow_time(schedule.sigma_max), GOLDEN * 2**16 * u % 1
        size = top / 2**level
        return Jump(size + place * (top - size), size, level)

    def part(self, moment: Moment) -> float:
        """Return a at this moment of training."""
        stage = min(int(moment.progress * self.stages), self.stages - 1)
        return 2.0 ** -(stage + 1)

    def weight(self, moment: Moment) -> float:
        return 1 / self.part(moment)

    def goal(
        self, module: Denoiser, moment: Moment, x_0: State, eps: State, jump: Jump, space: Space, cond: Condition | None
    ) -> State:
        a = self.part(moment)
        before = jump.t - a * jump.size
        rest = math.log2(1 - a) - jump.level
        step = step_condition(rest, self.finest).to(x_0)
        s, share = (c.to(x_0) for c in (noise_level(before), (1 - a) * jump.t / before))
        with torch.no_grad(), torch.random.fork_rng([x_0.device] if x_0.is_cuda else []):
            d = module(noisy_state(x_0, space.expand(s), eps), s, space, {**(cond or {}), STEP: step})
        # `fork_rng` restores the generator's state, so dropout draws the same mask for both evaluations
        goal: State = x_0 + space.expand(share) * (d - x_0)
        return goal
