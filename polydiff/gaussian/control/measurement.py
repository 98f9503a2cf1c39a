"""Linear measurements of a state, and the solver of linear systems, each sample by itself.

Symbols: y measurement, K a symmetric positive operator, B batch size.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from polydiff.core.space import Measurement, Space, State, sqnorm
from polydiff.gaussian.guidance.method import divide


def masked(mask: Tensor, space: Space) -> Measurement:
    """Return the measurement of the elements where a mask is 1 or True; y has a state's shape and is 0 elsewhere."""

    def keep(x: State) -> State:
        return mask.to(x) * x

    return Measurement(keep, keep, space)


def conjugate_gradient(
    K: Callable[[Tensor], Tensor], b: Tensor, space: Space, iterations: int = 100, scale: Tensor | None = None
) -> Tensor:
    """Return z with K z = b and least norm, in b's shape, by conjugate gradients (Hestenes & Stiefel, 1952).

    Each sample has its own step sizes and its own end, so it does not depend on its batch. A sample ends, too, where K
    is found not to be positive, as the Jacobian of a network may not be (Steihaug, 1983).
    https://doi.org/10.6028/jres.049.044

    Arguments:
        K: A symmetric, positive semi-definite operator with b in its range.
        b: Right side.
        space: Where z and b live; only its sums are used, not its projector.
        iterations: Largest number of iterations.
        scale: Squared norms, shape (B,): a sample is done when its squared residual is rounding beside this; None: b's.
    """
    z, r, p = torch.zeros_like(b), b, b
    square = sqnorm(space, r)
    done = (100 * torch.finfo(b.dtype).eps) ** 2 * (square if scale is None else scale)
    active = square > done
    for _ in range(iterations):
        if not bool(active.any()):
            break
        Kp = K(p)
        curvature = space.sum(p * Kp)
        active = active & (curvature > 0)
        step = torch.where(active, divide(square, curvature, otherwise=0.0), 0)
        z = z + space.expand(step) * p
        r = r - space.expand(step) * Kp
        before, square = square, torch.where(active, sqnorm(space, r), square)
        p = torch.where(space.expand(active), r + space.expand(divide(square, before, otherwise=0.0)) * p, p)
        active = active & (square > done)
    return z
