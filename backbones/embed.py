r"""What a network is told beside its state: the noise level and the conditions, as one vector a sample.

A number v is expanded in

$$ \sin(2 \pi v / \lambda_k), \quad \cos(2 \pi v / \lambda_k), \qquad \lambda_k \text{ in geometric progression}, $$

and passed through a small perceptron (Vaswani et al., 2017, https://arxiv.org/abs/1706.03762). A class has a learned
vector. Whatever is not given, be it -1, NaN, a missing name or no conditions at all, has one learned vector too, which
classifier-free guidance needs (Ho and Salimans, 2022, https://arxiv.org/abs/2207.12598).

Symbols: B batch, W width of the embedding, v a number of each sample.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from polydiff.conditions import Conditions
from polydiff.errors import unknown
from polydiff.space import Condition

Output = Tensor | tuple[Tensor, Tensor]
"""What a network returns: F, or (F, v) where it also tells the variance of a step."""


def sinusoids(v: Tensor, count: int, shortest: float, longest: float) -> Tensor:
    """Return sines and cosines of numbers (B,) for `count` wavelengths between these two, shape (B, 2 count)."""
    wavelengths = torch.logspace(math.log10(shortest), math.log10(longest), count, device=v.device, dtype=v.dtype)
    angles = 2 * math.pi * v[:, None] / wavelengths
    return torch.cat([angles.sin(), angles.cos()], -1)


class NumberEmbedding(nn.Module):
    """Vector of a number, by sinusoids and a perceptron.

    Arguments:
        width: W.
        shortest: Shortest wavelength: what differs by less than a tenth of it looks the same.
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
    """Vector of a class, with one more for "not given" (-1)."""

    absent = -1

    def __init__(self, classes: int, width: int) -> None:
        super().__init__(classes + 1, width)

    def forward(self, value: Tensor) -> Tensor:
        return super().forward(value.long() + 1)


class RealField(nn.Module):
    """Vector of a standardised real number, with one more for "not given" (NaN)."""

    absent = math.nan

    def __init__(self, width: int) -> None:
        super().__init__()
        self.embed = NumberEmbedding(width, shortest=0.5, longest=32.0)
        self.null = nn.Parameter(torch.randn(width))

    def forward(self, value: Tensor) -> Tensor:
        given = ~value.isnan()
        # 0 stands in for NaN before the network, since a NaN in the branch not taken still poisons the gradient
        vectors = self.embed(torch.where(given, value, torch.zeros_like(value)))
        return torch.where(given[:, None], vectors, self.null)


class ConditionEmbedding(nn.Module):
    """Sum of the vectors of all conditions.

    Arguments:
        conditions: Name -> kind (`polydiff.conditions`).
        width: W.
    """

    def __init__(self, conditions: Conditions, width: int) -> None:
        super().__init__()
        self.names = tuple(sorted(conditions))
        # a list, since a ModuleDict refuses names such as "type" and "size"
        self.fields = nn.ModuleList(self._field(conditions[name], width) for name in self.names)

    @staticmethod
    def _field(classes: int, width: int) -> ClassField | RealField:
        return ClassField(classes, width) if classes else RealField(width)

    def forward(self, cond: Condition | None, like: Tensor) -> Tensor:
        """Return vectors shaped as `like` (B, W); 0 where there are no conditions to give."""
        cond = cond or {}
        for name in cond:
            if name not in self.names:
                raise unknown("condition", name, self.names)
        total = torch.zeros_like(like)
        for name, field in zip(self.names, self.fields, strict=True):
            absent = like.new_full((len(like),), field.absent)  # type: ignore[arg-type]
            total = total + field(cond.get(name, absent))
        return total


class ContextEmbedding(nn.Module):
    """Vector of the noise level and the conditions, in float32 whatever the autocast.

    Arguments:
        conditions: Name -> kind (`polydiff.conditions`).
        width: W.
    """

    def __init__(self, conditions: Conditions, width: int) -> None:
        super().__init__()
        self.noise = NumberEmbedding(width, shortest=0.5, longest=64.0)
        self.conditions = ConditionEmbedding(conditions, width)

    def forward(self, log_sigma: Tensor, cond: Condition | None) -> Tensor:
        """Return vectors (B, W), ready for a linear layer."""
        with torch.autocast(log_sigma.device.type, enabled=False):
            level = self.noise(log_sigma)
            return functional.silu(level + self.conditions(cond, level))
