"""Objectives: what training minimises for a module, and the interface between the training loop and a process.

For each step, the loop draws one number u in (0, 1) for each sample (`stratified`) and calls the methods of the
objective in this order: `draw`, the objective itself, `minimised`, `backward` and, after the optimizer, `record`. An
objective with noise levels maps u to noise levels. Any other objective ignores u.

Symbols: B number of samples, u uniform number.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Generic, NamedTuple, TypeVar

import torch
from torch import Tensor, nn

from polydiff.core.rules import Rule
from polydiff.core.space import Batch

M = TypeVar("M", bound=nn.Module)


def alone(x: Tensor) -> Tensor:
    """Return a tensor itself, as a process that trains alone gathers or averages it."""
    return x


class Moment(NamedTuple):
    """The state of training at a step.

    Attributes:
        step: Number of optimizer steps done.
        steps: Number of steps of the whole run.
        ema: Moving average of the module, a module in evaluation mode.
        gather: Tensor (b, ...) of the samples of this process -> (B, ...) of those of all processes, with gradients.
            Only an objective that compares the samples of a batch needs it (`Objective.compares`).
        rows: Those of (B, ...) that are the samples of this process.
        first: Number of the first sample among those of the step, of which a process may have a part.
    """

    step: int
    steps: int
    ema: Any
    gather: Callable[[Tensor], Tensor] = alone
    rows: slice = slice(None)
    first: int = 0

    @property
    def progress(self) -> float:
        """Share step / steps of the run that is done; in [0, 1) during training."""
        return self.step / max(self.steps, 1)


class Outcome(NamedTuple):
    """The losses of a batch, and the noise levels at which they were computed.

    Attributes:
        losses: Loss of each sample, shape (B,).
        level: Noise level of each sample, shape (B,), float64, on the CPU; None for an objective without noise levels.
    """

    losses: Tensor
    level: Tensor | None


class Objective(Generic[M]):
    """What `polydiff.training.loop.fit` minimises, with hooks around the steps of training.

    A subclass must define `__call__`. The other methods have defaults.

    Attributes:
        suits: Dotted key -> value: defaults of a configuration that chooses this objective. The user's values win.
        rules: What the objective requires of the rest of the configuration.
        teaches: Dotted keys of the outputs or inputs of a network that the objective trains, such as
            "backbone.variance". A network for which such a key is set needs an objective that lists the key.
    """

    suits: ClassVar[Mapping[str, Any]] = {}
    rules: ClassVar[Sequence[Rule]] = ()
    teaches: ClassVar[Sequence[str]] = ()

    @property
    def trains_schedule(self) -> bool:
        """Whether the objective trains the parameters of a learned noise schedule."""
        return False

    def compares(self, module: M) -> bool:
        """Return whether the loss of a sample, or its gradient, depends on the other samples of the batch.

        Such a batch cannot be trained on in pieces that follow each other (`train.accumulate`).
        """
        return False

    def check(self, module: M, batch: Batch, name: str) -> None:
        """Raise UserError if a batch cannot be trained on; called once for each batch, before it is on the device.

        Arguments:
            module: The module being trained.
            batch: Clean states (R, ...), their space and conditions.
            name: What the message calls the states, such as "Step 3: x".
        """

    def draw(self, module: M, u: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return the numbers to train at, and the weights that correct for their distribution.

        Arguments:
            module: The module being trained.
            u: Uniform numbers in (0, 1), shape (B,), float64, on the CPU.

        Returns:
            Numbers in (0, 1), shape (B,), and importance weights (B,); None: all weights are 1.
        """
        return u, None

    def __call__(
        self, module: M, batch: Batch, u: Tensor, generators: Sequence[torch.Generator], moment: Moment
    ) -> Outcome:
        """Return the loss of each sample.

        Arguments:
            module: The module being trained.
            batch: Clean states (R, ...), their space and conditions.
            u: Numbers in (0, 1), shape (B,), float64, on the CPU: the quantiles of the noise levels.
            generators: B random streams, on the device of the batch.
            moment: State of training.

        Returns:
            Losses (B,), and noise levels (B,) or None.
        """
        raise NotImplementedError

    def minimised(self, module: M, outcome: Outcome, weight: Tensor | None) -> Tensor:
        """Return the numbers whose mean is minimised: the losses times the weights of `draw`.

        Arguments:
            module: The module being trained.
            outcome: Losses (B,) and noise levels of the batch.
            weight: Importance weights (B,) from `draw`; None: all weights are 1.

        Returns:
            Numbers of shape (B,).
        """
        return outcome.losses if weight is None else outcome.losses * weight.to(outcome.losses)

    def backward(self, module: M, losses: Tensor, average: Callable[[Tensor], Tensor] = alone) -> Tensor:
        """Add the gradient of the mean of the losses to the parameters of the module; return this mean, ().

        Arguments:
            module: The module being trained.
            losses: Losses (B,) of all processes.
            average: Mean over processes of a gradient; only one that `Tensor.backward` does not add needs it.
        """
        mean = losses.mean()
        mean.backward()
        return mean

    def record(self, module: M, u: Tensor, outcome: Outcome) -> None:
        """Update the state of the objective after an optimizer step.

        Arguments:
            module: The module being trained.
            u: The numbers (B,) that `draw` returned for this step.
            outcome: Losses (B,) and noise levels of the batch.
        """

    def describe(self, module: M, level: Tensor) -> str:
        """Return text for a noise level, shape (), as it appears in an error message."""
        return f"noise level {level.item():.4g}"


def stratified(n: int, generator: torch.Generator) -> Tensor:
    """Return n points in (0, 1), one in each interval of length 1 / n, by one draw u: u_i = (u + i / n) mod 1.

    The mean over a batch has a lower variance than with independent draws (Kingma et al., VDM, 2021, appendix I.1,
    https://arxiv.org/abs/2107.00630).

    Arguments:
        n: Number of points.
        generator: Random stream; the points are on its device.

    Returns:
        Points of shape (n,), float64, clamped to [1e-7, 1 - 1e-7].
    """
    u = torch.rand((), generator=generator, dtype=torch.float64, device=generator.device)
    return ((u + torch.arange(n, device=u.device, dtype=torch.float64) / n) % 1).clamp(1e-7, 1 - 1e-7)
