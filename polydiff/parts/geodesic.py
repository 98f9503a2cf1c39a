r"""The geodesic kernel: angles and rotations by Riemannian flow matching.

A corrupted state lies on the shortest path from a clean state to a uniform draw x_1, at the share l of its length:

$$ x = \exp_{x_0}(l \log_{x_0} x_1), \qquad \frac{dx}{dl} = -\frac{\log_x x_0}{l}. $$

The states of all levels follow the mean velocity, so sampling solves (Chen & Lipman, 2024,
https://arxiv.org/abs/2302.03660)

$$ \frac{dx}{dl} = -\frac{E[\log_x x_0 \mid x]}{l} = -\sigma u(x, l), $$

from l = 1 to 0. The network predicts u, the mean direction to the data. sigma is the root mean square of a tangent to a
uniform draw, so the elements of u have unit variance at l = 1 and stay bounded at every level, by pi / sigma. The mean
tangent E[log_x x_0 | x] = l sigma u, in contrast, vanishes with l, and a network trained on it would learn nothing
about the low levels that decide the details.

The network sees smooth coordinates of the state, cosine and sine of angles, or the 9 numbers of rotation matrices, and
gives as many numbers, of which the tangential part is u. At one state, tangents are vectors, so guidance combines them
linearly. There is no bound on the likelihood: the states of a path do not determine where it began.

Symbols: l level, x_0 clean state, x corrupted state (R, ...), sigma spread of tangents, u direction, F output of the
network, B number of samples.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, ClassVar

import torch
from torch import Tensor

from polydiff.core.parts.manifolds import Manifold, geodesic
from polydiff.core.registry import Registry
from polydiff.core.streams import stream
from polydiff.parts.kernel import KernelEntry, Source
from polydiff.parts.process import register_kernel
from polydiff.support.errors import UserError

LEAST = 1e-4
"""Level below which the loss no longer divides by the level, since x - x_0 is then lost in float32's rounding."""
OUTSIDE = 1e-3
"""Largest distance of data from the manifold (`Manifold.off`)."""
WANTED = {
    "circle": "angles must be in radians, from -pi to pi (polydiff.core.parts.manifolds.wrapped)",
    "rotation": "rotations must be unit quaternions (polydiff.core.parts.rotations.quaternions makes them of matrices)",
}
"""Kind of a manifold -> what its clean states must be."""
SUITS = {
    "schedule": "linear",
    "loss.weighting": "simple",
    "loss.times": "uniform",
    "sample.sampler": "midpoint",
    "sample.steps": 16,
    "sample.spacing": None,
}
"""Defaults of a process of angles or rotations."""


@dataclass(frozen=True)
class Move:
    """A step along the geodesic in the direction that the network gives.

    Arguments:
        at: Level of the state that the network sees.
        to: Level after the step.
        start: Level of an earlier, remembered state from which the step starts; None: the present state.
        remember: Whether the present state is remembered.
    """

    at: float
    to: float
    start: float | None = None
    remember: bool = False


FLOWS: Registry[Callable[..., Sequence[Any]]] = Registry("sampler of angles and rotations")
"""Name -> function (levels, sites, **options) -> rows."""


@FLOWS.register("euler")
def euler(levels: Sequence[float], sites: int) -> list[Move]:
    """Euler's method: one call of the network a step, order 1.

    Arguments:
        levels: Falling levels, the last 0.
        sites: Largest number of dimensions; unused.
    """
    return [Move(l, s) for l, s in pairwise(levels)]


@FLOWS.register("midpoint")
def midpoint(levels: Sequence[float], sites: int) -> list[Move]:
    """The midpoint method: two calls of the network a step, order 2.

    The direction at the middle of a step is applied at its beginning, in the frame of the body for rotations (Munthe-
    Kaas, 1998).

    Arguments:
        levels: Falling levels, the last 0.
        sites: Largest number of dimensions; unused.
    """
    rows = []
    for l, s in pairwise(levels):
        middle = (l + s) / 2
        rows += [Move(l, middle, remember=True), Move(middle, s, start=l)]
    return rows


@dataclass(frozen=True)
class Geodesic:
    """States that move to uniform draws along geodesics."""

    top: ClassVar[float] = 1.0
    conditioned: ClassVar[bool] = True

    def prior(self, space: Manifold, generators: Sequence[torch.Generator]) -> Tensor:
        return space.noise(generators)

    def corrupt(self, x_0: Tensor, level: Tensor, space: Manifold, generators: Sequence[torch.Generator]) -> Tensor:
        return geodesic(space, x_0, space.noise(generators), level.to(x_0))

    def hold(self, x_0: Tensor, level: Tensor, space: Manifold, generators: Sequence[torch.Generator]) -> Tensor:
        """Return known values at levels (B,), all on one path: a stream of its own gives the same end at each call."""
        own = [stream(generator.initial_seed(), "held", device=generator.device) for generator in generators]
        return self.corrupt(x_0, level, space, own)

    def put(self, x: Tensor, known: Tensor, mask: Tensor, space: Manifold) -> Tensor:
        return torch.where(mask, known, x)

    def enter(self, x: Tensor, level: Tensor, space: Manifold) -> Tensor:
        return space.embed(x)

    def number(self, level: Tensor) -> Tensor:
        return torch.logit(level.double(), 1e-3)

    def velocity(self, f: Tensor, x: Tensor, space: Manifold) -> Tensor:
        """Return sigma u, the tangents at x that a unit of level takes towards the data, from the network's output."""
        return space.spread * space.tangent(x, f.to(x))

    def loss(
        self, f: Tensor, x_0: Tensor, x: Tensor, level: Tensor, slope: Tensor, space: Manifold, weighting: str
    ) -> Tensor:
        known = space.log(x, x_0) / space.expand(level.to(x).clamp(min=LEAST))
        error = (self.velocity(f, x, space) - known) / space.spread
        return space.sum(error * error) / space.dim.clamp(min=1)  # a molecule may have no torsion

    def step(
        self,
        row: Move,
        f: Tensor,
        x: Tensor,
        space: Manifold,
        generators: Sequence[torch.Generator],
        memory: list[Any],
    ) -> Tensor:
        origin, level = (x, row.at) if row.start is None else (memory.pop(), row.start)
        if row.remember:
            memory.append(x)
        return space.exp(origin, (level - row.to) * self.velocity(f, x, space))

    def guess(self, f: Tensor, x: Tensor, level: Tensor, space: Manifold) -> Tensor:
        return space.exp(x, space.expand(level.to(x)) * self.velocity(f, x, space))

    def check(self, x_0: Tensor, space: Manifold, name: str) -> None:
        if not x_0.is_floating_point() or not bool(x_0.isfinite().all()):
            raise UserError(f"{name} ({x_0.dtype}) must hold finite real numbers.")
        if bool((space.off(x_0) > OUTSIDE).any()):
            raise UserError(f"{name}: {WANTED[space.kind]}; a number is off by {float(space.off(x_0).max()):.3g}.")


def entry(kind: str, summary: str) -> KernelEntry:
    """Return the entry of the kernel for one kind of manifold.

    Arguments:
        kind: `Manifold.kind` of the spaces that it takes.
        summary: Description of one line.
    """

    def make(source: Source) -> Geodesic:
        if source.space.kind != kind:
            raise UserError(f"process={kind}: the states of these data need process={source.space.kind}.")
        return Geodesic()

    return KernelEntry(make, kind, FLOWS, ("simple",), SUITS, summary, bounded=False, sampler="euler")


register_kernel("circle", entry("circle", "angles that move along circles to uniform angles"))
register_kernel("rotation", entry("rotation", "rotations that turn about fixed axes to uniform rotations"))
