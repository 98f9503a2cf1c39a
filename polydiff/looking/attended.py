"""The attention of a network to tokens and places, for examples with noise of several levels.

Symbols: L noise levels, B examples, T tokens.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from polydiff.contract.domain import Domain, conditions_of
from polydiff.core.conditions import ANY, Condition, Text, Tokens, given
from polydiff.core.space import Batch
from polydiff.looking.capture import attention_maps
from polydiff.looking.difference import squared
from polydiff.looking.places import at_places
from polydiff.looking.subject import LEVELS, Subject

LEARNED = "(none)"
"""Name of the learned token that stands before all tokens of conditions."""


class Attended(NamedTuple):
    """Attention of examples with noise, averaged over heads.

    Attributes:
        levels: Falling noise levels, L of them.
        to_tokens: Layer -> weights of its places to each token, (L, B, T, *sizes).
        to_places: Layer -> weights of one place to all, (L, B, *sizes), for layers that attend to places.
        origin: Layer -> where the one place is, (B, *sizes), 1 there and 0 elsewhere.
    """

    levels: Sequence[float]
    to_tokens: Mapping[str, Tensor]
    to_places: Mapping[str, Tensor]
    origin: Mapping[str, Tensor]

    def mean_map(self) -> Tensor:
        """Return the weights to tokens, averaged over levels and layers on the finest grid, (B, T, *sizes)."""
        sizes = max((weights.shape[3:] for weights in self.to_tokens.values()), key=math.prod)
        return torch.stack([on_grid(weights.mean(0), sizes) for weights in self.to_tokens.values()]).mean(0)


@torch.no_grad()
def attention(subject: Subject, batch: Batch, n: int = LEVELS) -> Attended:
    """Return the attention of a network to tokens and places, for examples with noise of n levels.

    Arguments:
        subject: The model, and the seed of the noise.
        batch: Examples as clean states with their conditions.
        n: Number of levels.
    """
    process, model = subject.estimates_of_one_part, subject.model
    batch = batch.to(model.device)
    levels = process.levels(model, n)
    tokens: dict[str, list[Tensor]] = {}
    places: dict[str, list[Tensor]] = {}
    origin: dict[str, Tensor] = {}
    unusual = at_places(squared(batch.x, subject.data_mean(batch)), batch.space)[:, None]
    for level in levels:
        x = process.noisy(model, batch, level, subject.noise_streams(batch))
        with attention_maps(model.denoiser) as found:
            process.estimate(model, batch._replace(x=x), level)
        for name, one in found.items():
            weights = one.weights.float().mean(1).cpu()
            if one.tokens:
                tokens.setdefault(name, []).append(weights[..., : one.tokens].mT.unflatten(-1, one.sizes))
            if one.tokens < weights.shape[-1]:
                where = functional.one_hot(coarse(unusual.cpu(), one.sizes).flatten(1).argmax(1), math.prod(one.sizes))
                rows = (where[..., None] * weights[..., one.tokens :]).sum(1)
                places.setdefault(name, []).append(rows.unflatten(-1, one.sizes))
                origin[name] = where.unflatten(-1, one.sizes).float()
    return Attended(
        levels,
        {name: torch.stack(maps) for name, maps in tokens.items()},
        {name: torch.stack(maps) for name, maps in places.items()},
        origin,
    )


def coarse(x: Tensor, sizes: Sequence[int]) -> Tensor:
    """Return planes (B, 1, *grid) averaged on a coarser grid, (B, *sizes)."""
    pool = functional.adaptive_avg_pool1d if len(sizes) == 1 else functional.adaptive_avg_pool2d
    return pool(x, tuple(sizes))[:, 0]  # type: ignore[arg-type] # a size each axis


def on_grid(maps: Tensor, sizes: Sequence[int]) -> Tensor:
    """Return maps (B, T, *grid) on another grid by the nearest place, (B, T, *sizes)."""
    return functional.interpolate(maps, tuple(sizes), mode="nearest-exact")


def token_names(domain: Domain, cond: Condition | None, n: int, count: int) -> list[list[str]]:
    """Return the names of the tokens of each of n examples; "" for one that is not given.

    Arguments:
        domain: Writes the conditions.
        cond: Conditions of the examples.
        n: Number of examples.
        count: Number of tokens of the network, with the learned one. If it does not fit the conditions, tokens are
            numbered.
    """
    kinds = conditions_of(domain)
    read = (
        {name: cond[name].cpu() for name in sorted(cond or {}) if isinstance(kinds.get(name), Text | Tokens)}
        if cond
        else {}
    )
    if 1 + sum(value.shape[1] for value in read.values()) != count:
        return [[LEARNED, *(f"token {i}" for i in range(1, count))] for _ in range(n)]
    names = [[LEARNED] for _ in range(n)]
    for name, value in read.items():
        for place in range(value.shape[1]):
            for row, word in zip(names, words_at(domain, name, value[:, place : place + 1]), strict=True):
                row.append(word)
    return names


def words_at(domain: Domain, name: str, value: Tensor) -> list[str]:
    """Return the word of one token (B, 1) of each example; of a vector (B, 1, W), the name of its condition."""
    there = given(value).flatten(1).all(1).tolist()
    if value.ndim > 2:
        return [name if is_there else "" for is_there in there]
    words = [str(row[name]) for row in domain.describe({name: value})]
    return [word if is_there and word != ANY else "" for is_there, word in zip(there, words, strict=True)]
