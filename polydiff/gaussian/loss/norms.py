"""Norms: (residual r, space, **options) -> the penalty of each sample, per true dimension of the space, (B,).

Symbols: r the weighted error of a sample, d its true dimension, m = |r|^2 / d.
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
    """Return the sum of a sample's own elements over its true dimension."""
    return space.sum(x) / space.dim.clamp(min=1)


@NORMS.register("l2")
def l2(r: State, space: Space) -> Tensor:
    """|r|^2 / d."""
    return mean(space, r * r)


@NORMS.register("l1")
def l1(r: State, space: Space) -> Tensor:
    """sum |r_i| / d."""
    return mean(space, r.abs())


@NORMS.register("huber")
def huber(r: State, space: Space, delta: float = 1.0) -> Tensor:
    """sum h(r_i) / d, h = r^2 / 2 where |r| < delta, delta (|r| - delta / 2) beyond (Huber, 1964)."""
    return mean(space, functional.huber_loss(r, torch.zeros_like(r), reduction="none", delta=delta))


@NORMS.register("pseudo_huber")
def pseudo_huber(r: State, space: Space, c: float = 0.00054) -> Tensor:
    """sqrt(m + c^2) - c (Song & Dhariwal, iCT, 2023, https://arxiv.org/abs/2310.14189).

    The paper's sqrt(|r|^2 + C^2) - C with C = c sqrt(d), divided by sqrt(d) so that all sizes have equal weight.
    """
    m = mean(space, r * r)
    return m / (torch.sqrt(m + c**2) + c)
