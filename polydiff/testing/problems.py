"""Problems for measuring samplers: exact models, each determined by a seed, in three suites.

Each has mean 0 and a given standard deviation. Samplers may be tuned on the suite "core". "held-out" has other seeds,
spectra and dimensions, and nothing is tuned on it. "shifted" has means that are not 0.

Symbols: d numbers a state, K components.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache

import torch
from torch import Tensor

from polydiff.core.space import Euclidean, Space, State, normal
from polydiff.core.streams import Device, stream
from polydiff.gaussian.schedule.base import Schedule
from polydiff.testing.analytic import GaussianMixture, Guided


@dataclass(frozen=True)
class Centred(Euclidean):
    """Point clouds (N, width) with zero mean: the simplest space that is a proper subspace of R^d."""

    @property
    def dim(self) -> Tensor:
        return super().dim - self.shape[1]

    def noise(self, generators: Sequence[torch.Generator]) -> State:
        return self.project(super().noise(generators))

    def project(self, x: State) -> State:
        return x - x.mean(1, keepdim=True)

    def to(self, device: Device) -> Centred:
        return Centred(self.batch, self.shape, device, self.dtype)


@dataclass(frozen=True)
class Problem:
    """An exact model with the shape of its states.

    Arguments:
        name: Name of the problem.
        exact: The model.
        shape: Shape of one state.
        centred: Whether states are point clouds with zero mean.
    """

    name: str
    exact: GaussianMixture | Guided
    shape: tuple[int, ...]
    centred: bool = False

    def space(self, batch: int, dtype: torch.dtype = torch.float32) -> Space:
        """Return the space of a batch."""
        return (Centred if self.centred else Euclidean)(batch, self.shape, dtype=dtype)

    def denoise(self, schedule: Schedule) -> GaussianMixture | Guided:
        """Return a copy of the model with a schedule and no calls counted."""
        if isinstance(self.exact, Guided):
            return replace(self.exact, whole=replace(self.exact.whole, schedule=schedule), calls=0)
        return replace(self.exact, schedule=schedule, calls=0)


def gauss(seed: int, *shape: int) -> Tensor:
    """Return standard normal numbers of this shape, float64, that depend only on the seed."""
    return normal([stream(seed, "problem")], shape, "cpu", torch.float64)[0]


def uniform(seed: int, *shape: int) -> Tensor:
    """Return uniform numbers in (0, 1) of this shape, float64, that depend only on the seed."""
    return torch.rand(*shape, generator=stream(seed, "uniform"), dtype=torch.float64)


def rotations(seed: int, d: int, k: int = 1) -> Tensor:
    """Return random orthogonal matrices, (K, d, d), that depend only on the seed."""
    bases: Tensor = torch.linalg.qr(gauss(seed, k, d, d)).Q
    return bases


def standardised(mixture: GaussianMixture, std: float = 0.5) -> GaussianMixture:
    """Return a mixture shifted to mean 0 and scaled to a standard deviation."""
    centred = mixture.moved(-mixture.centre)
    return centred.moved(torch.zeros_like(mixture.centre), std / mixture.sigma_data)


def power_law(seed: int, d: int, exponent: float) -> GaussianMixture:
    """Return one Gaussian with variances V_i = i^-exponent in a random basis."""
    spectrum = torch.arange(1, d + 1, dtype=torch.float64) ** -exponent
    return standardised(GaussianMixture(torch.zeros(1, d), spectrum[None], basis=rotations(seed, d)[0]))


def ring(seed: int, modes: int, widths: tuple[float, float] = (0.075, 0.13)) -> GaussianMixture:
    """Return modes of unequal weight on a circle; before scaling its radius is 1, their widths lie in `widths`."""
    angle = 2 * math.pi * torch.arange(modes, dtype=torch.float64) / modes
    low, high = widths
    widths_2 = (low + (high - low) * uniform(seed, modes, 1)).square().expand(modes, 2)
    means = torch.stack([angle.cos(), angle.sin()], 1)
    return standardised(GaussianMixture(means, widths_2, 0.3 + uniform(seed + 1, modes)))


def clusters(
    seed: int, d: int, k: int, spread: float = 1.0, widest: float = 0.9, narrowest: float = 0.035, std: float = 0.5
) -> GaussianMixture:
    """Return anisotropic clusters, each with log-spaced standard deviations along its own random basis.

    Arguments:
        seed: Determines the mixture.
        d: Numbers a state.
        k: K.
        spread: Standard deviation of the means, before scaling.
        widest: Largest standard deviation within a cluster, before scaling.
        narrowest: Smallest standard deviation within a cluster, before scaling.
        std: Standard deviation of the data.
    """
    stds = torch.logspace(math.log10(widest), math.log10(narrowest), d, dtype=torch.float64)
    stds = stds * (0.7 + 0.6 * uniform(seed, k, 1))
    means, bases = spread * gauss(seed + 1, k, d), rotations(seed + 2, d, k)
    return standardised(GaussianMixture(means, stds**2, 0.3 + uniform(seed + 3, k), bases), std)


def cosines(side: int) -> Tensor:
    """Return the orthonormal two-dimensional cosine basis of side x side images, (d, d), d = side^2."""
    n, j = torch.arange(side, dtype=torch.float64)[:, None], torch.arange(side, dtype=torch.float64)
    one = torch.cos(math.pi * (n + 0.5) * j / side) * (2 / side) ** 0.5
    one[:, 0] /= 2**0.5
    return torch.kron(one, one)


def images(seed: int, side: int, k: int, std: float = 0.5) -> GaussianMixture:
    """Return a mixture of K kinds of images whose power falls about as 1 / f^2, differently for each kind.

    Arguments:
        seed: Determines the mixture.
        side: Pixels along each side.
        k: K.
        std: Standard deviation of the data.
    """
    f = torch.arange(side, dtype=torch.float64)
    f2 = (f[:, None] ** 2 + f**2).flatten()
    power = (0.6 + uniform(seed, k, 1) + f2) ** -(1.15 + 0.3 * (uniform(seed + 1, k, 1) - 0.5))
    means = 0.8 * (gauss(seed + 2, k, side * side) * power.sqrt()) @ cosines(side).mT
    return standardised(GaussianMixture(means, power, 0.3 + uniform(seed + 3, k), cosines(side)), std)


def clouds(seed: int, points: int, k: int) -> GaussianMixture:
    """Return clusters of clouds of points in R^3, each cloud with mean position 0."""
    free, d = clusters(seed, 3 * points, k), 3 * points
    p = torch.eye(d, dtype=torch.float64) - torch.eye(3, dtype=torch.float64).repeat(points, points) / points
    assert free.basis is not None
    covariances = (free.basis * free.variances[:, None]) @ free.basis.mT
    return standardised(GaussianMixture.from_covariances(free.means, covariances, free.share, p))


def guided(mixture: GaussianMixture, components: list[int], scale: float) -> Guided:
    """Return a mixture guided towards some of its components."""
    return Guided(mixture, mixture.subset(components), scale)


def core() -> list[Problem]:
    """Return five problems of standard deviation 0.5, on which samplers may be tuned."""
    gmm = clusters(20, 64, 10, spread=0.5)
    return [
        Problem("gauss64", power_law(0, 64, 2.0), (64,)),
        Problem("ring2", ring(10, 8), (2,)),
        Problem("gmm64", gmm, (64,)),
        Problem("img256", images(30, 16, 24), (1, 16, 16)),
        Problem("cfg64", guided(gmm, [1, 4, 7], 4.0), (64,)),
    ]


def held_out() -> list[Problem]:
    """Return problems with other seeds, spectra and dimensions, on which nothing is tuned."""
    multi = clusters(130, 100, 3, spread=0.5, widest=3.0, narrowest=0.004)
    return [
        Problem("ring2b", ring(110, 5, (0.03, 0.3)), (2,)),
        Problem("gmm16", clusters(120, 16, 6, spread=1.5, narrowest=0.1), (16,)),
        Problem("scales100", multi, (100,)),
        Problem("cloud12", clouds(140, 12, 6), (12, 3), centred=True),
        Problem("cfg32", guided(clusters(150, 32, 8, spread=0.7), [0, 3], 2.0), (32,)),
        Problem("img144unit", images(160, 12, 16, std=1.0), (1, 12, 12)),
    ]


def shifted() -> list[Problem]:
    """Return core problems whose mean has a random offset, with one standard deviation in each number."""

    def move(problem: Problem, seed: int) -> Problem:
        assert isinstance(problem.exact, GaussianMixture)
        by = problem.exact.sigma_data * gauss(seed, problem.exact.means.shape[1])
        return replace(problem, name=f"{problem.name}+mean", exact=problem.exact.moved(by))

    return [move(problem, 200 + i) for i, problem in enumerate(core()) if problem.name != "cfg64"]


SUITES: dict[str, Callable[[], list[Problem]]] = {
    "core": cache(core),
    "held-out": cache(held_out),
    "shifted": cache(shifted),
}
"""Name of a suite -> function that returns its problems."""
