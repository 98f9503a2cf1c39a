r"""Letters as real vectors, for Gaussian diffusion: the centred view of the simplex.

A letter k of K becomes the vector $\sqrt K\,(e_k - 1/K)$. The K numbers of a site have the sum 0, so a state of L sites
lies in

$$ \{ x \in \mathbb R^{K \times L} : \textstyle\sum_k x_{kl} = 0 \}, \qquad \mathrm{dim} = L (K - 1), $$

the space of centred log-ratios (Aitchison, 1982, https://doi.org/10.1111/j.2517-6161.1982.tb01195.x). Each vector has
the squared norm K - 1, so states have a mean square of exactly 1 in every data set.

Symbols: B number of samples, L sites of a text, K letters.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional

from polydiff.core.space import State, normal
from polydiff.core.streams import Device


@dataclass(frozen=True)
class CentredSpace:
    """States (B, K, L) whose K numbers have the sum 0 at each site.

    Arguments:
        batch: B.
        letters: K.
        length: L.
        device: Device of the states.
    """

    batch: int
    letters: int
    length: int
    device: Device = "cpu"

    @property
    def state_shape(self) -> tuple[int, ...]:
        """Shape (B, K, L) of a state."""
        return self.batch, self.letters, self.length

    @property
    def dim(self) -> Tensor:
        return torch.full((self.batch,), float(self.length * (self.letters - 1)), device=self.device)

    def noise(self, generators: Sequence[torch.Generator]) -> State:
        return self.project(normal(generators, self.state_shape[1:], self.device))

    def project(self, x: State) -> State:
        return x - x.mean(1, keepdim=True)

    def expand(self, c: Tensor) -> Tensor:
        return c[:, None, None] if c.ndim else c

    def sum(self, x: State) -> Tensor:
        return x.sum((1, 2))

    def to(self, device: Device) -> CentredSpace:
        return replace(self, device=device)

    def repeat(self, n: int) -> CentredSpace:
        return replace(self, batch=n * self.batch)


def centred(numbers: Tensor, letters: int) -> State:
    """Return letters (B, L) as centred vectors (B, K, L), float32.

    Arguments:
        numbers: Numbers of letters, 0 to K - 1.
        letters: K.
    """
    return math.sqrt(letters) * (functional.one_hot(numbers, letters).mT.float() - 1 / letters)


def decided(x: State) -> Tensor:
    """Return the letters (B, L) whose number is the largest in states (B, K, L)."""
    return x.argmax(1)
