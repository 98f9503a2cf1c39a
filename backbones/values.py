r"""How the value of one condition becomes a vector or tokens of a network.

A number v is expanded in

$$ \sin(2 \pi v / \lambda_k), \quad \cos(2 \pi v / \lambda_k), \qquad \lambda_k \text{ in geometric progression}, $$

and passed through a small perceptron (Vaswani et al., 2017, https://arxiv.org/abs/1706.03762). A class has a learned
vector, as has a value that is not given. `polydiff.backbones.embed` joins the vectors of all conditions.

Symbols: B batch, N tokens, W width of the embedding, v a number of each sample.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from polydiff.core.conditions import given


def sinusoids(v: Tensor, count: int, shortest: float, longest: float) -> Tensor:
    """Return the sines, then the cosines of 2 pi v / wavelength, shape (B, 2 count).

    Arguments:
        v: Numbers, (B,).
        count: Number of wavelengths, in geometric progression.
        shortest: Shortest wavelength, in units of v.
        longest: Longest wavelength, in units of v.
    """
    wavelengths = torch.logspace(math.log10(shortest), math.log10(longest), count, device=v.device, dtype=v.dtype)
    angles = 2 * math.pi * v[:, None] / wavelengths
    return torch.cat([angles.sin(), angles.cos()], -1)


class NumberEmbedding(nn.Module):
    """Vector of a number, by sinusoids and a perceptron.

    Arguments:
        width: W.
        shortest: Shortest wavelength; numbers that differ by less than a tenth of it have similar vectors.
        longest: Longest wavelength, more than the range of the numbers.
        count: Number of wavelengths.
    """

    def __init__(self, width: int, shortest: float, longest: float, count: int = 32) -> None:
        super().__init__()
        self.count, self.shortest, self.longest = count, shortest, longest
        self.first = nn.Linear(2 * count, width)
        self.second = nn.Linear(width, width)

    def forward(self, v: Tensor) -> Tensor:
        """Return the vectors (B, W) of numbers (B,)."""
        features = sinusoids(v, self.count, self.shortest, self.longest)
        vectors: Tensor = self.second(functional.silu(self.first(features.to(self.first.weight.dtype))))
        return vectors


class ClassField(nn.Embedding):
    """Learned vector of each class, and one of "not given" (-1)."""

    def __init__(self, classes: int, width: int) -> None:
        super().__init__(classes + 1, width)

    def silence(self) -> None:
        """Make all of its vectors 0."""
        nn.init.zeros_(self.weight)

    def forward(self, value: Tensor) -> Tensor:
        return super().forward(value.long() + 1)


class RealField(nn.Module):
    """Vector of a standardised real number, and a learned one of "not given" (NaN)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.embed = NumberEmbedding(width, shortest=0.5, longest=32.0)
        self.null = nn.Parameter(torch.randn(width))

    def silence(self) -> None:
        """Make all of its vectors 0; the first layer stays random, so that the second one has a gradient."""
        for parameter in (*self.embed.second.parameters(), self.null):
            nn.init.zeros_(parameter)

    def forward(self, value: Tensor) -> Tensor:
        # 0 replaces NaN before the network, since a NaN in the branch not taken would still make the gradient NaN
        number, there = filled(value)
        return torch.where(there[:, None], self.embed(number), self.null)


class VectorField(nn.Linear):
    """Vector of a list of numbers (B, n), by a linear map without offset: 0 and "not given" (NaN) change nothing."""

    def __init__(self, n: int, width: int) -> None:
        super().__init__(n, width, bias=False)

    def silence(self) -> None:
        """Make all of its vectors 0."""
        nn.init.zeros_(self.weight)

    def forward(self, value: Tensor) -> Tensor:
        return super().forward(filled(value)[0].to(self.weight.dtype))


class TokenField(nn.Linear):
    """Tokens of an embedding (B, N, width), mapped to another width."""

    def forward(self, value: Tensor) -> tuple[Tensor, Tensor]:  # type: ignore[override]
        """Return tokens (B, N, W) and which of them are given (B, N)."""
        numbers, there = filled(value, -1)
        return super().forward(numbers.to(self.weight.dtype)), there[..., 0]


def filled(value: Tensor, axis: int | None = None) -> tuple[Tensor, Tensor]:
    """Return a condition with 0 for numbers that are not given, and the mask of given ones.

    With `axis`, a single missing number makes all numbers along this axis missing; the mask has size 1 there.
    """
    there = given(value) if axis is None else given(value).all(axis, keepdim=True)
    return torch.where(there, value, 0), there
