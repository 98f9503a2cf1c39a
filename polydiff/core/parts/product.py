"""States of several parts, such as positions and bonds, and the space that joins the spaces of the parts.

A state is a mapping, name of a part -> tensor (R, ...); each part has its own rows and its own space.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from polydiff.core.space import Repeats, Space
from polydiff.core.streams import Device, stream
from polydiff.support.protocols import provides

Parts = Mapping[str, Any]
"""Name of a part -> its states (R, ...)."""
WHOLE = "state"
"""Name of the part of a state that is one tensor."""


@dataclass(frozen=True, eq=False)
class Product:
    """The space of states with several parts.

    Its `dim` adds the dimensions of all parts, which have different units if some of them are letters: never divide by
    it.

    Arguments:
        parts: Name of a part -> its space, all of the same number of samples.
    """

    parts: Mapping[str, Space]

    @property
    def first(self) -> Space:
        """Space of the first part."""
        return next(iter(self.parts.values()))

    @property
    def batch(self) -> int:
        return self.first.batch

    @property
    def dim(self) -> Tensor:
        return torch.stack([space.dim.to(self.first.dim) for space in self.parts.values()]).sum(0)

    def noise(self, generators: Sequence[torch.Generator]) -> dict[str, Any]:
        own = part_streams(generators, self.parts)
        return {name: space.noise(own[name]) for name, space in self.parts.items()}

    def project(self, x: Any) -> dict[str, Any]:
        return {name: space.project(x[name]) for name, space in self.parts.items()}

    def expand(self, c: Tensor) -> Tensor:
        return self.first.expand(c)

    def sum(self, x: Any) -> Tensor:
        return torch.stack([space.sum(x[name]) for name, space in self.parts.items()]).sum(0)

    def to(self, device: Device) -> Product:
        return Product({name: space.to(device) for name, space in self.parts.items()})

    @property
    def repeats(self) -> bool:
        """Whether the spaces of all parts can repeat their batch."""
        return all(provides(space, Repeats) for space in self.parts.values())

    def repeat(self, n: int) -> Product:
        """Return the space of n copies of the batch; all parts must provide `polydiff.core.space.Repeats`."""
        spaces: Mapping[str, Any] = self.parts
        return Product({name: space.repeat(n) for name, space in spaces.items()})


def part_streams(
    generators: Sequence[torch.Generator], names: Mapping[str, Any] | Sequence[str]
) -> dict[str, Sequence[torch.Generator]]:
    """Return the random streams of each part: those of the samples for the first part, new ones for the others.

    A part's numbers do not depend on how many the other parts draw. A state of one part draws the numbers that it would
    draw without parts.

    Arguments:
        generators: B random streams, one a sample.
        names: Names of the parts.
    """
    first, *others = names
    found = {first: generators}
    for name in others:
        found[name] = [stream(generator.initial_seed(), name, device=generator.device) for generator in generators]
    return found


def unknown_in(part: Any, mask: Tensor, space: Any) -> Tensor:
    """Return how many numbers or sites of each sample of a part are unknown, (B,).

    Arguments:
        part: States (R, ...).
        mask: 1 or True where known, broadcasting against them.
        space: Where they live.
    """
    found: Tensor = space.sum((mask == 0).expand_as(part).to(space.dim))
    return found


def as_parts(x: Any) -> Parts:
    """Return a state as a mapping of parts: itself, or {`WHOLE`: x} for a tensor."""
    return x if isinstance(x, Mapping) else {WHOLE: x}


def as_product(space: Any) -> Product:
    """Return the space of a state of `as_parts`."""
    return space if isinstance(space, Product) else Product({WHOLE: space})


def as_state(parts: Parts) -> Any:
    """Return the state that `as_parts` made parts of: the tensor, or the mapping."""
    return parts[WHOLE] if parts.keys() == {WHOLE} else dict(parts)
