"""Networks of letters, of points of manifolds and of several parts as networks of real numbers.

So the checks of backbones, which add noise to states and take squared norms of outputs, apply to all of them. The parts
of a state are laid end to end in one tensor.

Symbols: B number of samples, R rows of a part, M numbers of all parts, K letters.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from polydiff.core.conditions import Condition
from polydiff.core.parts.letters import PAD, Letters
from polydiff.core.parts.manifolds import Manifold
from polydiff.core.parts.product import Product
from polydiff.core.space import Space
from polydiff.core.streams import Device
from polydiff.support.protocols import provides
from polydiff.testing.space import hold


@dataclass(frozen=True, eq=False)
class FlatParts:
    """The space of states of several parts that are laid end to end, (M,).

    Arguments:
        product: The spaces of the parts.
        shapes: Name of a part -> shape of its states.
    """

    product: Product
    shapes: Mapping[str, torch.Size]

    @classmethod
    def of(cls, product: Product, x: Mapping[str, Tensor]) -> tuple[FlatParts, Tensor]:
        """Return the space of states like these, and the states."""
        space = cls(product, {name: x[name].shape for name in product.parts})
        return space, space.joined(x)

    @property
    def batch(self) -> int:
        return self.product.batch

    @property
    def dim(self) -> Tensor:
        return self.product.dim

    @cached_property
    def batch_index(self) -> Tensor:
        """Number of the sample of each element of a state, (M,)."""
        return self.expand(torch.arange(self.batch, device=self.dim.device))

    def joined(self, x: Mapping[str, Tensor]) -> Tensor:
        """Return parts as one tensor (M,)."""
        return torch.cat([x[name].flatten() for name in self.shapes])

    def divided(self, x: Tensor) -> dict[str, Tensor]:
        """Return the parts of a tensor (M,)."""
        numbers = x.split([shape.numel() for shape in self.shapes.values()])
        return {name: own.reshape(shape) for (name, shape), own in zip(self.shapes.items(), numbers, strict=True)}

    def noise(self, generators: Sequence[torch.Generator]) -> Tensor:
        return self.joined(self.product.noise(generators))

    def project(self, x: Tensor) -> Tensor:
        return self.joined(self.product.project(self.divided(x)))

    def expand(self, c: Tensor) -> Tensor:
        if not c.ndim:
            return c
        return self.joined({name: self.product.parts[name].expand(c).expand(own) for name, own in self.shapes.items()})

    def sum(self, x: Tensor) -> Tensor:
        return self.product.sum(self.divided(x))

    def to(self, device: Device) -> FlatParts:
        return FlatParts(self.product.to(device), self.shapes)


class OfNumbers(nn.Module):
    """A network as one of real numbers, which rounds letters (K is 0 again) and sums up outputs in the state's shape.

    Arguments:
        backbone: Called as backbone(x, log_sigma, space, cond), with mappings for `FlatParts`.
    """

    def __init__(self, backbone: nn.Module) -> None:
        super().__init__()
        self.backbone = backbone

    def forward(self, x: Tensor, log_sigma: Tensor, space: Any, cond: Condition | None) -> Tensor:
        """Return numbers in the shape of x, each a weighted sum of the network's numbers there.

        Arguments:
            x: State as real numbers, (R, ...) or (M,).
            log_sigma: What the process says of the noise level, (B,).
            space: Where x lives.
            cond: Conditions; None: none.
        """
        if not isinstance(space, FlatParts):
            return as_number(self.backbone(entered(x, space), log_sigma, space, cond), x, space)
        spaces, parts = space.product.parts, space.divided(x)
        seen = {name: entered(part, spaces[name]) for name, part in parts.items()}
        f = self.backbone(seen, log_sigma, space.product, cond)
        named = list(f) if isinstance(f, Mapping) else type(f).__name__
        hold(isinstance(f, Mapping) and f.keys() == parts.keys(), f"The network returns {named}, not {list(parts)}.")
        return space.joined({name: as_number(f[name], part, spaces[name]) for name, part in parts.items()})


def entered(x: Tensor, space: Space) -> Tensor:
    """Return what a network sees of a part, from real numbers near its states."""
    if provides(space, Letters):
        letters = x.round().long()
        return torch.where(letters < 0, PAD, letters % space.letters)
    return space.embed(space.clean(x)) if provides(space, Manifold) else x


def as_number(f: Tensor, x: Tensor, space: Space) -> Tensor:
    """Return the output for a part as numbers in the shape of x: weighted sums of logits, or of coordinates."""
    if provides(space, Letters):
        expected = torch.Size((*x.shape, space.letters))
        hold(f.shape == expected, f"The logits have shape {tuple(f.shape)}, not {tuple(expected)}.")
    elif provides(space, Manifold):
        seen = entered(x, space).shape
        hold(f.shape == seen, f"The output has shape {tuple(f.shape)}, what the network sees {tuple(seen)}.")
    else:
        return f
    total = f @ torch.linspace(0.5, 1.5, f.shape[-1], dtype=f.dtype, device=f.device)
    return total.reshape(*total.shape, *(1 for _ in range(x.ndim - total.ndim))).expand_as(x)
