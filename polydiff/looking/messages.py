r"""The messages of a network of graphs, for examples with noise of several levels.

The share of node j in what node i receives is the norm of its message over the sum of all norms,

$$ w_{ij} = |m_{ij}| \Big/ \sum_k |m_{ik}|. $$

Of n nodes, each other one has the share 1 / (n - 1) if messages do not depend on the sender. The weight of a kind of
pairs, such as those with a bond, is its mean share as a multiple of that,

$$ \frac{\sum_{ij \in K} w_{ij}}{\sum_{ij \in K} 1 / (n_i - 1)}. $$

Symbols: L noise levels, B examples, n nodes of an example.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from polydiff.core.space import Batch
from polydiff.looking.capture import message_matrices
from polydiff.looking.subject import LEVELS, Subject


class Messages(NamedTuple):
    """Shares of nodes in what others receive.

    Attributes:
        levels: Falling noise levels, L of them.
        shares: Layer -> for each level and example, w (n, n); row i is what node i receives.
    """

    levels: Sequence[float]
    shares: Mapping[str, Sequence[Sequence[Tensor]]]

    def mean(self) -> list[Tensor]:
        """Return the shares of each example, averaged over layers and levels, (n, n) each."""
        every = [at_level for by_level in self.shares.values() for at_level in by_level]
        return [torch.stack(list(own)).mean(0) for own in zip(*every, strict=True)]


@torch.no_grad()
def messages(subject: Subject, batch: Batch, n: int = LEVELS) -> Messages:
    """Return the shares of messages, for examples with noise of n levels.

    Arguments:
        subject: The model, and the seed of the noise.
        batch: Examples as clean states with their conditions.
        n: Number of levels.
    """
    process, model = subject.estimates, subject.model
    batch = batch.to(model.device)
    levels = process.levels(model, n)
    shares: dict[str, list[list[Tensor]]] = {}
    for level in levels:
        x = process.noisy(model, batch, level, subject.noise_streams(batch))
        with message_matrices(model.denoiser) as found:
            process.estimate(model, batch._replace(x=x), level)
        for name, matrices in found.items():
            shares.setdefault(name, []).append([share(one) for one in matrices])
    return Messages(levels, shares)


def share(norms: Tensor) -> Tensor:
    """Return norms (n, n) divided by the sum of each row."""
    norms = norms.float().cpu()
    return norms / norms.sum(1, keepdim=True).clamp(min=1e-12)


def times_even(found: Messages, kinds: Sequence[Mapping[str, Tensor]]) -> dict[str, dict[str, Tensor]]:
    """Return the mean share of each kind of pairs as a multiple of an even one: kind -> layer -> (L,).

    Arguments:
        found: The shares.
        kinds: For each example, kind -> booleans (n, n). A kind that no pair has is left out.
    """
    even: dict[str, float] = {}
    for one in kinds:
        for name, pairs in one.items():
            even[name] = even.get(name, 0.0) + float(pairs.sum()) / max(len(pairs) - 1, 1)
    return {
        name: {
            layer: torch.tensor([total(at_level, kinds, name) / sum_even for at_level in by_level])
            for layer, by_level in found.shares.items()
        }
        for name, sum_even in even.items()
        if sum_even
    }


def total(shares: Sequence[Tensor], kinds: Sequence[Mapping[str, Tensor]], name: str) -> float:
    """Return the sum of the shares of pairs of one kind."""
    return sum(float(w[one[name]].sum()) for w, one in zip(shares, kinds, strict=True) if name in one)
