"""Nearest neighbours among training examples: whether samples are copies of them.

A sample counts as a copy where it lies nearer to a training example than 99 % of held-out examples do.

Symbols: N examples, M training examples, D features.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

ENOUGH = 100
"""Held-out examples that it takes to say what distance is small."""


def nearest(x: Tensor, known: Tensor) -> Tensor:
    """Return the distance of each row of x (N, D) to the nearest row of `known` (M, D), shape (N,)."""
    return torch.cat([torch.cdist(part, known).amin(1) for part in x.split(256)])


def nearness(held_out: Tensor) -> float:
    """Return the distance below which a sample is a copy: of held-out examples, 1 % lie nearer.

    NaN where that says nothing: among few examples, or where held-out examples are copies themselves.

    Arguments:
        held_out: Distance of each held-out example to the nearest training example, shape (N,).
    """
    near = held_out.double().quantile(0.01).item() if len(held_out) >= ENOUGH else math.nan
    return near if near > 0 else math.nan


def copied(distances: Tensor, near: float) -> float:
    """Return the share of samples nearer than `near` to a training example, NaN where either is unknown."""
    unknown = math.isnan(near) or bool(distances.isnan().any())
    return math.nan if unknown else float((distances < near).double().mean())
