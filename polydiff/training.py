"""The training loop: visible from top to bottom, and a generator, so that whoever runs it decides what else happens."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor

from polydiff.config import OptimConfig
from polydiff.data import Batches, example_numbers, prefetch
from polydiff.denoise import Denoiser
from polydiff.ema import PowerAverages, update_ema
from polydiff.loss import Loss, aids, stratified
from polydiff.objective import Moment, Objective, as_objective
from polydiff.optim import OPTIMIZERS, learning_rate
from polydiff.random import stream, stream_seed, streams


class NonFiniteError(RuntimeError):
    """A loss or a gradient is not finite; the weights are still those before the step."""


class Record(NamedTuple):
    """What a training step yields.

    Attributes:
        step: Steps done, this one included.
        loss: Mean loss of the batch.
        grad_norm: Norm of the gradient before clipping.
        lr: Learning rate of this step.
        sigma: Noise level of each example, shape (B,).
        losses: Loss of each example, shape (B,).
    """

    step: int
    loss: float
    grad_norm: float
    lr: float
    sigma: Tensor
    losses: Tensor


@dataclass
class Training:
    """All that training changes: the denoiser, its moving average, the optimizer, the count of steps.

    Arguments:
        denoiser: What is trained.
        optim: Optimizer and learning rate.
        step: Steps done.
        widths: Widths of the power-function averages that are kept (`polydiff.ema.SIGMAS`); (): none.
    """

    denoiser: Denoiser
    optim: OptimConfig = field(default_factory=OptimConfig)
    step: int = 0
    widths: Sequence[float] = ()
    ema: Denoiser = field(init=False)
    optimizer: torch.optim.Optimizer = field(init=False)
    averages: PowerAverages | None = field(init=False)

    def __post_init__(self) -> None:
        self.ema = copy.deepcopy(self.denoiser).eval().requires_grad_(False)
        self.optimizer = OPTIMIZERS[self.optim.name](self.denoiser.parameters(), self.optim)
        self.averages = PowerAverages(self.denoiser, self.widths) if self.widths else None


def fit(
    training: Training,
    batches: Batches,
    *,
    steps: int,
    batch_size: int,
    loss: Loss | Objective | None = None,
    ema: float = 0.999,
    seed: int = 0,
) -> Iterator[Record]:
    """Train until `steps` steps are done and yield a record after each.

    Every random number is a function of (seed, what it is for, example or step), so a run that is stopped and gone on
    with gives the same weights as one that was not.

    Arguments:
        training: What is changed, in place; its `step` says where to begin.
        batches: Step -> batch of clean states.
        steps: Steps of the whole run.
        batch_size: Examples a step.
        loss: What is minimised: a `Loss` (norm, weighting, noise levels; the default is plain squared error) or any
            objective (`polydiff.objective`).
        ema: Decay of the moving average of the weights.
        seed: Of noise levels and noise.

    Raises:
        NonFiniteError: A loss or gradient is NaN or infinite. Raised before the weights change.
    """
    denoiser, optimizer, objective = training.denoiser, training.optimizer, as_objective(loss or Loss())
    parameters = list(denoiser.parameters())
    device = parameters[0].device
    denoiser.train()
    for prepared in prefetch(batches, training.step, steps):
        step, batch = training.step, prepared.to(device)
        torch.manual_seed(stream_seed(seed, "network", step))  # dropout draws from torch's global generator
        u, weight = aids.draw(denoiser, stratified(batch.space.batch, stream(seed, "time", step)))
        noise = streams(seed, "noise", example_numbers(step, batch_size), device)
        losses, sigma = objective(denoiser, batch, u, noise, Moment(step, steps, training.ema))
        mean = aids.backward(denoiser, aids.settle(denoiser, losses, sigma, weight))
        norm = torch.nn.utils.clip_grad_norm_(parameters, training.optim.clip)
        check_finite(step, batch.x, losses, norm, sigma, denoiser)

        lr = learning_rate(training.optim, step, steps)
        for group in optimizer.param_groups:
            group["lr"] = lr
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        aids.remember(denoiser, u, losses)
        update_ema(training.ema, denoiser, step, ema)
        if training.averages is not None:
            training.averages.update(denoiser, step)
        training.step = step + 1
        yield Record(step + 1, mean.item(), norm.item(), lr, sigma, losses.detach())


def check_finite(step: int, x: Tensor, losses: Tensor, norm: Tensor, sigma: Tensor, denoiser: Denoiser) -> None:
    """Stop where a loss or the gradient is not finite, and say which tensor it was."""
    if torch.isfinite(losses).all() and torch.isfinite(norm):
        return
    if not torch.isfinite(x).all():
        what = "the batch of data"
    elif not torch.isfinite(losses).all():
        bad = (~torch.isfinite(losses)).nonzero()[0, 0].item()
        s = sigma[int(bad)]
        t = denoiser.schedule.time(-2 * s.log()).item()
        what = f"the loss of example {bad} of the batch (t = {t:.4g}, noise level {s.item():.4g})"
    else:
        gradients = ((name, p.grad) for name, p in denoiser.named_parameters() if p.grad is not None)
        what = "the gradient of " + next(
            (name for name, gradient in gradients if not torch.isfinite(gradient).all()), "the weights, taken together"
        )
    raise NonFiniteError(
        f"Step {step + 1}: {what} is not finite. The weights of step {step} are unharmed. "
        "A lower optim.lr, a longer optim.warmup or train.precision=float32 usually helps."
    )
