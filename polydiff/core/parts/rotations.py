r"""Rotations as unit quaternions: products, exponential and logarithm, and matrices.

$$ q = (w, u), \qquad \exp v = \Bigl(\cos\tfrac{|v|}{2},\; \tfrac{v}{|v|} \sin\tfrac{|v|}{2}\Bigr), \qquad
   \log q = \frac{2\,\mathrm{atan2}(|u|, w)}{|u|}\, u \quad (w \ge 0). $$

All functions are differentiable at every rotation, the identity included, and exact to rounding: atan2 keeps its
relative precision both for small angles, where arccos(w) loses half of the digits, and for angles near pi. A quaternion
need not have unit norm exactly, because its logarithm does not depend on the norm.

Symbols: q quaternion (..., 4), w its real part, u its imaginary part, v rotation vector (..., 3), R matrix (..., 3, 3).
"""

from __future__ import annotations

import torch
from torch import Tensor

from polydiff.support.errors import UserError

IDENTITY = (1.0, 0.0, 0.0, 0.0)
"""The quaternion of the rotation that changes nothing."""
TINY = 1e-12
"""Length of a vector below which its direction times a function of the length is linear in it, to rounding."""
TOLERANCE = 1e-3
"""Largest difference of an element of R R^T from the identity at which R is taken for a rotation."""


def product(p: Tensor, q: Tensor) -> Tensor:
    """Return the quaternions p q, whose rotation is that of q followed by that of p."""
    a, b, c, d = p.unbind(-1)
    w, x, y, z = q.unbind(-1)
    return torch.stack(
        [
            a * w - b * x - c * y - d * z,
            a * x + b * w + c * z - d * y,
            a * y - b * z + c * w + d * x,
            a * z + b * y - c * x + d * w,
        ],
        -1,
    )


def conjugate(q: Tensor) -> Tensor:
    """Return (w, -u), the inverse rotation."""
    return torch.cat([q[..., :1], -q[..., 1:]], -1)


def turn(v: Tensor) -> Tensor:
    """Return exp v: the unit quaternions of rotations by |v| radians about v."""
    angle = torch.linalg.vector_norm(v, dim=-1, keepdim=True).clamp_min(TINY)
    return torch.cat([(angle / 2).cos(), (angle / 2).sin() / angle * v], -1)


def angular(q: Tensor) -> Tensor:
    """Return log q: the shortest rotation vectors, of at most pi radians, of quaternions."""
    q = torch.where(q[..., :1] < 0, -q, q)
    w, u = q[..., :1], q[..., 1:]
    length = torch.linalg.vector_norm(u, dim=-1, keepdim=True).clamp_min(TINY)
    v: Tensor = 2 * torch.atan2(length, w) / length * u
    return v


def matrices(q: Tensor) -> Tensor:
    """Return the rotation matrices of unit quaternions."""
    w, x, y, z = q.unbind(-1)
    rows = [
        torch.stack([1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)], -1),
        torch.stack([2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)], -1),
        torch.stack([2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)], -1),
    ]
    return torch.stack(rows, -2)


def quaternions(rotations: Tensor) -> Tensor:
    r"""Return the unit quaternions, w >= 0, of rotation matrices.

    The elements of R give the matrix 4 q q^T. Its row with the largest diagonal element is divided by no small number,
    so the result is exact to rounding at every angle; the usual formula by the trace loses all digits at pi.

    Arguments:
        rotations: R, (..., 3, 3).

    Raises:
        UserError: A matrix is no rotation.
    """
    check_rotations(rotations)
    (a, b, c), (d, e, f), (g, h, i) = (row.unbind(-1) for row in rotations.unbind(-2))
    rows = [
        torch.stack([1 + a + e + i, h - f, c - g, d - b], -1),
        torch.stack([h - f, 1 + a - e - i, b + d, c + g], -1),
        torch.stack([c - g, b + d, 1 - a + e - i, f + h], -1),
        torch.stack([d - b, c + g, f + h, 1 - a - e + i], -1),
    ]
    outer = torch.stack(rows, -2)
    pivot = outer.diagonal(dim1=-2, dim2=-1).argmax(-1)[..., None, None]
    q = torch.nn.functional.normalize(outer.take_along_dim(pivot, -2)[..., 0, :], dim=-1)
    return torch.where(q[..., :1] < 0, -q, q)


def check_rotations(rotations: Tensor) -> None:
    """Raise UserError unless all matrices (..., 3, 3) are rotations, to an element-wise error of `TOLERANCE`."""
    if rotations.shape[-2:] != (3, 3) or not rotations.is_floating_point():
        raise UserError(f"Rotations must be real matrices (..., 3, 3), not {rotations.dtype} {tuple(rotations.shape)}.")
    error = (rotations @ rotations.mT - torch.eye(3).to(rotations)).abs().amax((-2, -1))
    wrong = ~((error <= TOLERANCE) & (torch.linalg.det(rotations) > 0))
    if bool(wrong.any()):
        first = tuple(int(n) for n in wrong.nonzero()[0])
        raise UserError(
            f"Matrix {first} is no rotation: R R^T must be the identity, and det R 1, not -1 as of a reflection."
        )
