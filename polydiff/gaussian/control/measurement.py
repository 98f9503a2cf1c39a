"""Linear measurements of a state, and linear systems that are solved sample by sample.

Symbols: A operator, A* its adjoint, y measurement, K a symmetric positive operator.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from polydiff.core.space import Space, State, sqnorm
from polydiff.gaussian.guidance.method import divide


@dataclass(frozen=True, eq=False)
class Measurement:
    """y = A x_0 + noise: a linear operator, by what it does.

    Arguments:
        forward: State -> measurement, A.
        adjoint: Measurement -> state, with <A x, y> = <x, A* y>.
        space: Where measurements live: one sample's norm and sum.
    """

    forward: Callable[[State], Tensor]
    adjoint: Callable[[Tensor], State]
    space: Space


def masked(mask: Tensor, space: Space) -> Measurement:
    """Return the measurement of single elements, those where the mask is 1 or True."""

    def keep(x: State) -> State:
        return mask.to(x) * x

    return Measurement(keep, keep, space)


def conjugate_gradient(
    K: Callable[[Tensor], Tensor], b: Tensor, space: Space, iterations: int = 100, scale: Tensor | None = None
) -> Tensor:
    """Return z with K z = b, of least norm, by conjugate gradients (Hestenes & Stiefel, 1952).

    Each sample has step sizes of its own and stops by itself, so that it does not depend on its batch.

    Arguments:
        K: Symmetric, positive semi-definite, b in its range.
        b: Right side.
        space: Where z and b live; only its sums are used, not its projector.
        iterations: The most there are.
        scale: Squared norms, shape (B,): a sample is done where its residual is rounding compared with this; None: b's.
    """
    z, r, p = torch.zeros_like(b), b, b
    square = sqnorm(space, r)
    done = (100 * torch.finfo(b.dtype).eps) ** 2 * (square if scale is None else scale)
    for _ in range(iterations):
        active = square > done
        if not bool(active.any()):
            break
        Kp = K(p)
        step = torch.where(active, divide(square, space.sum(p * Kp), otherwise=0.0), 0)
        z = z + space.expand(step) * p
        r = r - space.expand(step) * Kp
        before, square = square, torch.where(active, sqnorm(space, r), square)
        p = torch.where(space.expand(active), r + space.expand(divide(square, before, otherwise=0.0)) * p, p)
    return z
