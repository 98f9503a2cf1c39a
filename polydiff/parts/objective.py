"""The objective of a process of parts: the weighted sum of the losses of all parts at the levels of one clock.

Symbols: B number of samples, u uniform number, F output of the network.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from polydiff.core.entry import check_conditions
from polydiff.core.objective import Moment, Objective, Outcome
from polydiff.core.parts.product import Parts, Product, as_parts, as_product, part_streams
from polydiff.core.space import Batch
from polydiff.parts.network import PartsNetwork
from polydiff.parts.schedule import Clock


@dataclass(frozen=True)
class PartsObjective(Objective[PartsNetwork]):
    """The sum over parts of weight times loss.

    Arguments:
        clock: Levels of all parts.
        weightings: Name of a part -> its loss weighting.
        weights: Name of a part -> weight of its loss.
        lead: Name of the part whose level is reported.
    """

    clock: Clock
    weightings: Mapping[str, str]
    weights: Mapping[str, float]
    lead: str

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
        levels = self.clock.levels(u)
        x = corrupted(module, x_0, levels, space, generators)
        f = module(x, levels, space, batch.cond)
        slopes = self.clock.slopes(u)
        losses = []
        for name, kernel in module.kernels.items():
            level, slope = levels[name].to(device), slopes[name].to(device)
            part = kernel.loss(f[name], x_0[name], x[name], level, slope, space.parts[name], self.weightings[name])
            losses.append(self.weights[name] * part)
        return Outcome(torch.stack(losses).sum(0), levels[self.lead])


def corrupted(
    module: PartsNetwork,
    x_0: Parts,
    levels: Mapping[str, Tensor],
    space: Product,
    generators: Sequence[torch.Generator],
) -> dict[str, Tensor]:
    """Return all parts corrupted to their levels.

    Arguments:
        module: Gives the kernels.
        x_0: Clean parts.
        levels: Name of a part -> levels (B,).
        space: Where the parts live.
        generators: B random streams.
    """
    spaces, own = space.parts, part_streams(generators, x_0)
    return {
        name: kernel.corrupt(x_0[name], levels[name], spaces[name], own[name])
        for name, kernel in module.kernels.items()
    }
