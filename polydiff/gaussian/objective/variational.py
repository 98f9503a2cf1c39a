r"""The variational bound as what is minimised, and the variance of the reverse steps that it teaches.

    vlb      E_i [L_i / (p_i dim)]: L_i the divergence of step i of a chain of T levels, L_1 the decoder's term, and
             p_i how often a step is drawn, so that every draw counts about the same
    hybrid   L_simple + 0.001 L_vlb, with the mean held fixed in L_vlb, which thus teaches the variance alone

(Nichol & Dhariwal, 2021, section 3, https://arxiv.org/abs/2102.09672; L_vlb is their sum over all T steps.) Both in
nats per dimension; the terms are those of `likelihood.terms`. In training the decoder is a density of states
less its constant: bins are used only for a likelihood.

Symbols: s noise level, T levels, D estimate of x_0, v the network's prediction of the variance, B batch.
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

VARIANCE = Rule("backbone.variance", (True,), "needs backbone.variance=true, the variance of a step that it teaches.")


@OBJECTIVES.register("vlb")
@dataclass(frozen=True)
class Vlb(DenoisingObjective):
    """The bound on -log p(x_0) of a chain, without its prior and the decoder's constant, which nothing changes.

    The variances are learned if the network predicts v; otherwise they are the small ones.

    Arguments:
        loss: Unused: the bound has a weighting and levels of its own.
        steps: T.
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
        lower = torch.where(i > 0, levels[(i - 1).clamp(min=0)], levels[0] / 2)  # the first term is no step
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
    """L_simple + weight L_vlb: the loss of the mean as configured, and the bound for the variance alone.

    Both terms share one evaluation of the network, at the noise levels of the loss; the step that the bound judges
    goes from there by 1 / (T - 1) of the schedule's time.

    Arguments:
        loss: L_simple.
        steps: T.
        weight: Of L_vlb.
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
        s0, s1 = (s.to(x_0.device) for s in (sigma, below(module.schedule, sigma, self.steps)))
        noisy = self.loss.noisy(module, batch, s0, generators)
        f, v = module.network_output(noisy.x, noisy.sigma.to(x_0), space, cond)
        if v is None:
            raise ValueError(f"{NO_VARIANCE} The objective hybrid {VARIANCE.why}")
        simple = self.loss.of_output(f, noisy, module, batch)
        estimate = module.to_x0(noisy.x, f, s0, space).detach()
        nats = step_kl(space, x_0, estimate, s0, s1, module.sigma_data, torch.sigmoid(v.to(x_0)))
        return Outcome(simple + self.weight * self.steps * nats / space.dim.clamp(min=1), sigma)


@torch.no_grad()
def below(schedule: Schedule, sigma: Tensor, steps: int) -> Tensor:
    """Return the noise levels one step of T lower, shape (B,); below the lowest, by the ratio of the lowest step."""
    low, high = schedule.trained_times()
    step = (high - low) / (steps - 1)
    t = schedule.time(-2 * sigma.log()) - step
    bottom, next_ = schedule.noise_level(torch.tensor([low, low + step], dtype=torch.float64)).tolist()
    return torch.where(t > low - 1e-3 * step, schedule.noise_level(t.clamp(min=low)), sigma * (bottom / next_))


def check_steps(steps: int) -> None:
    """Raise ValueError unless a chain has at least two levels."""
    if steps != int(steps) or steps < 2:
        raise ValueError(f"steps must be a whole number of at least 2, not {steps}.")
