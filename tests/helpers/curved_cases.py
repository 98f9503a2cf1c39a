r"""Exact laws and velocities of angles and rotations, for the geodesic paths to uniform draws.

A state of level l lies within the distance l pi of its clean state, and there its law given the clean state is known.
So the mean tangent E[log_x x_0 | x] is an integral over a ball around x. For mixtures of von Mises laws on a torus it
is a sum (`TorusMixture`), and for rotations whose law depends on their angle alone an integral over two numbers
(`RadialRotations`).

Symbols: B batch size, n number of angles, K components, l level, m mean tangent.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from scipy.special import ive
from torch import Tensor

from polydiff.core.conditions import Condition
from polydiff.core.parts.manifolds import Manifold
from polydiff.core.parts.product import WHOLE, Parts, Product
from polydiff.core.parts.rotations import angular
from polydiff.parts.geodesic import FLOWS, Geodesic
from polydiff.parts.network import Levels
from polydiff.parts.sampling.execute import Held, JointRow, run_rows
from polydiff.parts.schedule import level_grid

TERMS = 60
"""Number of terms of the Fourier series of a von Mises law."""


@dataclass(frozen=True, eq=False)
class TorusMixture:
    r"""A mixture of K products of von Mises laws of n angles.

    $$ p(\theta) = \sum_k w_k \prod_i \frac{1}{2 \pi} \Bigl(1 + 2 \sum_j c_{kij} \cos j(\theta_i - \mu_{ki})\Bigr),
       \qquad c_{kij} = I_j(\kappa_{ki}) / I_0(\kappa_{ki}). $$

    Arguments:
        weights: w, (K,).
        means: mu, (K, n), radians.
        kappas: kappa, (K, n).
    """

    weights: Tensor
    means: Tensor
    kappas: Tensor

    @classmethod
    def of(cls, weights: Any, means: Any, kappas: Any) -> TorusMixture:
        """Return a mixture from lists of numbers."""
        return cls(*(torch.tensor(each, dtype=torch.float64) for each in (weights, means, kappas)))

    @property
    def orders(self) -> Tensor:
        """j = 1, 2, ..., (TERMS,)."""
        return torch.arange(1, TERMS + 1, dtype=torch.float64)

    @property
    def coefficients(self) -> Tensor:
        """c, (K, n, TERMS)."""
        kappas = self.kappas[..., None].numpy()
        return torch.from_numpy(ive(self.orders.numpy(), kappas) / ive(0, kappas))

    def mean_tangent(self, x: Tensor, level: float) -> Tensor:
        """Return m, (B, n), of angles x (B, n): integrals of p and of d p over the arc |d| < l pi around x."""
        a, j, c = math.pi * level, self.orders, self.coefficients
        phase = j * (x[:, None, :, None] - self.means[..., None])
        mass = a + 2 * (c * phase.cos() * (j * a).sin() / j).sum(-1)
        moment = 2 * (c * phase.sin() * ((j * a).sin() / j**2 - a * (j * a).cos() / j)).sum(-1)
        chance = torch.softmax(self.weights.log() + mass.clamp(min=1e-300).log().sum(-1), -1)
        return -(chance[..., None] * moment / mass).sum(1)

    def cdf(self, angle: Tensor, which: int = 0, weights: Tensor | None = None) -> Tensor:
        """Return the integral of the law of one angle from -pi to `angle`, which may lie beyond pi.

        Arguments:
            angle: Any shape.
            which: Number of the angle, of n.
            weights: Weights of the components, (K,); None: w.
        """
        w, j = self.weights if weights is None else weights, self.orders
        start, end = (
            j * (each[..., None, None] - self.means[:, which, None]) for each in (torch.tensor(-math.pi), angle)
        )
        series = (self.coefficients[:, which] / j * (end.sin() - start.sin())).sum(-1)
        return ((angle[..., None] + math.pi) / (2 * math.pi) + series / math.pi) @ w

    def given(self, known: float, which: int) -> Tensor:
        """Return the weights (K,) of the components if one angle is known."""
        kappa, mean = self.kappas[:, which], self.means[:, which]
        log_p = kappa * (known - mean).cos() - torch.special.i0(kappa).log()
        return torch.softmax(self.weights.log() + log_p, -1)


@dataclass(frozen=True, eq=False)
class RadialRotations:
    r"""Rotations whose density f, with respect to the uniform law, depends on their angle alone.

    The law of x given x_0 is uniform in the direction of the rotation r = x_0^{-1} x, whose angle is l times that of a
    uniform draw. By symmetry m is parallel to the axis of x, with the length

    $$ \frac{1}{Z} \int_0^\pi \frac{1 - \cos s}{\pi} \int_{-1}^1 -l s c\, f(\omega_0)\, \frac{dc}{2}\, ds, \qquad
       \cos\tfrac{\omega_0}{2} = \cos\tfrac{\omega}{2}\cos\tfrac{l s}{2} + c \sin\tfrac{\omega}{2}\sin\tfrac{l s}{2}, $$

    with Z the same integral without -l s c,
    where omega is the angle of x and c the cosine between the axes of x and r.

    Arguments:
        density: f as a function of cos(omega / 2)^2, which need not be normalised.
        nodes: Gauss-Legendre nodes of each integral.
    """

    density: Callable[[Tensor], Tensor]
    nodes: int = 48

    @property
    def rule(self) -> tuple[Tensor, Tensor]:
        """Nodes and weights of Gauss-Legendre integration over (-1, 1), (nodes,) each."""
        at, weights = np.polynomial.legendre.leggauss(self.nodes)
        return torch.from_numpy(at), torch.from_numpy(weights)

    def mean_tangent(self, q: Tensor, level: float) -> Tensor:
        """Return m, (B, n, 3), of quaternions (B, n, 4)."""
        v = angular(q)
        angle = torch.linalg.vector_norm(v, dim=-1, keepdim=True)
        c, weights = self.rule
        s = (math.pi * (c + 1) / 2)[:, None]
        half = angle[..., None] / 2
        cosine = half.cos() * (level * s / 2).cos() + c * half.sin() * (level * s / 2).sin()
        mass = weights[:, None] * weights * (1 - s.cos()) * self.density(cosine**2)
        length = (-level * s * c * mass).sum((-2, -1)) / mass.sum((-2, -1))
        return length[..., None] * v / angle.clamp(min=1e-300)

    def cdf(self, angle: Tensor) -> Tensor:
        """Return the probability of a smaller angle, for angles (B,) in [0, pi]."""
        at, weights = self.rule

        def mass(end: Tensor) -> Tensor:
            a = end[..., None] * (at + 1) / 2
            return end / 2 * (weights * (1 - a.cos()) * self.density((a / 2).cos() ** 2)).sum(-1)

        return mass(angle) / mass(torch.tensor(math.pi, dtype=torch.float64))


def uniform_angle_cdf(angle: Tensor) -> Tensor:
    """Return the probability that a uniform rotation has a smaller angle."""
    return (angle - angle.sin()) / math.pi


@dataclass(frozen=True, eq=False)
class ExactGeodesic:
    """The network whose direction is the exact one, as a `polydiff.parts.guidance.Network`.

    Arguments:
        law: Gives the mean tangent.
    """

    law: TorusMixture | RadialRotations

    def __call__(self, x: Parts, levels: Levels, space: Product, cond: Condition | None = None) -> dict[str, Tensor]:
        """Return F whose tangential part is u."""
        own: Any = space.parts[WHOLE]
        level = float(levels[WHOLE])
        return {WHOLE: pushed(own, x[WHOLE], self.law.mean_tangent(x[WHOLE], level) / (level * own.spread))}


def pushed(space: Manifold, x: Tensor, v: Tensor) -> Tensor:
    """Return the derivative of the embedding along tangents v, whose tangential part is v again."""
    one = torch.ones((), dtype=x.dtype)
    _, moved = torch.autograd.functional.jvp(lambda s: space.embed(space.exp(x, s * v)), one - 1, one)
    return moved


def sampled(
    law: TorusMixture | RadialRotations,
    space: Manifold,
    x: Tensor,
    sampler: str,
    steps: int,
    held: Held | None = None,
    generators: Any = (),
) -> Tensor:
    """Return the samples that a plan with the exact network makes of given draws of the prior.

    Arguments:
        law: The law of the data.
        space: Where they live.
        x: Draws of the prior.
        sampler: Name of the sampler.
        steps: Number of steps on linear levels.
        held: Known values; None: none.
        generators: B random streams, for known values.
    """
    rows = [JointRow({WHOLE: r}, {WHOLE: r.at}) for r in FLOWS[sampler](level_grid(lambda t: t, steps), 1)]
    product = Product({WHOLE: space})
    *_, last = run_rows(rows, ExactGeodesic(law), {WHOLE: Geodesic()}, {WHOLE: x}, product, None, generators, held)
    return last.x[WHOLE]
