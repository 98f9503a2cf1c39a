r"""Diffusion models that are known exactly: mixtures of Gaussians, and classifier-free guidance between them.

$$ p(x_0) = \sum_k w_k\, \mathcal N(x_0; \mu_k, U_k V_k U_k^T), \qquad
   p(x, s) = \sum_k w_k\, \mathcal N(x; \mu_k, U_k (V_k + s^2) U_k^T), $$

so the score, the density and D = E[x_0 | x] = x + s^2 score are sums over components. A perfectly trained network would
return this D, so with it all error of a sample is that of the sampler. If U_k spans a subspace, such as positions with
zero mean, noise and data lie on it, and densities are densities on it.

Symbols: x states, as vectors of d numbers, s noise level, K components, w_k their weights, mu_k means, U_k orthonormal
columns (d x r), V_k variances along them, B batch size.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

import torch
from torch import Tensor

from polydiff.core.conditions import Condition
from polydiff.core.space import Space, State, normal
from polydiff.gaussian.schedule.base import Schedule
from polydiff.gaussian.schedule.closed_forms import EDM


class Exact(Protocol):
    """A density of vectors that is known at every noise level."""

    def mean(self, x: Tensor, s: Tensor, label: Tensor | None = None) -> Tensor:
        """Return E[x_0 | x], (B, d), in float64.

        Arguments:
            x: Noisy vectors, (B, d).
            s: Noise levels, (B,), or (1,) if all vectors share one.
            label: Class of each vector, (B,), -1 for "not given"; None: no class is given.
        """

    def score(self, x: Tensor, s: Tensor, label: Tensor | None = None) -> Tensor:
        """Return grad log p(x, s), (B, d), in float64. Arguments as in `mean`."""


@dataclass(eq=False)
class GaussianMixture:
    """A mixture of Gaussians and its denoiser E[x_0 | x] (`Denoise`), on spaces whose samples all have d numbers.

    It computes in float64 and returns estimates in the state's precision.

    Arguments:
        means: mu, shape (K, d).
        variances: V, shape (K, r), positive.
        weights: w, shape (K,), normalised by the constructor; None: equal.
        basis: U, orthonormal columns: (d, r) if all components share them, which is the fastest, or (K, d, r); None:
            the unit vectors.
        schedule: Gives samplers the range of noise levels.
        labels: Class of each component, shape (K,), for conditions {"label": (B,)}; None: no classes.
        calls: Number of calls of the denoiser.

    Raises:
        ValueError: The variances are not positive, or not one row a component.
    """

    means: Tensor
    variances: Tensor
    weights: Tensor | None = None
    basis: Tensor | None = None
    schedule: Schedule = field(default_factory=EDM)
    labels: Tensor | None = None
    calls: int = 0

    def __post_init__(self) -> None:
        self.means, self.variances = self.means.double(), self.variances.double()
        k = len(self.means)
        given = torch.ones(k) if self.weights is None else self.weights
        self.share = given.double() / given.double().sum()
        if self.variances.shape[0] != k or not bool((self.variances > 0).all()):
            raise ValueError("variances must be positive, with one row for each component.")
        if self.basis is not None:
            self.basis = self.basis.double()
        self.centres = self.rotate(self.means, torch.arange(k))

    @classmethod
    def from_covariances(
        cls, means: Tensor, covariances: Tensor, weights: Tensor | None = None, projector: Tensor | None = None
    ) -> GaussianMixture:
        """Return the mixture with these covariances, on the subspace of an orthogonal projector P.

        Its data are P x_0: means and covariances are projected.

        Arguments:
            means: Means, (K, d).
            covariances: Covariances, (K, d, d).
            weights: Weights, (K,); None: equal.
            projector: P, (d, d); None: the identity.
        """
        means, covariances = means.double(), covariances.double()
        frame = torch.eye(means.shape[1], dtype=torch.float64) if projector is None else span(projector.double())
        values, vectors = torch.linalg.eigh(frame.mT @ covariances @ frame)
        return cls(means @ frame @ frame.mT, values, weights, frame @ vectors)

    @property
    def dim(self) -> int:
        """r, the dimension of the subspace."""
        return self.variances.shape[1]

    @property
    def centre(self) -> Tensor:
        """E[x_0], shape (d,)."""
        return self.share @ self.means

    @property
    def sigma_data(self) -> float:
        """Standard deviation of the data: root mean variance over the r dimensions."""
        spread = (self.means - self.centre).square().sum(1) + self.variances.sum(1)
        return math.sqrt(float(self.share @ spread) / self.dim)

    def subset(self, components: Sequence[int]) -> GaussianMixture:
        """Return the mixture of the components with these indices."""
        chosen = torch.as_tensor(components)
        basis = self.basis[chosen] if self.basis is not None and self.basis.ndim == 3 else self.basis
        labels = None if self.labels is None else self.labels[chosen]
        return replace(
            self, means=self.means[chosen], variances=self.variances[chosen], weights=self.share[chosen],
            basis=basis, labels=labels, calls=0,
        )  # fmt: skip

    def moved(self, shift: Tensor, scale: float = 1.0) -> GaussianMixture:
        """Return the mixture of scale x_0 + shift; shift is (d,)."""
        return replace(self, means=scale * self.means + shift, variances=scale**2 * self.variances, calls=0)

    def rotate(self, x: Tensor, k: Tensor | None = None) -> Tensor:
        """Return U_k^T x of x (B, d): for all k, broadcasting to (B, K, r), or for the k of each x if given, (B, r)."""
        if self.basis is None:
            return x[:, None] if k is None else x
        if self.basis.ndim == 2:
            y = x @ self.basis
            return y[:, None] if k is None else y
        if k is None:
            return torch.einsum("bd,kdr->bkr", x, self.basis)
        return torch.einsum("bd,bdr->br", x, self.basis[k])

    def back(self, y: Tensor, weights: Tensor) -> Tensor:
        """Return sum_k weights_k U_k y_k, (B, d), for y (B, K, r) and weights (B, K)."""
        if self.basis is not None and self.basis.ndim == 3:
            return torch.einsum("bkr,kdr->bd", weights[..., None] * y, self.basis)
        mixed = (weights[:, None] @ y)[:, 0]
        return mixed if self.basis is None else mixed @ self.basis.mT

    def joint(self, x: Tensor, s: Tensor, label: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        """Return log w_k N_k(x), (B, K), and U_k^T (x - mu_k) and V_k + s^2, each broadcasting to (B, K, r)."""
        y = self.rotate(x) - self.centres
        total = self.variances + s.double()[:, None, None] ** 2
        logs = self.share.log() - (y * y / total + (2 * math.pi * total).log()).sum(-1) / 2
        if label is not None and self.labels is not None:
            other = (self.labels != label[:, None]) & (label[:, None] >= 0)
            logs = logs.masked_fill(other, -math.inf)
        return logs, y, total

    def log_prob(self, x: Tensor, s: Tensor, label: Tensor | None = None) -> Tensor:
        """Return log p(x, s) in nats, (B,), for x (B, d) on the subspace; with a label, log p(x, label, s)."""
        return self.joint(x.double(), s, label)[0].logsumexp(-1)

    def score(self, x: Tensor, s: Tensor, label: Tensor | None = None) -> Tensor:
        logs, y, total = self.joint(x.double(), s, label)
        return -self.back(y / total, logs.softmax(-1))

    def mean(self, x: Tensor, s: Tensor, label: Tensor | None = None) -> Tensor:
        logs, y, total = self.joint(x.double(), s, label)
        r = logs.softmax(-1)
        return r @ self.means + self.back(self.variances / total * y, r)

    def __call__(self, x: State, sigma: Tensor, space: Space, cond: Condition | None = None) -> State:
        self.calls += 1
        return estimate(self, x, sigma, space, None if cond is None else cond.get("label"))

    def draw(self, generators: Sequence[torch.Generator]) -> Tensor:
        """Return draws of x_0, (B, d), float64, one from each of B generators."""
        k = torch.cat([torch.multinomial(self.share, 1, generator=g) for g in generators])
        y = self.variances[k].sqrt() * normal(generators, (self.dim,), "cpu", torch.float64)
        if self.basis is None:
            return self.means[k] + y
        basis = self.basis if self.basis.ndim == 2 else self.basis[k]
        return self.means[k] + (basis @ y[..., None])[..., 0]


@dataclass(eq=False)
class Guided:
    """Exact classifier-free guidance between a whole mixture and a part of it: D = D_u + w (D_c - D_u).

    Arguments:
        whole: The unconditional model, D_u.
        part: The conditional model, D_c.
        scale: w.
        calls: Number of calls of the guided denoiser.
    """

    whole: GaussianMixture
    part: GaussianMixture
    scale: float
    calls: int = 0

    @property
    def schedule(self) -> Schedule:
        return self.whole.schedule

    @property
    def sigma_data(self) -> float:
        return self.whole.sigma_data

    @property
    def dim(self) -> int:
        """r, the dimension of the subspace."""
        return self.whole.dim

    def mean(self, x: Tensor, s: Tensor, label: Tensor | None = None) -> Tensor:
        return torch.lerp(self.whole.mean(x, s), self.part.mean(x, s), self.scale)

    def score(self, x: Tensor, s: Tensor, label: Tensor | None = None) -> Tensor:
        return torch.lerp(self.whole.score(x, s), self.part.score(x, s), self.scale)

    def __call__(self, x: State, sigma: Tensor, space: Space, cond: Condition | None = None) -> State:
        self.calls += 1
        return estimate(self, x, sigma, space, None)


def estimate(exact: Exact, x: State, sigma: Tensor, space: Space, label: Tensor | None) -> State:
    """Return E[x_0 | x] in the shape and precision of a state.

    Arguments:
        exact: The density.
        x: Noisy states, in any shape of B d numbers.
        sigma: Noise levels, () or (B,).
        space: Where x lives.
        label: Class of each sample, shape (B,), -1 for "not given"; None: no class is given.
    """
    flat, s = x.reshape(space.batch, -1).double(), sigma.double().reshape(-1)
    if bool((s == s[0]).all()):  # as in a sampler: terms of s alone are computed once
        s = s[:1]
    return exact.mean(flat, s, label).reshape(x.shape).to(x.dtype)


def projector(space: Space, like: State) -> Tensor:
    """Return the matrix (d, d) of a space's projector, by projecting the unit vectors of the first sample of `like`."""
    columns = []
    for i in range(like.numel() // space.batch):
        unit = torch.zeros_like(like).reshape(space.batch, -1)
        unit[:, i] = 1
        columns.append(space.project(unit.reshape(like.shape)).reshape(space.batch, -1)[0])
    return torch.stack(columns, 1).double()


def span(p: Tensor) -> Tensor:
    """Return orthonormal columns (d, r) that span the range of an orthogonal projector (d, d)."""
    values, vectors = torch.linalg.eigh(p)
    columns: Tensor = vectors[:, values > 0.5]
    return columns
