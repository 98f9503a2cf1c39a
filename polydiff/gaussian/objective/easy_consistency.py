r"""Easy consistency training: a network that goes from any noise level to the data in one evaluation.

A consistency function D(x, t) is the end, at noise level 0, of the probability-flow path through x at noise level t. It
is constant along a path, and D(x, 0) = x. The points x_t = x_0 + t z and x_r = x_0 + r z with the same z lie nearly on
one path, so the loss is

$$ L = w(t)\, \| D(x_t, t) - \mathrm{sg}\, D(x_r, r) \|^2, \qquad
   r = \max\bigl(0,\ t\,(1 - q^{-(\mathrm{stage} + 1)} (1 + k\, \mathrm{sigmoid}(-b t / \sigma_d)))\bigr), $$

where the stage rises from 0 to `stages` - 1 during training. At first r is far from t (and 0 at small t, where the loss
is denoising); later it approaches t. Both passes use the same dropout mask. The second pass uses the network itself
without gradient, not a moving average. (Geng et al., 2024, https://arxiv.org/abs/2406.14548)

The weight w depends on the noise level alone. A weight that depends on a sample's own error would move the minimum away
from the consistency function in low dimension, where the norm of the error varies from sample to sample.

Symbols: t noise level, r < t the lower one, z noise, sg stop-gradient, sigma_d standard deviation of the data, s_t and
s_r the levels in the precision of x_0, B batch size.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from polydiff.core.objective import Moment, Outcome
from polydiff.core.rules import Rule
from polydiff.core.space import Batch
from polydiff.gaussian.denoise import Denoiser
from polydiff.gaussian.forward import noisy_state
from polydiff.gaussian.objective.base import OBJECTIVES, DenoisingObjective

IDENTITY = Rule("target", ("x0",), "needs D(x, 0) = x, which target=x0 does not give. Use target=edm.", excludes=True)


@OBJECTIVES.register("ect")
@dataclass(frozen=True)
class ECT(DenoisingObjective):
    """Easy consistency training from scratch, or tuning of a diffusion model; the denoiser becomes D(x, t).

    Arguments:
        loss: Norm, weighting and distribution of t.
        q: Factor, above 1, by which the gap between r and t shrinks from stage to stage.
        k: Increases the gap at low noise, by a factor of up to 1 + k / 2.
        b: Inverse of the noise level, in standard deviations of the data, above which this increase fades. The default
            is the published one: 1 per unit of t, at sigma_d = 0.5.
        stages: Number of stages in a run.

    Raises:
        ValueError: An option is out of its range.
    """

    q: float = 2.0
    k: float = 8.0
    b: float = 0.5
    stages: int = 8

    suits: ClassVar[Mapping[str, Any]] = {
        "loss.times": "log_normal",
        "loss.times_options": {"mean": -0.4, "std": 2.0},
        "sample.sampler": "consistency",
        "sample.steps": 2,
        "sample.spacing": "flow",
        "sample.guidance": 1.0,
    }
    rules: ClassVar[Sequence[Rule]] = (IDENTITY,)

    def __post_init__(self) -> None:
        if not (self.q > 1 and self.k >= 0 and self.b >= 0 and self.stages >= 1):
            raise ValueError("ect needs q > 1, stages of at least 1, and k and b of at least 0.")

    def earlier(self, t: Tensor, moment: Moment, sigma_data: float) -> Tensor:
        """Return r at this moment of training, 0 <= r < t, of the shape of t.

        Arguments:
            t: Noise levels, shape (B,), float64.
            moment: State of training; gives the stage.
            sigma_data: Standard deviation of the data.
        """
        stage = int(moment.progress * self.stages)
        gap = self.q ** -(stage + 1.0) * (1 + self.k * torch.sigmoid(-self.b * t / sigma_data))
        r: Tensor = t * (1 - gap).clamp(min=0)
        return r

    def __call__(
        self, module: Denoiser, batch: Batch, u: Tensor, generators: Sequence[torch.Generator], moment: Moment
    ) -> Outcome:
        if module.target in IDENTITY.values:
            raise ValueError(f"The objective ect {IDENTITY.why}")
        x_0, space, cond = batch
        t = self.loss.noise_levels(u, module.schedule)
        r = self.earlier(t, moment, module.sigma_data)
        z, s_t, s_r = space.noise(generators), t.to(x_0), r.to(x_0)
        with torch.no_grad(), torch.random.fork_rng([x_0.device] if x_0.is_cuda else []):
            before = module(noisy_state(x_0, space.expand(s_r), z), s_r, space, cond)
            before = torch.where(space.expand(s_r) > 0, before, x_0)
        # `fork_rng` restored the generator's state, so dropout draws the same mask again
        now = module(noisy_state(x_0, space.expand(s_t), z), s_t, space, cond)
        return Outcome(self.loss.penalise(now - before, space.expand(s_t), module, space), t)
