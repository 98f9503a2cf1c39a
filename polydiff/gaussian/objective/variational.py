r"""Objectives that minimise the variational bound, and so train the variance of the reverse steps.

    vlb      E_i [L_i / (p_i dim)]: L_i the divergence of step i of a chain of T levels, L_1 the decoder's term, and
             p_i the probability that step i is drawn, chosen such that all draws have about the same size
    hybrid   L_simple + 0.001 L_vlb, without the gradient of L_vlb in the mean, so that L_vlb trains the variance alone

(Nichol & Dhariwal, 2021, section 3, https://arxiv.org/abs/2102.09672; L_vlb is the sum over all T steps.) L_vlb is in
nats per dimension, from the terms of `polydiff.gaussian.likelihood.terms`. In training the decoder is a density of
states without its constant; a decoder with bins is used only for likelihoods.

Symbols: s noise level, T number of levels, D estimate of x_0, v in (0, 1) the predicted variance of a reverse step on a
logarithmic scale from small (0) to large (1), B batch size, R rows of a state.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from polydiff.core.objective import Moment, Outcome
from polydiff.core.rules import Rule
from polydiff.core.space import Batch, sqnorm
from polydiff.gaussian.denoise import NO_VARIANCE, Denoiser
from polydiff.gaussian.forward import noisy_state
from polydiff.gaussian.likelihood.bounds import chain
from polydiff.gaussian.likelihood.importance import expected_nats, shares
from polydiff.gaussian.likelihood.terms import decoder_std, step_kl
from polydiff.gaussian.objective.base import OBJECTIVES, DenoisingObjective
from polydiff.gaussian.schedule.base import Schedule

VARIANCE = Rule("backbone.variance", (True,), "needs backbone.variance=true: it trains the variance of a step.")


@OBJECTIVES.register("vlb")
@dataclass(frozen=True)
class Vlb(DenoisingObjective):
    """The bound on -log p(x_0) of a chain, without its two constant terms: the prior and the decoder's constant.

    The variances are learned if the network predicts them; otherwise they are the small ones.

    Arguments:
        loss: Unused: the bound determines the weighting and the noise levels.
        steps: Number T of levels of the chain.

    Raises:
        ValueError: `steps` is not a whole number of at least 2.
    """

    steps: int = 1000

    teaches: ClassVar[Sequence[str]] = ("backbone.variance",)

    def __post_init__(self) -> None:
        check_steps(self.steps)

    def __call__(
        self, module: Denoiser, batch: Batch, u: Tensor, generators: Sequence[torch.Generator], moment: Moment
    ) -> Outcome:
        x_0, space, cond = batch
        levels = chain(module.schedule, self.steps)
        share = shares(expected_nats(levels, module.sigma_data))
        i = torch.searchsorted(share.cumsum(0), u).clamp(max=len(share) - 1)
        # i = 0 is the decoder's term, for which the lower level is unused: any level below levels[0] will do
        lower = torch.where(i > 0, levels[(i - 1).clamp(min=0)], levels[0] / 2)
        s0, s1 = levels[i].to(x_0.device), lower.to(x_0.device)
        sigma = s0.to(x_0)
        x = noisy_state(x_0, space.expand(sigma), space.noise(generators))
        f, v = module.network_output(x, sigma, space, cond)
        estimate = module.to_x0(x, f, sigma, space)
        variance = 0.0 if v is None else torch.sigmoid(v.to(x.dtype))
        steps = step_kl(space, x_0, estimate, s0, s1, module.sigma_data, variance)
        c = decoder_std(s0, module.sigma_data).to(x_0)
        last = sqnorm(space, (x_0 - estimate) / space.expand(c)) / 2
        nats = torch.where(i.to(x_0.device) == 0, last, steps)
        return Outcome(nats / share[i].to(nats) / space.dim.clamp(min=1), levels[i])


@OBJECTIVES.register("hybrid")
@dataclass(frozen=True)
class Hybrid(DenoisingObjective):
    """L_simple + weight L_vlb: the configured loss for the mean, and the bound for the variance alone.

    Both terms share one evaluation of the network, at the noise levels of the loss. The step of the bound starts there
    and lowers the schedule's time by 1 / (T - 1) of its range.

    Arguments:
        loss: L_simple.
        steps: Number T of levels of the chain.
        weight: Factor of L_vlb, above 0.

    Raises:
        ValueError: `steps` is not a whole number of at least 2, or `weight` is not above 0.
    """

    steps: int = 1000
    weight: float = 0.001

    suits: ClassVar[Mapping[str, Any]] = {"backbone.variance": True}
    rules: ClassVar[Sequence[Rule]] = (VARIANCE,)
    teaches: ClassVar[Sequence[str]] = ("backbone.variance",)

    def __post_init__(self) -> None:
        check_steps(self.steps)
        if not self.weight > 0:
            raise ValueError(f"weight must be above 0, not {self.weight}.")

    def __call__(
        self, module: Denoiser, batch: Batch, u: Tensor, generators: Sequence[torch.Generator], moment: Moment
    ) -> Outcome:
        x_0, space, cond = batch
        sigma = self.loss.noise_levels(u, module.schedule)
        s0, s1 = (s.to(x_0.device) for s in (sigma, next_level_down(module.schedule, sigma, self.steps)))
        noisy = self.loss.noisy(module, batch, s0, generators)
        f, v = module.network_output(noisy.x, noisy.sigma.to(x_0), space, cond)
        if v is None:
            raise ValueError(f"{NO_VARIANCE} The objective hybrid {VARIANCE.why}")
        simple = self.loss.of_output(f, noisy, module, batch)
        estimate = module.to_x0(noisy.x, f, s0, space).detach()
        nats = step_kl(space, x_0, estimate, s0, s1, module.sigma_data, torch.sigmoid(v.to(x_0)))
        return Outcome(simple + self.weight * self.steps * nats / space.dim.clamp(min=1), sigma)


@torch.no_grad()
def next_level_down(schedule: Schedule, sigma: Tensor, steps: int) -> Tensor:
    """Return the noise levels one step of the chain below the given ones, shape (B,).

    A step from the lowest level of the chain has the same ratio of noise levels as the step before it.

    Arguments:
        schedule: Gives the chain, uniform in time between the ends that are trained.
        sigma: Noise levels, shape (B,).
        steps: Number T of levels of the chain.
    """
    low, high = schedule.trained_times()
    step = (high - low) / (steps - 1)
    t = schedule.time(-2 * sigma.log()) - step
    bottom, next_ = schedule.noise_level(torch.tensor([low, low + step], dtype=torch.float64)).tolist()
    return torch.where(t > low - 1e-3 * step, schedule.noise_level(t.clamp(min=low)), sigma * (bottom / next_))


def check_steps(steps: int) -> None:
    """Raise ValueError unless a chain has at least two levels."""
    if steps != int(steps) or steps < 2:
        raise ValueError(f"steps must be a whole number of at least 2, not {steps}.")
