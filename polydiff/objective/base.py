"""What training minimises: one class an objective, each looked up by its name, `loss.objective`.

`Objective` is all that the training loop knows: it serves any module, with or without noise levels. A
`DenoisingObjective` trains a denoiser: it receives a batch, one uniform number and one random stream a sample, and the
moment of training, decides the noise levels, calls the network as often as it needs to and returns the loss of each
sample. All that it draws comes from those numbers and streams, so that a run that resumes repeats it.

To add one, write a subclass whose first argument is a `Loss` (norm, weighting, times) and whose further ones,
`loss.objective_options`, have defaults; register it, and import its module in `polydiff/objective/__init__.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, NamedTuple, TypeVar

import torch
from torch import Tensor, nn

from polydiff.config import Config
from polydiff.denoise import Denoiser
from polydiff.loss import Loss
from polydiff.registry import Registry
from polydiff.rules import Rule
from polydiff.space import Batch

M = TypeVar("M", bound=nn.Module)


class Moment(NamedTuple):
    """How far training is.

    Attributes:
        step: Optimizer steps done.
        steps: Steps of the whole run.
        ema: The moving average of the module, in evaluation mode.
    """

    step: int
    steps: int
    ema: Any

    @property
    def progress(self) -> float:
        """Share of the run that is done, in [0, 1)."""
        return self.step / max(self.steps, 1)


class Outcome(NamedTuple):
    """What an objective returns.

    Attributes:
        losses: Loss of each sample, shape (B,).
        level: Noise level of each sample, shape (B,), float64, on the CPU; None for an objective without noise levels.
    """

    losses: Tensor
    level: Tensor | None


class Objective(Generic[M]):
    """What `polydiff.training.fit` minimises: the losses of the samples of a batch, and what happens around a step.

    A subclass needs no more than the call. Each step calls `draw`, the objective itself, `minimised`, `backward` and,
    after the optimizer, `record`.

    Attributes:
        suits: Dotted keys and the values that suit the objective: defaults of a run that names it.
        rules: What it needs of the rest of the configuration.
        teaches: Dotted keys of the abilities of a network that it trains, such as "backbone.variance"; a network that
            has one needs an objective that trains it.
    """

    suits: ClassVar[Mapping[str, Any]] = {}
    rules: ClassVar[Sequence[Rule]] = ()
    teaches: ClassVar[Sequence[str]] = ()

    @property
    def trains_schedule(self) -> bool:
        """Whether the objective trains a learned schedule."""
        return False

    def draw(self, module: M, u: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return the numbers to train at for uniform u, and the weights (B,) that correct for them; None: 1."""
        return u, None

    def __call__(
        self, module: M, batch: Batch, u: Tensor, generators: Sequence[torch.Generator], moment: Moment
    ) -> Outcome:
        """Return the loss of each sample.

        Arguments:
            module: What is trained.
            batch: Clean states, their space and conditions.
            u: One number of (0, 1) a sample, float64, on the CPU: the quantile of its noise level.
            generators: One random stream a sample, on the batch's device.
            moment: How far training is.
        """
        raise NotImplementedError

    def minimised(self, module: M, outcome: Outcome, weight: Tensor | None) -> Tensor:
        """Return the numbers (B,) whose mean is minimised: the losses, times the weights of `draw`."""
        return outcome.losses if weight is None else outcome.losses * weight.to(outcome.losses)

    def backward(self, module: M, losses: Tensor) -> Tensor:
        """Add the gradient of the mean of the losses (B,) to the parameters, and return the mean."""
        mean = losses.mean()
        mean.backward()
        return mean

    def record(self, module: M, u: Tensor, outcome: Outcome) -> None:
        """Update the state of the objective after a step that was drawn at the numbers u (B,)."""

    def describe(self, module: M, level: Tensor) -> str:
        """Return a noise level, a number, in words of an error message."""
        return f"noise level {level.item():.4g}"


@dataclass(frozen=True)
class DenoisingObjective(Objective[Denoiser]):
    """An objective of a denoiser, with the state of its `Loss` and the gradient of a learned schedule.

    Arguments:
        loss: Norm, weighting and distribution of noise levels.
    """

    loss: Loss

    def draw(self, module: Denoiser, u: Tensor) -> tuple[Tensor, Tensor | None]:
        return self.loss.draw(module, u)

    def minimised(self, module: Denoiser, outcome: Outcome, weight: Tensor | None) -> Tensor:
        if outcome.level is not None:
            outcome = outcome._replace(losses=self.loss.minimised(module, outcome.losses, outcome.level))
        return super().minimised(module, outcome, weight)

    def backward(self, module: Denoiser, losses: Tensor) -> Tensor:
        """Add the gradient of the mean loss to the parameters, that of its relative variance to a learned schedule.

        The schedule's gradient is that of E[L^2] / (2 E[L]^2): the mean does not depend on it (Kingma et al., VDM,
        2021, https://arxiv.org/abs/2107.00630). It takes a second pass through the network.
        """
        mean, schedule = losses.mean(), module.schedule
        own = [p for p in schedule.parameters() if p.requires_grad] if isinstance(schedule, nn.Module) else []
        spread = losses.square().mean() / (2 * mean.detach() ** 2).clamp(min=1e-30)
        gradients = torch.autograd.grad(spread, own, retain_graph=True, allow_unused=True) if own else ()
        mean.backward()
        for parameter, gradient in zip(own, gradients, strict=True):
            parameter.grad = gradient
        return mean

    def record(self, module: Denoiser, u: Tensor, outcome: Outcome) -> None:
        self.loss.record(module, u, outcome.losses)

    def describe(self, module: Denoiser, level: Tensor) -> str:
        return f"t = {module.schedule.time(-2 * level.log()).item():.4g}, {super().describe(module, level)}"


OBJECTIVES: Registry[type[DenoisingObjective]] = Registry("objective")
"""Name -> class, made by (loss, **options)."""


@OBJECTIVES.register("denoising")
@dataclass(frozen=True)
class Denoising(DenoisingObjective):
    """The weighted error of the network's own target, `polydiff.loss`.

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


def as_objective(loss: Loss | Objective[M]) -> Objective[Any]:
    """Return an objective; a bare loss is the denoising objective."""
    return Denoising(loss) if isinstance(loss, Loss) else loss


def build_objective(config: Config) -> DenoisingObjective:
    """Return the objective of a configuration."""
    section = config.loss.model_dump()
    make, options = OBJECTIVES[section.pop("objective")], section.pop("objective_options")
    return make(Loss(**section), **options)


def own_samplers() -> set[str]:
    """Return the samplers that suit one objective alone, and so need a network that it trained."""
    suits = [OBJECTIVES[name].suits for name in OBJECTIVES]
    return {found["sample.sampler"] for found in suits if "sample.sampler" in found}
