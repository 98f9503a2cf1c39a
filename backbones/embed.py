"""The context of a network: the noise level and the conditions, embedded as one vector a sample and as tokens.

`values` embeds a single class, number or vector. A condition that is not given (-1, NaN, a missing name, or no
conditions at all) has one learned vector, which classifier-free guidance needs (Ho and Salimans, 2022,
https://arxiv.org/abs/2207.12598). Sequences become tokens of one width; a learned token is always added, so that
attention has at least one. The mean of a text's tokens is also part of the vector, as that of every sequence in
networks without attention to tokens.

For each kind of condition, `ENTRANCES` gives whether it enters a network as part of the vector, as tokens, as planes
beside the state, as rows beside its atoms, or through the state itself. For the vector and for tokens it also gives the
module by which it enters; a network makes planes and rows itself.

Symbols: B batch, N tokens, W width of the embedding.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Collection, Mapping
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from polydiff.backbones.text import DEFAULT, TextEncoder
from polydiff.backbones.values import ClassField, NumberEmbedding, RealField, TokenField, VectorField
from polydiff.contract.sections.network import TextConfig
from polydiff.core.conditions import (
    ESTIMATE,
    Aligned,
    Classes,
    Condition,
    Conditions,
    Kind,
    Number,
    Text,
    Tokens,
    Vector,
)
from polydiff.core.parts.known import KnownLetters, KnownRows
from polydiff.support.errors import UserError, unknown

Output = Tensor | tuple[Tensor, Tensor]
"""Output of a network: F, or (F, v) if it also predicts the variance of a step."""


class Context(NamedTuple):
    """The noise level and the conditions, embedded.

    Attributes:
        vector: Noise level, classes, numbers, vectors and the means of texts, (B, W), ready for a linear layer.
        tokens: Sequences, (B, N, W), a learned token first; None for a network without sequences.
        given: Which tokens are given, booleans (B, N).
    """

    vector: Tensor
    tokens: Tensor | None = None
    given: Tensor | None = None


Port = Literal["vector", "tokens", "planes", "rows", "state"]


class Entrance(NamedTuple):
    """How a kind of condition enters a network.

    Attributes:
        port: Part of the vector (B, W), tokens (B, N, W), or planes beside the state or rows beside its atoms, which a
            network makes itself; or the state, which shows the condition.
        make: (kind, W, how texts are read) -> module that takes a value and returns vectors (B, W), or tokens and which
            of them are given.
    """

    port: Port
    make: Callable[[Any, int, TextConfig], nn.Module] | None = None


ENTRANCES: dict[type[Kind], Entrance] = {
    Classes: Entrance("vector", lambda kind, width, text: ClassField(kind.count, width)),
    Number: Entrance("vector", lambda kind, width, text: RealField(width)),
    Vector: Entrance("vector", lambda kind, width, text: VectorField(kind.width, width)),
    Tokens: Entrance("tokens", lambda kind, width, text: TokenField(kind.width, width)),
    Text: Entrance("tokens", TextEncoder),
    Aligned: Entrance("planes"),
    KnownRows: Entrance("rows"),
    KnownLetters: Entrance("state"),
}


def entering(conditions: Conditions, port: Port) -> dict[str, Any]:
    """Return the conditions that enter a network by this port, sorted by name. Raise TypeError for an unknown kind."""
    for name, kind in conditions.items():
        if type(kind) not in ENTRANCES:
            raise TypeError(f"The condition {name}: polydiff.backbones.embed.ENTRANCES has no entry for {kind!r}.")
    return {name: kind for name, kind in sorted(conditions.items()) if ENTRANCES[type(kind)].port == port}


def modules(kinds: Conditions, width: int, text: TextConfig) -> nn.ModuleList:
    """Return the module of each kind; a list, since a ModuleDict rejects names such as "type"."""
    makers = [(ENTRANCES[type(kind)].make, kind) for kind in kinds.values()]
    return nn.ModuleList(make(kind, width, text) for make, kind in makers if make is not None)


class ConditionEmbedding(nn.Module):
    """Sum of the vectors of all classes, numbers and vectors of numbers.

    Arguments:
        conditions: Name -> kind (`polydiff.core.conditions`).
        width: W.
        text: How texts are read.
    """

    def __init__(self, conditions: Conditions, width: int, text: TextConfig = DEFAULT) -> None:
        super().__init__()
        self.known = tuple(conditions)
        self.kinds = entering(conditions, "vector")
        self.fields = modules(self.kinds, width, text)

    def forward(self, cond: Condition | None, like: Tensor) -> Tensor:
        """Return vectors shaped as `like` (B, W); 0 if the network has no conditions."""
        cond = cond or {}
        for name in cond:
            if name not in self.known:
                raise unknown("condition", name, self.known)
        total = torch.zeros_like(like)
        for (name, kind), field in zip(self.kinds.items(), self.fields, strict=True):
            value = cond[name] if name in cond else kind.blank(len(like), device=like.device)
            total = total + field(value)
        return total

    def silent(self, name: str) -> dict[str, Tensor]:
        """Return weights of the module of a condition with which all of its vectors are 0."""
        field: Any = copy.deepcopy(self.fields[list(self.kinds).index(name)])
        field.silence()
        return dict(field.state_dict())


def part_of(weights: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Return the tensors whose names begin with a prefix, without it."""
    return {name.removeprefix(prefix): value for name, value in weights.items() if name.startswith(prefix)}


class Pool(nn.Module):
    """The mean of a sequence's given tokens as a vector, and a learned vector of a sequence without any."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.out = nn.Linear(width, width)
        self.null = nn.Parameter(torch.randn(width))

    def forward(self, tokens: Tensor, there: Tensor) -> Tensor:
        """Return vectors (B, W) of tokens (B, N, W), of which those with `there`, (B, N), are given."""
        count = there.sum(1, keepdim=True)
        mean = torch.where(there[..., None], tokens, 0).sum(1) / count.clamp(min=1)
        return torch.where(count > 0, self.out(mean), self.null)


class TokenEmbedding(nn.Module):
    """A learned token, then the tokens of all sequences, mapped to one width; and the means of some of them.

    Arguments:
        kinds: Name -> kind of those conditions that enter as tokens.
        width: W.
        text: How texts are read.
        attended: Whether the network attends to tokens; if not, it receives the mean of every sequence.
    """

    def __init__(self, kinds: Conditions, width: int, text: TextConfig = DEFAULT, attended: bool = True) -> None:
        super().__init__()
        self.kinds = dict(kinds)
        self.enter = modules(kinds, width, text)
        self.null = nn.Parameter(torch.randn(width), requires_grad=attended)  # nothing reads it without attention
        self.norm = nn.LayerNorm(width)
        pooled = [name for name, kind in kinds.items() if kind.pooled or not attended]
        self.pooled = tuple(pooled)
        self.pools = nn.ModuleList(Pool(width) for _ in pooled)

    def forward(self, cond: Condition | None, batch: int) -> tuple[Tensor, Tensor, Tensor | float]:
        """Return tokens (B, N, W), which of them are given (B, N), and the sum of the means (B, W)."""
        parts = [(self.null.expand(batch, 1, -1), torch.ones(batch, 1, dtype=torch.bool, device=self.null.device))]
        means: Tensor | float = 0.0
        pools = dict(zip(self.pooled, self.pools, strict=True))
        for (name, kind), enter in zip(self.kinds.items(), self.enter, strict=True):
            value = (cond or {}).get(name)
            if value is None and name in pools:
                value = kind.blank(batch, device=self.null.device)
            if value is None:
                continue
            tokens, there = enter(value)
            parts.append((tokens, there))
            if name in pools:
                means = means + pools[name](self.norm(tokens), there)
        tokens, given = (torch.cat(part, 1) for part in zip(*parts, strict=True))
        return self.norm(tokens), given, means


class ContextEmbedding(nn.Module):
    """The noise level and all conditions except planes, embedded in float32 even under autocast.

    Arguments:
        conditions: Name -> kind (`polydiff.core.conditions`).
        width: W.
        text: How texts are read.
        attended: Whether the network attends to tokens; if not, the mean of every sequence is part of the vector.
    """

    def __init__(self, conditions: Conditions, width: int, text: TextConfig = DEFAULT, attended: bool = True) -> None:
        super().__init__()
        self.noise = NumberEmbedding(width, shortest=0.5, longest=64.0)
        self.conditions = ConditionEmbedding(conditions, width, text)
        sequences = entering(conditions, "tokens")
        self.tokens = TokenEmbedding(sequences, width, text, attended) if sequences else None

    def forward(self, log_sigma: Tensor, cond: Condition | None) -> Context:
        """Return the context of B samples."""
        with torch.autocast(log_sigma.device.type, enabled=False):
            level = self.noise(log_sigma)
            vector = level + self.conditions(cond, level)
            if self.tokens is None:
                return Context(functional.silu(vector))
            tokens, there, means = self.tokens(cond, len(level))
            return Context(functional.silu(vector + means), tokens, there)

    def inherited(
        self, weights: Mapping[str, Tensor], added: Collection[str], dropped: Collection[str]
    ) -> Mapping[str, Tensor]:
        """Return weights from those of a network with other conditions (`polydiff.contract.backbone.Inherits`).

        What is added enters the vector, and what is dropped is a number, whose vector of "not given" becomes part of
        the bias of the noise level. Weights of a network of another kind are returned as they are.
        """
        place, bias = "conditions.fields.{}.".format, "noise.second.bias"
        theirs = sorted({*self.conditions.kinds}.difference(added).union(dropped))
        nulls = [f"{place(theirs.index(name))}null" for name in dropped]
        if not weights.keys() >= {bias, *nulls}:
            return weights
        parts = {name: part_of(weights, place(i)) for i, name in enumerate(theirs)}
        parts |= {name: self.conditions.silent(name) for name in added}
        fields = ((place(i), parts[name]) for i, name in enumerate(self.conditions.kinds))
        others = {name: value for name, value in weights.items() if not name.startswith("conditions.fields.")}
        others[bias] = sum((weights[null] for null in nulls), weights[bias])
        return others | {prefix + key: value for prefix, part in fields for key, value in part.items()}


def singles(conditions: Conditions, network: str, rows: bool = False) -> Conditions:
    """Return the conditions. Raise UserError if one enters as planes, except for the earlier estimate, or as rows.

    Arguments:
        conditions: Name -> kind.
        network: Name of the network.
        rows: Whether the network takes rows.
    """
    refused = dict.fromkeys(entering(conditions, "planes").keys() - {ESTIMATE}, "unet")
    refused |= {} if rows else dict.fromkeys(entering(conditions, "rows"), "graph_transformer")
    for name, able in refused.items():
        raise UserError(
            f"The network {network} takes no condition like {name} ({conditions[name].words}); {able} does "
            f"(backbone.name={able})."
        )
    return conditions
