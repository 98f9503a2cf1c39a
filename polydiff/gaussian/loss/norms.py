"""Norms: (r, space, **options) -> the penalty of each sample per true dimension, shape (B,).

Symbols: r the weighted error of a state, (R, ...), d the true dimension of a sample (without padding), m = |r|^2 / d,
B batch size, R rows of a state.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from polydiff.core.registry import Registry
from polydiff.core.space import Space, State

NORMS: Registry[Callable[..., Tensor]] = Registry("norm")


def mean(space: Space, x: State) -> Tensor:
    """Return the sum of each sample's elements divided by its true dimension, shape (B,)."""
    return space.sum(x) / space.dim.clamp(min=1)


@NORMS.register("l2")
def l2(r: State, space: Space) -> Tensor:
    """Return |r|^2 / d, shape (B,)."""
    return mean(space, r * r)


@NORMS.register("l1")
def l1(r: State, space: Space) -> Tensor:
    """Return sum |r_i| / d, shape (B,)."""
    return mean(space, r.abs())


@NORMS.register("huber")
def huber(r: State, space: Space, delta: float = 1.0) -> Tensor:
    """Return sum h(r_i) / d, h(r) = r^2 / 2 for |r| < delta, else delta (|r| - delta / 2), shape (B,) (Huber, 1964).

    https://doi.org/10.1214/aoms/1177703732
    """
    return mean(space, functional.huber_loss(r, torch.zeros_like(r), reduction="none", delta=delta))


@NORMS.register("pseudo_huber")
def pseudo_huber(r: State, space: Space, c: float = 0.00054) -> Tensor:
    """Return sqrt(m + c^2) - c, shape (B,) (Song & Dhariwal, iCT, 2023, https://arxiv.org/abs/2310.14189).

    This is the paper's sqrt(|r|^2 + C^2) - C with C = c sqrt(d), divided by sqrt(d). Samples of all sizes then have
    equal weight.
    """
    m = mean(space, r * r)
    return m / (torch.sqrt(m + c**2) + c)
