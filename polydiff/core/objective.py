"""What training minimises, of any module: the protocol between the training loop and a process.

The loop draws one number u of (0, 1) for each sample (`stratified`), calls the objective, and lets it do what it needs
around the backward pass. An objective with noise levels turns u into them; one without ignores it.

Symbols: u uniform number, B samples.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Generic, NamedTuple, TypeVar

import torch
from torch import Tensor, nn

from polydiff.core.rules import Rule
from polydiff.core.space import Batch

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
    """What `loop.fit` minimises: the losses of the samples of a batch, and what happens around a step.

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


def stratified(n: int, generator: torch.Generator) -> Tensor:
    """Return n points of (0, 1), one in each stratum, by one draw: u_i = (u + i / n) mod 1.

    Their variance over a batch is lower than that of independent draws (Kingma et al., VDM, 2021, appendix I.1,
    https://arxiv.org/abs/2107.00630).
    """
    u = torch.rand((), generator=generator, dtype=torch.float64, device=generator.device)
    return ((u + torch.arange(n, device=u.device, dtype=torch.float64) / n) % 1).clamp(1e-7, 1 - 1e-7)
