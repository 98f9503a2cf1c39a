"""Letters on the pairs of nodes of graphs, such as the orders of bonds between the atoms of a molecule.

A state is symmetric, int64 (B, N, N), with `PAD` on the diagonal and outside of each graph. Each pair is one site: it
counts once in sums and in the dimension, and one random number decides both of its places.

Symbols: B graphs, n nodes of a graph, N the largest n, K letters.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

from polydiff.core.parts.letters import PAD, uniform_numbers
from polydiff.core.streams import Device


@dataclass(frozen=True, eq=False)
class PairsSpace:
    """Letters on the pairs of each graph's nodes.

    Arguments:
        mask: True at nodes, False at padding, (B, N); the nodes of a graph come first.
        letters: Number of letters K.
    """

    mask: Tensor
    letters: int

    @property
    def batch(self) -> int:
        return len(self.mask)

    @property
    def state_shape(self) -> tuple[int, ...]:
        """Shape (B, N, N) of a state."""
        return *self.mask.shape, self.mask.shape[1]

    @cached_property
    def counts(self) -> list[int]:
        """Number of pairs of each graph as integers, cached to read them from the device only once."""
        return [n * (n - 1) // 2 for n in self.mask.sum(1).tolist()]

    @property
    def dim(self) -> Tensor:
        return torch.tensor(self.counts, device=self.mask.device, dtype=torch.float32)

    @cached_property
    def sites(self) -> Tensor:
        """True at both places of each pair, (B, N, N)."""
        others = ~torch.eye(self.mask.shape[1], dtype=torch.bool, device=self.mask.device)
        return self.mask[:, :, None] & self.mask[:, None] & others

    @cached_property
    def lower(self) -> Tensor:
        """True at one place (i, j), i > j, of each pair, (B, N, N). In this order they do not depend on padding."""
        return self.sites.tril(-1)

    def uniforms(self, generators: Sequence[torch.Generator]) -> Tensor:
        out = torch.zeros(self.state_shape, dtype=torch.float64, device=self.mask.device)
        out[self.lower] = torch.cat(uniform_numbers(generators, self.counts, self.mask.device))
        return out + out.mT

    def noise(self, generators: Sequence[torch.Generator]) -> Tensor:
        return self.clean((self.uniforms(generators) * self.letters).long())

    def clean(self, x: Tensor) -> Tensor:
        """Return letters with `PAD` outside of all pairs, and with those above the diagonal mirrored from below it.

        Outputs of a network at the two places of a pair may differ by rounding, and so may letters drawn from them.
        """
        below = x.tril(-1)
        return torch.where(self.sites, below + below.mT, PAD)

    def project(self, x: Tensor) -> Tensor:
        return self.clean(x)

    def expand(self, c: Tensor) -> Tensor:
        return c[:, None, None] if c.ndim else c

    def sum(self, x: Tensor) -> Tensor:
        return torch.where(self.lower, x, torch.zeros_like(x)).flatten(1).sum(1)

    def to(self, device: Device) -> PairsSpace:
        return replace(self, mask=self.mask.to(device))

    @cached_property
    def repeated(self) -> dict[int, PairsSpace]:
        """n -> `repeat(n)`, cached because guidance repeats a batch at every evaluation."""
        return {}

    def repeat(self, n: int) -> PairsSpace:
        if n not in self.repeated:
            self.repeated[n] = replace(self, mask=self.mask.repeat(n, 1))
        return self.repeated[n]
