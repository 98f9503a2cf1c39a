r"""Differences between states, of real numbers or of letters.

Letters are compared as one-hot vectors, with half of their squared distance: 0 for the same letter, 1 for another one.
So the sum over a state is the number of letters that differ, the "mean" of a set is the commonest letter of each place,
and the variance over draws is the probability that two of them differ,

$$ 1 - \sum_k p_k^2, $$

with p_k the share of letter k.

Symbols: B states, R rows, K draws.
"""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional


def squared(x: Tensor, y: Tensor) -> Tensor:
    """Return the squared difference of each element of two states (R, ...); of letters 1 where they differ, else 0."""
    return (x - y).square() if x.is_floating_point() else (x != y).float()


def centre(x: Tensor) -> Tensor:
    """Return the mean of states (B, ...), or the commonest letter of each place, (1, ...)."""
    return x.mean(0, keepdim=True) if x.is_floating_point() else x.mode(0, keepdim=True).values


def variance(draws: Tensor) -> Tensor:
    """Return the unbiased variance of each element over draws (K, R, ...), (R, ...); of letters as above."""
    if draws.is_floating_point():
        return draws.var(0)
    n = len(draws)
    shares = functional.one_hot(draws - draws.min()).float().mean(0)
    return (1 - shares.square().sum(-1)) * n / (n - 1)
