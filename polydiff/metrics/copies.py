"""Copies of training examples among samples, found by nearest neighbours in a space of features.

A sample counts as a copy if it is nearer to a training example than 99 % of the held-out examples are.

Symbols: N number of examples, M number of training examples, D number of features.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from polydiff.metrics.least import too_few, value_unless


def nearest(x: Tensor, known: Tensor) -> Tensor:
    """Return the distance of each row of x, shape (N, D), to the nearest row of `known`, shape (M, D): shape (N,)."""
    return torch.cat([torch.cdist(part, known).amin(1) for part in x.split(256)])


def copy_threshold(held_out: Tensor) -> float:
    """Return the distance below which a sample counts as a copy: the 1 % quantile of held-out examples.

    NaN if this threshold means nothing: with fewer examples than `polydiff.metrics.least` states, or if it is 0 because
    1 % of the held-out examples are copies themselves.

    Arguments:
        held_out: Distance of each held-out example to the nearest training example, shape (N,).
    """
    reason = too_few("copies", len(held_out), "held-out examples")
    near = value_unless(reason, lambda: held_out.double().quantile(0.01).item())
    return near if near > 0 else math.nan


def copy_share(distances: Tensor, near: float) -> float:
    """Return the share of samples whose distance (N,) is below `near`; NaN if `near` or a distance is NaN."""
    unknown = math.isnan(near) or bool(distances.isnan().any())
    return math.nan if unknown else float((distances < near).double().mean())
