"""The objective of a process of parts: the weighted sum of the losses of all parts at the levels of one clock.

Symbols: B number of samples, u uniform number, F output of the network.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from polydiff.core.entry import check_conditions
from polydiff.core.objective import Moment, Objective, Outcome
from polydiff.core.parts.product import Parts, Product, as_parts, as_product, part_streams
from polydiff.core.space import Batch
from polydiff.parts.known import with_open_letters
from polydiff.parts.network import PartsNetwork


class AnyClock(Protocol):
    """The levels of all parts as functions of one uniform number (`polydiff.parts.schedule.Clock`)."""

    def levels(self, u: Tensor) -> dict[str, Tensor]:
        """Return the level of each part at numbers u in (0, 1), (B,), float64."""

    def slopes(self, u: Tensor) -> dict[str, Tensor]:
        """Return the derivative of the level of each part by u, (B,), float64."""


class Coupling(Protocol):
    """Which levels of parts training combines (`polydiff.parts.joint.coupling`)."""

    @property
    def alone(self) -> bool:
        """Whether all examples have their parts at the levels of one time."""

    def __call__(
        self, levels: Callable[[Tensor], Mapping[str, Tensor]], u: Tensor, generators: Sequence[torch.Generator]
    ) -> tuple[Mapping[str, Tensor], Mapping[str, Tensor]]:
        """Return the level of each part, (B,), and whether its loss counts, (B,) of 0 and 1."""


@dataclass(frozen=True)
class PartsObjective(Objective[PartsNetwork]):
    """The sum over parts of weight times loss.

    Arguments:
        clock: Levels of all parts.
        weightings: Name of a part -> its loss weighting.
        weights: Name of a part -> weight of its loss.
        lead: Name of the part whose level is reported, as the noise level of the same signal-to-noise ratio.
        coupling: Which levels are combined; None: those of one time.
    """

    clock: AnyClock
    weightings: Mapping[str, str]
    weights: Mapping[str, float]
    lead: str
    coupling: Coupling | None = None

    def check(self, module: PartsNetwork, batch: Batch, name: str) -> None:
        x, space = as_parts(batch.x), as_product(batch.space)
        for part, kernel in module.kernels.items():
            kernel.check(x[part], space.parts[part], name if len(x) == 1 else f"{name}[{part!r}]")
        check_conditions(batch.cond, batch, None, name)

    def __call__(
        self, module: PartsNetwork, batch: Batch, u: Tensor, generators: Sequence[torch.Generator], moment: Moment
    ) -> Outcome:
        x_0, space = as_parts(batch.x), as_product(batch.space)
        device = space.dim.device
        levels, counts = self.levels(u, generators)
        x = corrupted(module, x_0, levels, space, part_streams(generators, module.kernels))
        x = with_open_letters(module.kernels, x, batch.cond)
        f = module(x, levels, space, batch.cond)
        slopes = self.clock.slopes(u)
        losses = []
        for name, kernel in module.kernels.items():
            level, slope = levels[name].to(device), slopes[name].to(device)
            count = counts[name].to(device) if name in counts else torch.ones_like(level)
            level = torch.where(count > 0, level, kernel.top)  # at level 0 the loss that does not count may be infinite
            part = kernel.loss(f[name], x_0[name], x[name], level, slope, space.parts[name], self.weightings[name])
            losses.append(self.weights[name] * count.to(part) * part)
        numbers = module.kernels[self.lead].number(levels[self.lead])
        return Outcome(torch.stack(losses).sum(0), numbers.exp())

    def levels(
        self, u: Tensor, generators: Sequence[torch.Generator]
    ) -> tuple[Mapping[str, Tensor], Mapping[str, Tensor]]:
        """Return the level of each part, (B,), and whether its loss counts, (B,); that of missing parts does."""
        if self.coupling is None or self.coupling.alone:
            return self.clock.levels(u), {}
        return self.coupling(self.clock.levels, u, generators)


def corrupted(
    module: PartsNetwork,
    x_0: Parts,
    levels: Mapping[str, Tensor],
    space: Product,
    own: Mapping[str, Sequence[torch.Generator]],
) -> dict[str, Tensor]:
    """Return all parts corrupted to their levels.

    Arguments:
        module: Gives the kernels.
        x_0: Clean parts.
        levels: Name of a part -> levels (B,).
        space: Where the parts live.
        own: Name of a part -> B random streams.
    """
    return {
        name: kernel.corrupt(x_0[name], levels[name], space.parts[name], own[name])
        for name, kernel in module.kernels.items()
    }
