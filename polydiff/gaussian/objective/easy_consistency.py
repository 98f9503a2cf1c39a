r"""Easy consistency training: from any noise level to the data in one evaluation.

A consistency function D(x, t) gives the end, at noise level 0, of the probability-flow path through x at noise level t.
It is constant along a path, and D(x, 0) = x. Two points of nearly one path are x_t = x_0 + t z and x_r = x_0 + r z with
the same z, so

$$ L = w(t)\, \| D(x_t, t) - \mathrm{sg}\, D(x_r, r) \|^2, \qquad
   r = \max\bigl(0,\ t\,(1 - q^{-(\mathrm{stage} + 1)} (1 + k\, \mathrm{sigmoid}(-b t / \sigma_d)))\bigr), $$

where the stage counts from 0 to `stages` - 1 during training, so that r begins far from t (at small t with r = 0,
which is denoising) and nears it. Both passes see one dropout mask. The stop-gradient is of the network itself, not of
an average. (Geng et al., 2024, https://arxiv.org/abs/2406.14548)

The weight w is of the noise level alone: weights that depend on a sample's own error make the minimum inconsistent
where the error does not concentrate, in low dimension.

Symbols: s or t noise level, r the earlier one, z noise, sg stop-gradient, sigma_d the standard deviation of the data.
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
    """Easy consistency training (from scratch) or tuning (of a diffusion model); the denoiser becomes D(x, t).

    Arguments:
        loss: Norm, weighting and distribution of t.
        q: How fast r nears t from stage to stage.
        k: How much further r is from t at low noise.
        b: Where that begins, per sigma_data: the published 1 at sigma_data = 0.5.
        stages: Number of stages in a run.
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
        """Return r at this moment of training, float64; 0 <= r < t."""
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
        # the generator has the same state again, and so dropout the same mask
        now = module(noisy_state(x_0, space.expand(s_t), z), s_t, space, cond)
        return Outcome(self.loss.penalise(now - before, space.expand(s_t), module, space), t)
