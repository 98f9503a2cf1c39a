"""Estimates of clean states from corrupted ones by one call of the network, part by part.

The methods are those of `polydiff.core.process.abilities.EstimatesParts`, documented there.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from polydiff.core.parts.product import Parts, Product, as_parts, as_product, as_state, part_streams
from polydiff.core.process.process import Trained
from polydiff.core.space import Batch, State
from polydiff.parts.kernel import Categorical, Kernel, Widens
from polydiff.parts.known import with_open_letters
from polydiff.parts.network import PartsNetwork
from polydiff.parts.objective import corrupted
from polydiff.support.protocols import provides


class Outputs(NamedTuple):
    """What the network gives for the corrupted parts of a batch.

    Attributes:
        f: Name of a part -> output of the network.
        x: Name of a part -> corrupted states.
        levels: Name of a part -> its level, (), float64.
        space: Where the parts live.
        kernels: Name of a part -> its kernel.
    """

    f: Mapping[str, Tensor]
    x: Parts
    levels: Mapping[str, Tensor]
    space: Product
    kernels: Mapping[str, Any]

    def guess(self, name: str) -> Tensor:
        """Return the best guess of the clean states of a part, (R, ...)."""
        found: Tensor = self.kernels[name].guess(self.f[name], self.x[name], self.levels[name], self.space.parts[name])
        return found

    def log_law(self, name: str) -> Tensor:
        """Return log p(x_0 | x) of each letter of a part, (R, ..., K), float64."""
        kernel: Categorical = self.kernels[name]
        return kernel.log_posterior(self.f[name].double(), self.x[name], self.levels[name], self.space.parts[name])


class EstimatesByPart(ABC):
    """One-step estimates of a process whose network is a `PartsNetwork`."""

    @abstractmethod
    def part_levels(self, model: Trained, level: float) -> Mapping[str, float]: ...

    def noisy(self, model: Trained, batch: Batch, level: float, generators: Sequence[torch.Generator]) -> State:
        x_0, space, network = as_parts(batch.x), as_product(batch.space), model.denoiser
        levels = {
            name: torch.full((space.batch,), own, dtype=torch.float64)
            for name, own in self.part_levels(model, level).items()
        }
        x = corrupted(network, x_0, levels, space, part_streams(generators, network.kernels))
        state: State = as_state(with_open_letters(network.kernels, x, batch.cond))
        return state

    def estimate(self, model: Trained, noisy: Batch, level: float) -> State:
        found = self.outputs(model, noisy, level)
        state: State = as_state({name: found.guess(name) for name in found.kernels})
        return state

    def log_laws(self, model: Trained, noisy: Batch, level: float) -> Mapping[str, Tensor]:
        found = self.outputs(model, noisy, level)
        return {name: found.log_law(name) for name, kernel in found.kernels.items() if provides(kernel, Categorical)}

    def outputs(self, model: Trained, noisy: Batch, level: float) -> Outputs:
        """Return the outputs of the network, in float32, for corrupted states at a level of the first part."""
        network: PartsNetwork = model.denoiser.with_precision("float32")
        x, space = as_parts(noisy.x), as_product(noisy.space)
        levels = {name: torch.tensor(own, dtype=torch.float64) for name, own in self.part_levels(model, level).items()}
        return Outputs(network(x, levels, space, noisy.cond), x, levels, space, network.kernels)

    def visible(self, model: Trained, x: State, level: float) -> State:
        state: State = as_state(visible_parts(model.denoiser.kernels, as_parts(x), self.part_levels(model, level)))
        return state


def even_levels(kernel: Kernel, n: int) -> list[float]:
    """Return n levels, evenly spaced from that of the prior to an n-th of it."""
    return [kernel.top * (n - i) / n for i in range(n)]


def visible_parts(kernels: Mapping[str, Kernel], x: Parts, levels: Mapping[str, float]) -> dict[str, Tensor]:
    """Return corrupted parts scaled to the spread of clean ones, so that a domain can decode them."""
    return {
        name: kernel.visible(x[name], levels[name]) if provides(kernel, Widens) else x[name]
        for name, kernel in kernels.items()
    }
