r"""Bounds on the likelihood of a process of parts: in continuous time, and of a chain of steps.

$$ -\log p(x_0) \le \int_0^1 \sum_{\mathrm{parts}} \mathrm{rate}(t)\, l'(t)\, dt . $$

The time is drawn as t = v^3 (10 - 15 v + 6 v^2) with v uniform, which is dense at both ends, where the integrand of
letters that are replaced varies most. The prior has no term, since its level is exactly 1.

Symbols: B number of samples, l level, t time, K draws.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from polydiff.core.likelihood import Estimate
from polydiff.core.parts.letters import uniform_numbers
from polydiff.core.parts.product import as_parts, as_product, part_streams
from polydiff.core.process.process import Trained
from polydiff.core.space import Batch
from polydiff.parts.kernel import Bounded, BoundedSteps, Kernel
from polydiff.parts.network import PartsNetwork
from polydiff.parts.objective import AnyClock, corrupted
from polydiff.support.errors import UserError, unknown
from polydiff.support.protocols import provides

if TYPE_CHECKING:
    from polydiff.core.units import Units

BOUNDS: Mapping[str, str] = {
    "vlb": "variational bound in continuous time",
    "chain": "variational bound of ancestral sampling in sample.steps steps",
}
"""Name of a bound on -log p -> one-line description."""


@dataclass(frozen=True)
class PartsBound:
    """Bounds on -log p of the batches of one data set.

    Arguments:
        model: The trained model.
        clock: Levels of all parts.
        draws: Times drawn for each example.
        steps: Number of steps of the chain.
    """

    model: Trained
    clock: AnyClock
    draws: int
    steps: int

    @property
    def facts(self) -> Mapping[str, Any]:
        return {"steps_of_the_chain": self.steps}

    @torch.no_grad()
    def __call__(self, kind: str, batch: Batch, units: Units | None, generators: Sequence[torch.Generator]) -> Estimate:
        if kind not in BOUNDS:
            raise unknown("likelihood", kind, BOUNDS)
        network: PartsNetwork = self.model.denoiser.with_precision("float32")
        own = part_streams(generators, network.kernels)
        first = torch.stack(uniform_numbers(generators, [1] * len(generators)))[:, 0]
        terms: dict[str, list[Tensor]] = {name: [] for name in network.kernels}
        for draw in range(self.draws):
            v = (draw + first) / self.draws
            found = self.chain(network, batch, v, own) if kind == "chain" else self.rates(network, batch, v, own)
            for name, nats in found.items():
                terms[name].append(nats.double())
        drawn = {name: torch.stack(nats) for name, nats in terms.items()}
        parts = {name: nats.mean(0) for name, nats in drawn.items()}
        each = torch.stack(list(drawn.values())).sum(0)
        error = each.std(0) / self.draws**0.5
        calls = torch.full_like(error, self.draws)
        size = {} if units is None or units.size is None else {"size": units.size.to(each)}
        return Estimate(each.mean(0) + sum(size.values()), error, {**parts, **size}, calls)

    def rates(
        self, network: PartsNetwork, batch: Batch, v: Tensor, own: Mapping[str, Sequence[torch.Generator]]
    ) -> dict[str, Tensor]:
        """Return the integrand of each part at uniform numbers v (B,), (B,); `own` are the streams of each part."""
        t, density = dense_at_ends(v)
        levels, slopes = self.clock.levels(t), self.clock.slopes(t)
        x_0, space = as_parts(batch.x), as_product(batch.space)
        x = corrupted(network, x_0, levels, space, own)
        f = network(x, levels, space, batch.cond)
        found = {}
        for name, kernel in bounded(network).items():
            level, slope = levels[name].to(f[name].device), (slopes[name] * density).to(f[name].device)
            found[name] = kernel.rate(f[name], x_0[name], x[name], level, space.parts[name]).double() * slope
        return found

    def chain(
        self, network: PartsNetwork, batch: Batch, v: Tensor, own: Mapping[str, Sequence[torch.Generator]]
    ) -> dict[str, Tensor]:
        """Return `steps` times the divergence of one step of ancestral sampling, drawn by v (B,); else as `rates`."""
        step = (v * self.steps).floor().clamp(max=self.steps - 1)
        above, below = (self.clock.levels(k / self.steps) for k in (step + 1, step))
        x_0, space = as_parts(batch.x), as_product(batch.space)
        x = corrupted(network, x_0, above, space, own)
        f = network(x, above, space, batch.cond)
        return {
            name: self.steps
            * kernel.divergence(f[name], x_0[name], x[name], above[name], below[name], space.parts[name])
            for name, kernel in bounded_steps(network).items()
        }


def bounded(network: PartsNetwork) -> Mapping[str, Bounded]:
    """Return the kernels of a network, all of which have a bound in continuous time."""
    found = {name: kernel for name, kernel in network.kernels.items() if provides(kernel, Bounded)}
    check_all(network, found)
    return found


def bounded_steps(network: PartsNetwork) -> Mapping[str, BoundedSteps]:
    """Return the kernels of a network, all of which have a bound for a chain of steps."""
    found = {name: kernel for name, kernel in network.kernels.items() if provides(kernel, BoundedSteps)}
    check_all(network, found)
    return found


def check_all(network: PartsNetwork, found: Mapping[str, Kernel]) -> None:
    """Raise UserError unless all kernels of a network are among those that were found."""
    for name, kernel in network.kernels.items():
        if name not in found:
            raise UserError(f"The kernel of {name}, {type(kernel).__name__}, has no such bound.")


def dense_at_ends(v: Tensor) -> tuple[Tensor, Tensor]:
    """Return times t = v^3 (10 - 15 v + 6 v^2) and dt/dv for v in (0, 1), of the shape of v."""
    return v**3 * (10 - 15 * v + 6 * v * v), 30 * (v * (1 - v)) ** 2
