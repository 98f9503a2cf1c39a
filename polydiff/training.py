"""The training loop: visible from top to bottom, and a generator, so that whoever runs it decides what else happens."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor

from polydiff.averages import MovingAverage, PowerAverages
from polydiff.config import OptimConfig
from polydiff.data import Batches, example_numbers, prefetch
from polydiff.denoise import Denoiser
from polydiff.loss import Loss, aids, stratified
from polydiff.objective import Moment, Objective, as_objective
from polydiff.optim import OPTIMIZERS, learning_rate
from polydiff.random import stream, stream_seed, streams

Phase = Callable[[str], AbstractContextManager[object]]
PHASES = ("data", "forward", "backward", "optimizer", "ema")
"""Parts of a step: the wait for the batch; the loss; its gradient; clipping and update; averages of the weights."""


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
        widths: Widths of the power-function averages that are kept (`polydiff.averages.SIGMAS`); (): none.
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
    workers: int = 1,
    phase: Phase = nullcontext,
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
        workers: Threads that prepare batches (`polydiff.data.prefetch`), which change no bit.
        phase: Called with the name of each part of a step (`PHASES`); the part runs in the context that it returns.

    Raises:
        NonFiniteError: A loss or gradient is NaN or infinite. Raised before the weights change.
    """
    denoiser, optimizer, objective = training.denoiser, training.optimizer, as_objective(loss or Loss())
    parameters, average = list(denoiser.parameters()), MovingAverage(training.ema, denoiser, ema)
    device = parameters[0].device
    denoiser.train()
    coming = prefetch(batches, training.step, steps, device, workers)
    for step in range(training.step, steps):
        with phase("data"):
            batch = next(coming)
        with phase("forward"):
            torch.manual_seed(stream_seed(seed, "network", step))  # dropout draws from torch's global generator
            u, weight = aids.draw(denoiser, stratified(batch.space.batch, stream(seed, "time", step)))
            noise = streams(seed, "noise", example_numbers(step, batch_size), device)
            losses, sigma = objective(denoiser, batch, u, noise, Moment(step, steps, training.ema))
            settled = aids.settle(denoiser, losses, sigma, weight)
        with phase("backward"):
            mean = aids.backward(denoiser, settled)
        with phase("optimizer"):
            norm = torch.nn.utils.clip_grad_norm_(parameters, training.optim.clip)
            loss_value, norm_value = torch.stack([mean.detach(), norm]).tolist()  # a GPU is waited for here alone
            if not math.isfinite(loss_value + norm_value):
                raise NonFiniteError(what_is_not_finite(step, batch.x, losses, sigma, denoiser))
            lr = learning_rate(training.optim, step, steps)
            for group in optimizer.param_groups:
                group["lr"] = lr
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        with phase("ema"):
            average.update(step)
            if training.averages is not None:
                training.averages.update(denoiser, step)
        aids.remember(denoiser, u, losses)
        training.step = step + 1
        yield Record(step + 1, loss_value, norm_value, lr, sigma, losses.detach())


def what_is_not_finite(step: int, x: Tensor, losses: Tensor, sigma: Tensor, denoiser: Denoiser) -> str:
    """Return the message that says which tensor of a step is not finite, where its mean loss or its gradient is not."""
    if not torch.isfinite(x).all():
        what = "the batch of data"
    elif not torch.isfinite(losses).all():
        bad = (~torch.isfinite(losses)).nonzero()[0, 0].item()
        s = sigma[int(bad)]
        t = denoiser.schedule.time(-2 * s.log()).item()
        largest = x.abs().max().item()
        what = (
            f"the loss of example {bad} of the batch (t = {t:.4g}, noise level {s.item():.4g}; the largest |x| of the "
            f"clean batch is {largest:.4g})"
        )
    else:
        gradients = ((name, p.grad) for name, p in denoiser.named_parameters() if p.grad is not None)
        what = "the gradient of " + next(
            (name for name, gradient in gradients if not torch.isfinite(gradient).all()), "the weights, taken together"
        )
    return (
        f"Step {step + 1}: {what} is not finite. The weights of step {step} are unharmed. "
        "A lower optim.lr, a longer optim.warmup or train.precision=float32 usually helps."
    )
