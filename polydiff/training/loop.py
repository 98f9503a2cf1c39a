"""The training loop: one generator, whose caller decides what else happens between steps."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Generator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any, Generic, NamedTuple

import torch
from torch import Tensor, nn

from polydiff.contract.sections.training import OptimConfig
from polydiff.core.entry import check_size, listed
from polydiff.core.objective import M, Moment, Objective, Outcome, stratified
from polydiff.core.space import Batch
from polydiff.core.streams import stream, streams
from polydiff.gaussian.loss.base import Loss
from polydiff.gaussian.objective.base import as_objective
from polydiff.machine.processes.shards import local
from polydiff.machine.ranks import noticed, ranks
from polydiff.run.averages import MovingAverage, PowerAverages
from polydiff.support.errors import NonFiniteError
from polydiff.training.data import Batches, Split, example_numbers, prefetch
from polydiff.training.muon import mark_outputs
from polydiff.training.optimizers import OPTIMIZERS, clip, learning_rate
from polydiff.training.processes.losses import (
    Losses,
    check_pieces,
    divided,
    exchanging,
    first_to_blame,
    gathered,
    joined_outcome,
    network_seed,
)
from polydiff.training.processes.sharding import Sharding, average_rest

Phase = Callable[[str], AbstractContextManager[object]]
PHASES = ("data", "forward", "backward", "optimizer", "ema")
"""Parts of a step: the wait for the batch; the loss; its gradient; clipping and update; averages of the weights."""

HUGE = 1e4
"""Largest |x| of standardised data; beyond it, a loss that is not finite is blamed on the data."""


class Record(NamedTuple):
    """What a training step yields.

    Attributes:
        step: Steps done, this one included.
        loss: Mean loss of the batch.
        grad_norm: Norm of the gradient before clipping.
        lr: Learning rate of this step.
        level: Noise level of each example, shape (B,); None for an objective without noise levels.
        losses: Loss of each example, shape (B,).
    """

    step: int
    loss: float
    grad_norm: float
    lr: float
    level: Tensor | None
    losses: Tensor


@dataclass
class Training(Generic[M]):
    """All that training changes: a module, its moving average, the optimizer, the count of steps.

    Arguments:
        module: What is trained.
        objective: What is minimised: a `Loss` (norm, weighting, noise levels) of a denoiser, or any objective
            (`polydiff.gaussian.objective`). None: the squared error of a denoiser, at noise levels whose distribution
            suits its schedule. It is an objective after construction.
        optim: Optimizer and learning rate.
        step: Steps done.
        widths: Widths of the power-function averages that are kept (`polydiff.run.averages.SIGMAS`); (): none.
        sharding: How the processes divide the weights of the backbone; None: each process holds all weights.
    """

    module: M
    objective: Loss | Objective[Any] | None = None
    optim: OptimConfig = field(default_factory=OptimConfig)
    step: int = 0
    widths: Sequence[float] = ()
    sharding: Sharding | None = None
    ema: M = field(init=False)
    optimizer: torch.optim.Optimizer = field(init=False)
    averages: PowerAverages | None = field(init=False)

    def __post_init__(self) -> None:
        self.objective = as_objective(self.objective, self.module)
        self.ema = copy.deepcopy(self.module).eval().requires_grad_(False)
        if self.sharding:
            self.sharding.divide(self.module, self.ema)
        mark_outputs(self.module)
        self.optimizer = OPTIMIZERS[self.optim.name](self.module.parameters(), self.optim)
        self.averages = PowerAverages(self.module, self.widths) if self.widths else None

    def average(self) -> M:
        """Return the moving average as a module that computes alone; all processes that share it must call this."""
        return self.sharding.whole(self.ema) if self.sharding else self.ema


def fit(
    training: Training[M],
    batches: Batches,
    *,
    steps: int,
    batch_size: int,
    ema: float = 0.999,
    seed: int = 0,
    workers: int = 1,
    accumulate: int = 1,
    phase: Phase = nullcontext,
) -> Generator[Record, None, None]:
    """Train until `steps` steps are done and yield a record after each.

    Every random number is a function of (seed, purpose, example or step), so a run that is stopped and resumed
    gives the same weights as one that was not. Within `polydiff.machine.ranks.joined`, the processes divide each batch.

    Arguments:
        training: What is trained, in place, from its `step` on.
        batches: Number -> batch of clean states of this process: a step, or one of its pieces.
        steps: Steps of the whole run.
        batch_size: Examples a step, of all pieces and processes.
        ema: Decay of the moving average of the weights.
        seed: Random seed.
        workers: Number of threads that prepare batches (`polydiff.training.data.prefetch`); it changes no result.
        accumulate: Number of pieces of a step, which are trained on in turn to save memory.
        phase: Called with the name of each part of a step (`PHASES`); the part runs in the context that it returns.

    Raises:
        UserError: A batch does not have `batch_size` samples, or the objective cannot train on it: its states do not
            fit their space, are not finite or not of a precision that holds the noise levels.
        NonFiniteError: A loss or gradient is NaN or infinite. Raised before the weights change.
    """
    module, optimizer = training.module, training.optimizer
    objective = as_objective(training.objective, module)
    check_pieces(objective, module, accumulate)
    parameters, average = list(module.parameters()), MovingAverage(training.ema, module, ema)
    device, together = parameters[0].device, ranks()
    module.train()
    split = Split(together.rank, together.world, accumulate)
    losses = Losses(module, objective) if training.sharding else divided(Losses(module, objective), together)
    checked = entering(batches, batch_size // (split.world * split.pieces), split.pieces, objective, module)
    coming = prefetch(checked, training.step * split.pieces, steps * split.pieces, device, workers)
    began = training.step
    for step in range(began, steps):
        u, weight = objective.draw(module, stratified(batch_size, stream(seed, "time", step)))
        total, outcomes = torch.zeros((), device=device), []
        for piece in range(split.pieces):
            rows = split.rows(batch_size, piece)
            with phase("data"):
                batch = next(coming)
            with exchanging(losses, last=piece == split.pieces - 1 or step == began):
                with phase("forward"):
                    torch.manual_seed(network_seed(seed, step, rows))  # dropout draws from torch's global generator
                    noise = streams(seed, "noise", example_numbers(step, batch_size)[rows], device)
                    own = together.rows(batch.space.batch)
                    moment = Moment(step, steps, training.ema, together.gather, own, rows.start)
                    minimised, outcome = losses(batch, u[rows], None if weight is None else weight[rows], noise, moment)
                    minimised, outcome = gathered(together, minimised, outcome)
                with phase("backward"), noticed():
                    total = total + objective.backward(module, minimised / split.pieces, together.mean).detach()
            outcomes.append(outcome)
        outcome = joined_outcome(outcomes)
        with phase("optimizer"):
            if training.sharding:
                average_rest(parameters, together)
            norm = clip(parameters, training.optim.clip)
            loss_value, norm_value = torch.stack([total, norm]).tolist()  # the one place that waits for a GPU
            outcome = outcome._replace(level=None if outcome.level is None else outcome.level.cpu())
            if not math.isfinite(loss_value + norm_value):
                text = what_is_not_finite(step, batch, outcome, module, objective)
                raise NonFiniteError(first_to_blame(together, outcome.losses, batch.space.batch, text))
            lr = learning_rate(training.optim, step, steps)
            for group in optimizer.param_groups:
                group["lr"] = lr
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        with phase("ema"):
            average.update(step)
            if training.averages is not None:
                training.averages.update(module, step)
        objective.record(module, u, outcome)
        training.step = step + 1
        yield Record(step + 1, loss_value, norm_value, lr, outcome.level, outcome.losses.detach())


def entering(batches: Batches, batch_size: int, pieces: int, objective: Objective[Any], module: nn.Module) -> Batches:
    """Return the same batches, each checked where it is prepared (`polydiff.core.entry`).

    Arguments:
        batches: Number -> batch.
        batch_size: Examples that each batch must have.
        pieces: Number of batches of a step.
        objective: Checks the states.
        module: What is trained.
    """

    def checked(number: int) -> Batch:
        batch, step = batches(number), number // pieces
        check_size(batch, batch_size, f"Step {step + 1}: the batch")
        objective.check(module, batch, f"Step {step + 1}: x")
        return batch

    return checked


def what_is_not_finite(step: int, batch: Batch, outcome: Outcome, module: nn.Module, objective: Objective[Any]) -> str:
    """Return the error message for a step whose mean loss or gradient is not finite; it names the cause.

    Arguments:
        step: Steps done before this one.
        batch: The clean batch.
        outcome: Losses and noise levels of the batch.
        module: What is trained, with the step's gradients.
        objective: Describes a noise level in the message.
    """
    bad = (~torch.isfinite(outcome.losses)).nonzero()[:, 0].tolist()
    broken = next((name for name, weight in module.named_parameters() if not torch.isfinite(weight).all()), "")
    advice = "A lower optim.lr, a longer optim.warmup or train.precision=float32 usually helps."
    largest = batch.x.abs().max().item() if isinstance(batch.x, Tensor) else 0.0
    infinite = [name for name, value in (batch.cond or {}).items() if value.isinf().any()]
    if not math.isfinite(largest):
        what, advice = "the batch of data", "Remove or repair examples with NaN or infinite numbers."
    elif infinite:
        what, advice = (
            f"the condition {infinite[0]} of the batch",
            "Remove or repair examples with infinite conditions.",
        )
    elif broken:
        return (
            f"Step {step + 1}: the weight {broken} is not finite since an earlier step. Resume from the last "
            f"checkpoint, whose weights are finite. If that ends in the same way: {advice[0].lower()}{advice[1:]}"
        )
    elif bad:
        level = "" if outcome.level is None else f"{objective.describe(module, outcome.level[bad[0]])}; "
        which = f"example {bad[0]}" if len(bad) == 1 else f"examples {listed(bad)}"
        what = f"the loss of {which} of the batch ({level}the largest |x| of the clean batch is {largest:.4g})"
        if largest > HUGE:
            advice = "Data should have about unit variance: standardise them, or remove the examples with such numbers."
    else:
        gradients = {name: p.grad for name, p in module.named_parameters() if p.grad is not None}
        what = "the gradient of " + next(
            (
                name
                for name, part in zip(gradients, local(gradients.values()), strict=True)
                if not part.isfinite().all()
            ),
            "the weights, taken together",
        )
    return f"Step {step + 1}: {what} is not finite. The weights of step {step} are unharmed. {advice}"
