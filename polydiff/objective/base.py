"""What training minimises: one class an objective, each looked up by its name, `loss.objective`.

An objective is handed the denoiser, a batch, one uniform number and one random stream a sample, and the moment of
training. It decides the noise levels, calls the network as often as it likes and returns the loss of each sample.
Whatever it draws comes from those numbers and streams, so that a run that is gone on with repeats it.

To add one, write a class with the call of `Objective` whose first argument is a `Loss` (norm, weighting, times) and
whose further ones, `loss.objective_options`, have defaults; register it, and import its module in
`polydiff/objective/__init__.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from polydiff.denoise import Denoiser
from polydiff.loss import Loss
from polydiff.registry import Registry
from polydiff.space import Batch


class Moment(NamedTuple):
    """How far training is.

    Attributes:
        step: Optimizer steps done.
        steps: Steps of the whole run.
        ema: The moving average of the denoiser, in evaluation mode.
    """

    step: int
    steps: int
    ema: Denoiser

    @property
    def progress(self) -> float:
        """Share of the run that is done, in [0, 1)."""
        return self.step / max(self.steps, 1)


class Outcome(NamedTuple):
    """What an objective returns.

    Attributes:
        losses: Loss of each sample, shape (B,).
        sigma: Noise level of each sample, shape (B,), float64, on the host.
    """

    losses: Tensor
    sigma: Tensor


class Objective(Protocol):
    """Anything that `polydiff.training.fit` can minimise."""

    def __call__(
        self, denoiser: Denoiser, batch: Batch, u: Tensor, generators: Sequence[torch.Generator], moment: Moment
    ) -> Outcome:
        """Return the loss of each sample.

        Arguments:
            denoiser: What is trained.
            batch: Clean states, their space and conditions.
            u: One number of (0, 1) a sample, float64, on the host: the quantile of its noise level.
            generators: One random stream a sample, on the batch's device.
            moment: How far training is.
        """


OBJECTIVES: Registry[Callable[..., Objective]] = Registry("objective")
"""Name -> (loss, **options) -> objective."""


@OBJECTIVES.register("denoising")
@dataclass(frozen=True)
class Denoising:
    """The weighted error of the network's own target, `polydiff.loss`.

    Arguments:
        loss: Norm, weighting and distribution of noise levels.
    """

    loss: Loss

    def __call__(
        self, denoiser: Denoiser, batch: Batch, u: Tensor, generators: Sequence[torch.Generator], moment: Moment
    ) -> Outcome:
        sigma = self.loss.noise_levels(u, denoiser.schedule)
        twice = denoiser.self_condition and moment.step % 2 == 1
        return Outcome(self.loss(denoiser, batch, sigma.to(batch.x.device), generators, twice), sigma)


def as_objective(loss: Loss | Objective) -> Objective:
    """Return an objective; a bare loss is the denoising objective."""
    return Denoising(loss) if isinstance(loss, Loss) else loss
