"""Objectives of a denoiser: what training minimises, one class for each name of `loss.objective`.

The training loop knows only `Objective`, which serves any module, with or without noise levels. A `DenoisingObjective`
trains a denoiser. It receives a batch, a uniform number and a random stream for each sample, and the state of training.
It chooses the noise levels, calls the network as often as it needs and returns the loss of each sample. All its
randomness comes from those numbers and streams, so a resumed run repeats it.

To add an objective, write a subclass of `DenoisingObjective` and register it in `OBJECTIVES`. Its first argument is a
`Loss` (norm, weighting, times). Its further arguments, `loss.objective_options`, have defaults. Objectives of polydiff
are imported in `polydiff/gaussian/objective/__init__.py`.

Symbols: u uniform number, L loss of a sample, B batch size, R rows of a state.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from polydiff.contract.sections.run import Config
from polydiff.core.entry import check_batch
from polydiff.core.objective import M, Moment, Objective, Outcome, alone
from polydiff.core.registry import Registry
from polydiff.core.space import Batch
from polydiff.gaussian.denoise import Denoiser
from polydiff.gaussian.loss.base import Loss
from polydiff.support.errors import UserError


@dataclass(frozen=True)
class DenoisingObjective(Objective[Denoiser]):
    """An objective of a denoiser, with the state of its `Loss` and the gradient of a learned schedule.

    Arguments:
        loss: Norm, weighting and distribution of noise levels.
    """

    loss: Loss

    def compares(self, module: Denoiser) -> bool:
        return bool(learned(module))

    def check(self, module: Denoiser, batch: Batch, name: str) -> None:
        check_batch(batch, levels=(module.schedule.sigma_min, module.schedule.sigma_max), name=name)

    def draw(self, module: Denoiser, u: Tensor) -> tuple[Tensor, Tensor | None]:
        return self.loss.draw(module, u)

    def minimised(self, module: Denoiser, outcome: Outcome, weight: Tensor | None) -> Tensor:
        if outcome.level is not None:
            outcome = outcome._replace(losses=self.loss.minimised(module, outcome.losses, outcome.level))
        return super().minimised(module, outcome, weight)

    def backward(self, module: Denoiser, losses: Tensor, average: Callable[[Tensor], Tensor] = alone) -> Tensor:
        """Add the gradient of the mean loss to the parameters; return this mean, shape ().

        The parameters of a learned schedule get the gradient of E[L^2] / (2 E[L]^2) instead: the mean does not depend
        on them, so they are trained to lower the variance (Kingma et al., VDM, 2021,
        https://arxiv.org/abs/2107.00630). This takes a second backward pass through the network.

        Arguments:
            module: The denoiser that is trained.
            losses: Losses of the samples of all processes, shape (B,).
            average: Mean over processes of a gradient.
        """
        mean, own = losses.mean(), learned(module)
        spread = losses.square().mean() / (2 * mean.detach() ** 2).clamp(min=1e-30)
        mean.backward(retain_graph=bool(own))  # the first pass, in which torch exchanges gradients between processes
        gradients = torch.autograd.grad(spread, own, allow_unused=True) if own else ()
        for parameter, gradient in zip(own, gradients, strict=True):
            parameter.grad = None if gradient is None else average(gradient)
        return mean

    def record(self, module: Denoiser, u: Tensor, outcome: Outcome) -> None:
        self.loss.record(module, u, outcome.losses)

    def describe(self, module: Denoiser, level: Tensor) -> str:
        return f"t = {module.schedule.time(-2 * level.log()).item():.4g}, {super().describe(module, level)}"


def learned(module: Denoiser) -> list[nn.Parameter]:
    """Return the parameters of a learned noise schedule that are trained."""
    schedule = module.schedule
    return [p for p in schedule.parameters() if p.requires_grad] if isinstance(schedule, nn.Module) else []


OBJECTIVES: Registry[type[DenoisingObjective]] = Registry("objective")
"""Name -> class of an objective, built by (loss, **options)."""


@OBJECTIVES.register("denoising")
@dataclass(frozen=True)
class Denoising(DenoisingObjective):
    """Denoising: the weighted error of the estimate of x_0, `polydiff.gaussian.loss.base.Loss`.

    A self-conditioned network is conditioned on its own estimate at every second step.

    Arguments:
        loss: Norm, weighting and distribution of noise levels.
    """

    teaches: ClassVar[Sequence[str]] = ("backbone.self_condition",)

    def __call__(
        self, module: Denoiser, batch: Batch, u: Tensor, generators: Sequence[torch.Generator], moment: Moment
    ) -> Outcome:
        sigma = self.loss.noise_levels(u, module.schedule)
        twice = module.self_condition and moment.step % 2 == 1
        return Outcome(self.loss(module, batch, sigma.to(batch.x.device), generators, twice), sigma)

    @property
    def trains_schedule(self) -> bool:
        return self.loss.trains_schedule


def as_objective(loss: Loss | Objective[M] | None, module: nn.Module) -> Objective[Any]:
    """Return the objective itself, or the denoising objective of a loss.

    Arguments:
        loss: An objective; or a loss; or None: the squared error at noise levels whose distribution suits the schedule.
        module: What is trained. Without a loss, it must be a denoiser.

    Raises:
        UserError: There is no loss, and the module has no schedule.
    """
    if loss is None:
        schedule = getattr(module, "schedule", None)
        if schedule is None:
            kind = type(module).__name__
            raise UserError(
                f"Training({kind}) needs an objective: only a denoiser, which has a schedule, has a default."
            )
        loss = Loss(times=getattr(schedule, "suited_times", "uniform"))
    return Denoising(loss) if isinstance(loss, Loss) else loss


def build_objective(config: Config) -> DenoisingObjective:
    """Return the objective that a configuration specifies (`loss`)."""
    section = config.loss.model_dump()
    make, options = OBJECTIVES[section.pop("objective")], section.pop("objective_options")
    return make(Loss(**section), **options)


def own_samplers() -> set[str]:
    """Return the names of the samplers that are the default of an objective, and so need a network trained by it."""
    suits = [getattr(OBJECTIVES[name], "suits", {}) for name in OBJECTIVES.loaded()]
    return {found["sample.sampler"] for found in suits if "sample.sampler" in found}
