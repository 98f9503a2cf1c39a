r"""What a network is told beside its state: the noise level and the conditions, as one vector a sample and as tokens.

A number v is expanded in

$$ \sin(2 \pi v / \lambda_k), \quad \cos(2 \pi v / \lambda_k), \qquad \lambda_k \text{ in geometric progression}, $$

and passed through a small perceptron (Vaswani et al., 2017, https://arxiv.org/abs/1706.03762). A class has a learned
vector. Whatever is not given, be it -1, NaN, a missing name or no conditions at all, has one learned vector too, which
classifier-free guidance needs (Ho and Salimans, 2022, https://arxiv.org/abs/2207.12598). Sequences become tokens of one
width; beside those that are given there is always a learned one, so that attention has something to look at.

Symbols: B batch, N tokens, W width of the embedding, v a number of each sample.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from polydiff.conditions import Conditions, Tokens
from polydiff.config import ESTIMATE
from polydiff.errors import UserError, unknown
from polydiff.space import Condition

Output = Tensor | tuple[Tensor, Tensor]
"""What a network returns: F, or (F, v) where it also tells the variance of a step."""


class Told(NamedTuple):
    """What a network is told.

    Attributes:
        vector: Noise level, classes and numbers, (B, W), ready for a linear layer.
        tokens: Sequences, (B, N, W), a learned token first; None for a network that is told none.
        given: Which tokens are there, booleans (B, N).
    """

    vector: Tensor
    tokens: Tensor | None = None
    given: Tensor | None = None


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
    """Sum of the vectors of all classes and numbers.

    Arguments:
        conditions: Name -> kind (`polydiff.conditions`).
        width: W.
    """

    def __init__(self, conditions: Conditions, width: int) -> None:
        super().__init__()
        self.known = tuple(conditions)
        single = {name: kind for name, kind in sorted(conditions.items()) if isinstance(kind, int)}
        self.names = tuple(single)
        # a list, since a ModuleDict refuses names such as "type" and "size"
        self.fields = nn.ModuleList(self._field(classes, width) for classes in single.values())

    @staticmethod
    def _field(classes: int, width: int) -> ClassField | RealField:
        return ClassField(classes, width) if classes else RealField(width)

    def forward(self, cond: Condition | None, like: Tensor) -> Tensor:
        """Return vectors shaped as `like` (B, W); 0 where there are no conditions to give."""
        cond = cond or {}
        for name in cond:
            if name not in self.known:
                raise unknown("condition", name, self.known)
        total = torch.zeros_like(like)
        for name, field in zip(self.names, self.fields, strict=True):
            absent = like.new_full((len(like),), field.absent)  # type: ignore[arg-type]
            total = total + field(cond.get(name, absent))
        return total


class TokenEmbedding(nn.Module):
    """Tokens of all sequences, brought to one width, after a learned one.

    Arguments:
        widths: Name -> numbers of a token.
        width: W.
    """

    def __init__(self, widths: Mapping[str, int], width: int) -> None:
        super().__init__()
        self.names = tuple(sorted(widths))
        self.enter = nn.ModuleList(nn.Linear(widths[name], width) for name in self.names)
        self.null = nn.Parameter(torch.randn(width))
        self.norm = nn.LayerNorm(width)

    def forward(self, cond: Condition | None, batch: int) -> tuple[Tensor, Tensor]:
        """Return tokens (B, N, W) and which of them are there (B, N)."""
        tokens = [self.null.expand(batch, 1, -1)]
        given = [torch.ones(batch, 1, dtype=torch.bool, device=self.null.device)]
        for name, enter in zip(self.names, self.enter, strict=True):
            if (value := (cond or {}).get(name)) is not None:
                there = ~value.isnan().any(-1)
                tokens.append(enter(torch.where(there[..., None], value, 0).to(self.null.dtype)))
                given.append(there)
        return self.norm(torch.cat(tokens, 1)), torch.cat(given, 1)


class ContextEmbedding(nn.Module):
    """The noise level and the conditions but for signals, in float32 whatever the autocast.

    Arguments:
        conditions: Name -> kind (`polydiff.conditions`).
        width: W.
    """

    def __init__(self, conditions: Conditions, width: int) -> None:
        super().__init__()
        self.noise = NumberEmbedding(width, shortest=0.5, longest=64.0)
        self.conditions = ConditionEmbedding(conditions, width)
        sequences = {name: kind.width for name, kind in conditions.items() if isinstance(kind, Tokens)}
        self.tokens = TokenEmbedding(sequences, width) if sequences else None

    def forward(self, log_sigma: Tensor, cond: Condition | None) -> Told:
        """Return what a network is told of B samples."""
        with torch.autocast(log_sigma.device.type, enabled=False):
            level = self.noise(log_sigma)
            vector = functional.silu(level + self.conditions(cond, level))
            return Told(vector, *(self.tokens(cond, len(level)) if self.tokens else ()))


def singles(conditions: Conditions, network: str) -> Conditions:
    """Return conditions that are classes, numbers or an earlier estimate; of another a network cannot be told."""
    for name, kind in conditions.items():
        if not isinstance(kind, int) and name != ESTIMATE:
            raise UserError(
                f"The network {network} cannot be told {name}, of the kind {type(kind).__name__}; unet can "
                "(backbone.name=unet)."
            )
    return conditions
