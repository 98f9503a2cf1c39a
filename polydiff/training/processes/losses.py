"""The losses of a batch that is divided over processes and pieces, and the exchange of their gradients.

Whatever the number of processes and pieces, a step has the same examples with the same noise, and minimises the mean of
all their losses, so that only rounding differs. Gradients are exchanged by `DistributedDataParallel` (Li et al., 2020,
https://arxiv.org/abs/2006.15704) in buckets, while the backward pass goes on.

Symbols: B samples of a step, b of them in a piece of this process.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from polydiff.core.objective import Moment, Objective, Outcome
from polydiff.core.space import Batch
from polydiff.core.streams import stream_seed
from polydiff.machine.ranks import Ranks
from polydiff.support.errors import UserError


class Losses(nn.Module):
    """The numbers that an objective minimises for a module, as a module, which can be divided over processes.

    Arguments:
        module: What is trained.
        objective: What is minimised.
    """

    def __init__(self, module: nn.Module, objective: Objective[Any]) -> None:
        super().__init__()
        self.module, self.objective = module, objective

    def forward(
        self, batch: Batch, u: Tensor, weight: Tensor | None, noise: Sequence[torch.Generator], moment: Moment
    ) -> tuple[Tensor, Outcome]:
        """Return the numbers whose mean is minimised, (b,), and the losses with their noise levels.

        Arguments:
            batch: The clean batch of b samples.
            u: Numbers of `Objective.draw`, (b,).
            weight: Importance weights (b,); None: all are 1.
            noise: b random streams.
            moment: State of training.
        """
        outcome = self.objective(self.module, batch, u, noise, moment)
        return self.objective.minimised(self.module, outcome, weight), outcome


def divided(losses: Losses, ranks: Ranks) -> nn.Module:
    """Return losses whose gradients are means over processes; with one process, the losses themselves."""
    if ranks.world == 1:
        return losses
    # weights of 1 x 1 convolutions have the same order in memory whatever their strides say
    warnings.filterwarnings("ignore", message="Grad strides do not match bucket view strides")
    return DistributedDataParallel(losses, broadcast_buffers=False, gradient_as_bucket_view=True, static_graph=True)


def exchanging(losses: nn.Module, last: bool) -> AbstractContextManager[object]:
    """Return the context of a piece of a step: gradients are exchanged after the last one.

    Arguments:
        losses: The losses, divided or not.
        last: Whether it is the last piece of its step, or any of the first step, in which torch learns the order in
            which gradients come.
    """
    return nullcontext() if last or not isinstance(losses, DistributedDataParallel) else losses.no_sync()


def gathered(ranks: Ranks, minimised: Tensor, outcome: Outcome) -> tuple[Tensor, Outcome]:
    """Return what is minimised and the losses of the samples of all processes, in their order.

    Noise levels stay on the device: to bring them to the CPU would wait for the forward pass.
    """
    if ranks.world == 1:
        return minimised, outcome
    level = outcome.level
    columns = [minimised.double(), outcome.losses.detach().double()]
    columns += [] if level is None else [level.to(minimised.device)]
    all_minimised, losses, *levels = ranks.gather(torch.stack(columns, 1)).unbind(1)
    found = Outcome(losses.detach().to(outcome.losses.dtype), levels[0].detach() if levels else None)
    return all_minimised.to(minimised.dtype), found


def joined_outcome(outcomes: Sequence[Outcome]) -> Outcome:
    """Return the outcome of a step, from those of its pieces."""
    if len(outcomes) == 1:
        return outcomes[0]
    levels = [outcome.level for outcome in outcomes if outcome.level is not None]
    return Outcome(torch.cat([outcome.losses.detach() for outcome in outcomes]), torch.cat(levels) if levels else None)


def first_to_blame(ranks: Ranks, losses: Tensor, size: int, text: str) -> str:
    """Return the text of the first process with losses of its own that are not finite, and its name; all call this.

    Arguments:
        ranks: The processes.
        losses: Losses of a step's examples.
        size: Examples of a piece of this process.
        text: What this process says of the step.
    """
    if ranks.world == 1:
        return text
    owners = torch.arange(len(losses), device=losses.device) // size % ranks.world
    bad = not bool(losses[owners == ranks.rank].isfinite().all())
    reports = ranks.collect((bad, text))
    rank = max(range(ranks.world), key=lambda other: reports[other][0])
    return f"Process {rank}: {reports[rank][1]}" if reports[rank][0] else reports[0][1]


def network_seed(seed: int, step: int, rows: slice) -> int:
    """Return the seed of what a network draws itself, such as dropout, for the part of a step that begins at a row.

    It is the one random number that the number of processes and pieces changes, because a network draws for a whole
    batch at once.
    """
    return stream_seed(seed, "network", step, *([rows.start] if rows.start else []))


def check_pieces(objective: Objective[Any], module: nn.Module, pieces: int) -> None:
    """Raise UserError if batches are trained on in several pieces, though their samples are compared to each other."""
    if pieces > 1 and objective.compares(module):
        raise UserError(
            f"train.accumulate={pieces} divides a batch into pieces that are trained on in turn, but this objective "
            "compares the samples of a batch. Set train.accumulate=1."
        )
