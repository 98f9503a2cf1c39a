r"""Spaces of curved states: angles on circles, and rotations in three dimensions.

A state is a point of a compact Riemannian manifold. Differences of points, network outputs and velocities are tangents
v at a point x, which are ordinary vectors and can be combined linearly. A `Manifold` says how points and tangents
belong together:

$$ y = \exp_x v, \qquad v = \log_x y, \qquad |\log_x y| = \mathrm{distance}(x, y), \qquad
   \gamma_t = \exp_x(t \log_x y), $$

where gamma is the shortest path, a geodesic, from x (t = 0) to y (t = 1). `noise` draws from the uniform law, the only
one that no rotation changes (Haar). Every number of a tangent is in radians.

Rotations are unit quaternions q = (w, x, y, z), and q and -q are the same rotation. A quaternion returns to the group
by a division by its norm, where a matrix needs a singular value decomposition. Its angle 2 atan2(|(x, y, z)|, w) is
exact to rounding at every angle, pi included, where the logarithm of a matrix divides by sin(angle) = 0. A state and a
tangent have equally many axes, so one `expand` serves both. Matrices enter by `quaternions` and leave by `matrices`.

Symbols: B number of samples, x and y points, v tangent, q quaternion, R rotation matrix, n number of rotations.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import ClassVar, Protocol

import torch
from torch import Tensor

from polydiff.core.parts.letters import uniform_numbers
from polydiff.core.parts.places import copied, counted, placed
from polydiff.core.parts.rotations import IDENTITY, angular, conjugate, matrices, product, turn
from polydiff.core.space import Space
from polydiff.core.streams import Device


class Manifold(Space, Protocol):
    """A space of curved states. As a `Space`, its `noise` draws points uniformly, and its `project` takes tangents.

    `dim` is the number of dimensions of the manifold. `sum` and `expand` take points and tangents. Padding holds the
    identity in points, and 0 in tangents.
    """

    @property
    def kind(self) -> str:
        """Name of the manifold: "circle" or "rotation"."""

    @property
    def spread(self) -> float:
        """Root mean square, per dimension, of the tangent that leads to a uniform draw, in radians."""

    def clean(self, x: Tensor) -> Tensor:
        """Return points (B, ...) on the manifold after rounding, in their one form, with the identity at padding."""

    def off(self, x: Tensor) -> Tensor:
        """Return how far numbers are from those that a point may have, (B, ...): 0 for points, to rounding."""

    def exp(self, x: Tensor, v: Tensor) -> Tensor:
        """Return exp_x v: the points that geodesics with the initial velocities v reach from x in unit time."""

    def log(self, x: Tensor, y: Tensor) -> Tensor:
        """Return log_x y: the shortest tangents at x that lead to y; which of several, if several are shortest."""

    def embed(self, x: Tensor) -> Tensor:
        """Return points as smooth coordinates without jumps, (B, ..., E), 0 at padding: what a network should see."""

    def tangent(self, x: Tensor, ambient: Tensor) -> Tensor:
        """Return the tangents at x that are the tangential parts of vectors (B, ..., E) of the space of `embed`."""

    def repeat(self, n: int) -> Manifold:
        """Return the space of n copies of the batch."""

    def to(self, device: Device) -> Manifold:
        """Return the same space on another device."""


def geodesic(space: Manifold, x: Tensor, y: Tensor, t: Tensor) -> Tensor:
    """Return the points at shares t of the shortest paths from x (t = 0) to y (t = 1).

    Arguments:
        space: Where the points are.
        x: First ends.
        y: Last ends, of the same shape.
        t: Shares, () or (B,).
    """
    return space.exp(x, space.expand(t) * space.log(x, y))


def wrapped(angles: Tensor) -> Tensor:
    """Return angles in (-pi, pi] that differ from the given ones by multiples of 2 pi.

    Angles in this range are returned as they are, bit for bit, so the function is idempotent in every precision.
    """
    turned = angles - 2 * math.pi * torch.ceil((angles - math.pi) / (2 * math.pi))
    rounded = torch.where(turned <= -math.pi, math.pi, turned.clamp(max=math.pi))
    return torch.where((angles > -math.pi) & (angles <= math.pi), angles, rounded)


@dataclass(frozen=True, eq=False)
class TorusSpace:
    """Angles in (-pi, pi], such as torsions and directions: a product of circles.

    A state has the shape (B, *shape), as has a tangent. The coordinates of `embed` are cosine and sine.

    Arguments:
        batch: Number of samples B.
        shape: Shape of one sample.
        mask: True at angles, False at padding, (B, *shape); None: no padding.
        device: Device of the states.
        dtype: Precision of the states.
    """

    batch: int
    shape: tuple[int, ...]
    mask: Tensor | None = None
    device: Device = "cpu"
    dtype: torch.dtype = torch.float32

    kind: ClassVar[str] = "circle"
    spread: ClassVar[float] = math.pi / math.sqrt(3)

    @property
    def state_shape(self) -> tuple[int, ...]:
        """Shape (B, *shape) of a state."""
        return self.batch, *self.shape

    @cached_property
    def counts(self) -> list[int]:
        """Number of angles of each sample as integers, cached to read them from the device only once."""
        return counted(self.mask, self.batch, self.shape)

    @property
    def dim(self) -> Tensor:
        return torch.tensor(self.counts, device=self.device, dtype=self.dtype)

    def noise(self, generators: Sequence[torch.Generator]) -> Tensor:
        u = placed(uniform_numbers(generators, self.counts, self.device), self.mask, self.state_shape)
        return self.clean((math.pi * (1 - 2 * u)).to(self.dtype))

    def clean(self, x: Tensor) -> Tensor:
        return self.project(wrapped(x))

    def off(self, x: Tensor) -> Tensor:
        return self.project((x.abs() - math.pi).clamp(min=0))

    def project(self, x: Tensor) -> Tensor:
        return x if self.mask is None else torch.where(self.mask, x, 0)

    def exp(self, x: Tensor, v: Tensor) -> Tensor:
        return self.clean(x + v)

    def log(self, x: Tensor, y: Tensor) -> Tensor:
        return self.clean(y - x)

    def embed(self, x: Tensor) -> Tensor:
        return torch.stack([self.project(x.cos()), self.project(x.sin())], -1)

    def tangent(self, x: Tensor, ambient: Tensor) -> Tensor:
        return self.project(x.cos() * ambient[..., 1] - x.sin() * ambient[..., 0])

    def expand(self, c: Tensor) -> Tensor:
        return c.reshape(-1, *(1 for _ in self.shape)) if c.ndim else c

    def sum(self, x: Tensor) -> Tensor:
        return self.project(x).flatten(1).sum(1) if self.shape else self.project(x)

    def to(self, device: Device) -> TorusSpace:
        return replace(self, mask=None if self.mask is None else self.mask.to(device), device=device)

    @cached_property
    def repeated(self) -> dict[int, TorusSpace]:
        """n -> `repeat(n)`, cached because guidance repeats a batch at every evaluation."""
        return {}

    def repeat(self, n: int) -> TorusSpace:
        if n not in self.repeated:
            self.repeated[n] = replace(self, batch=n * self.batch, mask=copied(self.mask, n))
        return self.repeated[n]


@dataclass(frozen=True, eq=False)
class RotationSpace:
    r"""Rotations in three dimensions, such as the orientations of rigid bodies: a product of groups SO(3).

    A state has the shape (B, n, 4): unit quaternions with w >= 0. A tangent has the shape (B, n, 3): the rotation
    vector v, in the frame of the body, so that exp_q v = q exp(v). The distance is the angle of the rotation from one
    to the other; multiplication from either side leaves it as it is. The coordinates of `embed` are the 9 numbers of
    R, row by row. The angle of a uniform draw has the density (1 - cos a) / pi, so E a^2 = pi^2 / 3 + 2.

    Arguments:
        batch: Number of samples B.
        count: n.
        mask: True at rotations, False at padding, (B, n); None: no padding.
        device: Device of the states.
        dtype: Precision of the states.
    """

    batch: int
    count: int
    mask: Tensor | None = None
    device: Device = "cpu"
    dtype: torch.dtype = torch.float32

    kind: ClassVar[str] = "rotation"
    spread: ClassVar[float] = math.sqrt((math.pi**2 / 3 + 2) / 3)

    @property
    def state_shape(self) -> tuple[int, ...]:
        """Shape (B, n, 4) of a state."""
        return self.batch, self.count, 4

    @cached_property
    def counts(self) -> list[int]:
        """Number of rotations of each sample as integers, cached to read them from the device only once."""
        return counted(self.mask, self.batch, (self.count,))

    @property
    def dim(self) -> Tensor:
        return 3 * torch.tensor(self.counts, device=self.device, dtype=self.dtype)

    def noise(self, generators: Sequence[torch.Generator]) -> Tensor:
        """Draw uniform rotations by three uniform numbers each (Shoemake, Graphics Gems III, 1992)."""
        numbers = uniform_numbers(generators, [3 * count for count in self.counts], self.device)
        shape = (self.batch, self.count, 3)
        u, *turns = placed([part.reshape(-1, 3) for part in numbers], self.mask, shape).unbind(-1)
        first, second = (2 * math.pi * part for part in turns)
        inner, outer = (1 - u).sqrt(), u.sqrt()
        q = torch.stack([outer * second.cos(), inner * first.sin(), inner * first.cos(), outer * second.sin()], -1)
        return self.clean(q.to(self.dtype))

    def clean(self, x: Tensor) -> Tensor:
        norm = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
        exact = (norm - 1).abs() <= 2 * torch.finfo(x.dtype).eps  # so that cleaning twice changes no bit
        unit = torch.where(exact, x, x / norm)
        unit = torch.where(unit[..., :1] < 0, -unit, unit)
        return unit if self.mask is None else torch.where(self.mask[..., None], unit, unit.new_tensor(IDENTITY))

    def off(self, x: Tensor) -> Tensor:
        return self.project((torch.linalg.vector_norm(x, dim=-1) - 1).abs())

    def project(self, x: Tensor) -> Tensor:
        if self.mask is None:
            return x
        return torch.where(self.mask.reshape(*self.mask.shape, *(1 for _ in x.shape[2:])), x, 0)

    def exp(self, x: Tensor, v: Tensor) -> Tensor:
        return self.clean(product(x, turn(v)))

    def log(self, x: Tensor, y: Tensor) -> Tensor:
        return self.project(angular(product(conjugate(x), y)))

    def embed(self, x: Tensor) -> Tensor:
        return self.project(matrices(x).flatten(-2))

    def tangent(self, x: Tensor, ambient: Tensor) -> Tensor:
        body = matrices(x).mT @ ambient.unflatten(-1, (3, 3))
        skew = (body - body.mT) / 2
        return self.project(torch.stack([skew[..., 2, 1], skew[..., 0, 2], skew[..., 1, 0]], -1))

    def expand(self, c: Tensor) -> Tensor:
        return c[:, None, None] if c.ndim else c

    def sum(self, x: Tensor) -> Tensor:
        return self.project(x).flatten(1).sum(1)

    def to(self, device: Device) -> RotationSpace:
        return replace(self, mask=None if self.mask is None else self.mask.to(device), device=device)

    @cached_property
    def repeated(self) -> dict[int, RotationSpace]:
        """n -> `repeat(n)`, cached because guidance repeats a batch at every evaluation."""
        return {}

    def repeat(self, n: int) -> RotationSpace:
        if n not in self.repeated:
            self.repeated[n] = replace(self, batch=n * self.batch, mask=copied(self.mask, n))
        return self.repeated[n]
