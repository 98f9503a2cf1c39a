"""Tests of `polydiff.gaussian.likelihood.bounds`."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
import torch
from likelihood_cases import F64, gaussian
from oracles import GaussianDenoiser, dense, euclidean, packed
from torch import Tensor
from torch.testing import assert_close

from polydiff.core.conditions import Condition
from polydiff.core.space import Batch, Euclidean, Space, State, sqnorm
from polydiff.core.streams import stream, streams
from polydiff.core.units import Units
from polydiff.gaussian.likelihood.bounds import chain, continuous_vlb, discrete_vlb
from polydiff.gaussian.likelihood.flow import flow_bound
from polydiff.gaussian.schedule.base import Schedule
from polydiff.gaussian.schedule.closed_forms import EDM

SPACES: dict[str, Callable[[], Space]] = {
    "euclidean": lambda: euclidean(3),
    "dense": lambda: dense(3, 4),
    "packed": lambda: packed(3, 4),
}


spaces = pytest.mark.parametrize("make", list(SPACES.values()), ids=list(SPACES))


@spaces
@pytest.mark.parametrize("name", ["edm", "linear", "flow"])
@pytest.mark.parametrize("std", [1.0, 0.3])
def test_bounds_of_a_gaussian_are_tight(make: Callable[[], Space], name: str, std: float) -> None:
    """With the large variance, prior, steps and decoder are the true posteriors: the bound is -log p for any T."""
    space = make()
    denoiser, batch, exact = gaussian(space, std, name)
    for steps in (2, 7, 50):
        levels = chain(denoiser.schedule, steps)
        bound = discrete_vlb(denoiser, batch, streams(0, "eps", range(3)), levels, variance="large")
        assert_close(bound.nats, exact, rtol=1e-9, atol=1e-9)
        assert_close(sum(bound.parts.values()), bound.nats)
        assert (bound.evaluations == steps).all()
    bound = continuous_vlb(denoiser, batch, streams(0, "eps", range(3)), draws=512)
    assert_close(bound.nats, exact, rtol=0, atol=1e-2)
    assert (bound.error < 0.5).all()


@spaces
def test_the_elbo_of_a_chain_is_its_closed_form(make: Callable[[], Space]) -> None:
    """Small variance and five levels: each KL has |x_0 - D|^2 in closed form. The gap falls as 1 / T."""
    space = make()
    denoiser, batch, exact = gaussian(space, 0.6)
    levels, dim = chain(denoiser.schedule, 5), space.dim
    expected = torch.zeros(3, dtype=F64)
    for s1, s0 in zip(levels[:-1].tolist(), levels[1:].tolist(), strict=True):
        error = (s0**4 * sqnorm(space, batch.x) + 0.6**4 * s0**2 * dim) / (s0**2 + 0.36) ** 2
        expected += (s1**-2 - s0**-2) * error / 2
    coarse = discrete_vlb(denoiser, batch, streams(0, "eps", range(3)), levels)
    assert_close(coarse.parts["diffusion"], expected, rtol=1e-10, atol=1e-10)
    gaps = [
        discrete_vlb(denoiser, batch, streams(0, "eps", range(3)), chain(denoiser.schedule, steps)).nats - exact
        for steps in (500, 1000)
    ]
    assert (gaps[1] > 0).all()
    assert_close(gaps[0] / gaps[1], torch.full_like(exact, 2.0), rtol=0.02, atol=0)  # of first order in 1 / T
    plain = discrete_vlb(denoiser, batch, streams(0, "eps", range(3)), levels, prior="noise")
    assert (plain.nats != coarse.nats).all()
    assert_close(plain.nats, coarse.nats, rtol=0, atol=1e-3)  # at s = 80 the two priors are nearly the same


def test_draws_of_levels_are_unbiased_and_know_their_error() -> None:
    """Over 300 samples of one and the same state: the mean of K draws meets the full sum within its error."""
    space = Euclidean(300, (4,), dtype=F64)
    x_0 = torch.tensor([0.5, -1.0, 0.2, 1.5], dtype=F64).expand(300, 4)
    denoiser = GaussianDenoiser(torch.zeros(300, 4, dtype=F64), 0.5, EDM(), sigma_data=1.0)
    levels, batch = chain(denoiser.schedule, 40), Batch(x_0, space)
    full = discrete_vlb(denoiser, batch, streams(1, "eps", range(300)), levels).parts["diffusion"]
    assert discrete_vlb(denoiser, batch, streams(1, "eps", range(300)), levels).error.isnan().all()
    for bound in (
        discrete_vlb(denoiser, batch, streams(2, "eps", range(300)), levels, draws=8, decoder_draws=2),
        continuous_vlb(denoiser, batch, streams(2, "eps", range(300)), draws=8, decoder_draws=2),
    ):
        drawn = bound.parts["diffusion"]
        assert (bound.nats + bound.error).isfinite().all()
        true_error = drawn.std() / math.sqrt(300)
        assert true_error < 1.5 * bound.error.square().mean().sqrt() / math.sqrt(
            300
        )  # strata make it less, if anything
        assert (bound.evaluations == 10).all()
    discrete = discrete_vlb(denoiser, batch, streams(3, "eps", range(300)), levels, draws=8).parts["diffusion"]
    gap = (discrete.mean() - full.mean()).abs()
    assert gap < 4 * (discrete.var() + full.var()).sqrt() / math.sqrt(300)
    limit = discrete_vlb(denoiser, batch, streams(4, "eps", range(300)), chain(denoiser.schedule, 1000))
    assert (drawn.mean() - limit.parts["diffusion"].mean()).abs() < 4 * (drawn.var() / 300).sqrt() + 0.02


@dataclass
class Levels:
    """E[x_0 | x] of independent numbers, each one of a few values with given probabilities."""

    values: Tensor
    weights: Tensor
    schedule: Schedule = field(default_factory=EDM)
    sigma_data: float = 1.0

    def __call__(self, x: State, sigma: Tensor, space: Space, cond: Condition | None = None) -> State:
        s = space.expand(sigma.to(x))[..., None]
        logits = self.weights.log() - ((x[..., None] - self.values) / s) ** 2 / 2
        return (logits.softmax(-1) * self.values).sum(-1)


def test_bits_of_discrete_data_fall_to_their_entropy() -> None:
    """Three values of unequal shares: no bound lies below the entropy, and the chain's comes near it as T grows."""
    values, weights = torch.tensor([-1.2, 0.1, 1.0], dtype=F64), torch.tensor([0.5, 0.2, 0.3], dtype=F64)
    entropy = -(weights * weights.log2()).sum().item()
    middles = (values[1:] + values[:-1]) / 2
    inf = torch.tensor([math.inf], dtype=F64)
    space = Euclidean(400, (10,), dtype=F64)
    which = torch.multinomial(weights, 4000, True, generator=stream(0, "which")).reshape(400, 10)
    x_0 = values[which]
    units = Units(torch.cat([-inf, middles])[which], torch.cat([middles, inf])[which], torch.zeros(400, dtype=F64))
    code = -weights.log2()[which].mean().item()  # of these very numbers
    assert abs(code - entropy) < 0.05
    denoiser, batch = Levels(values, weights, EDM(sigma_min=0.01)), Batch(x_0, space)

    def bits(nats: Tensor) -> float:
        return nats.mean().item() / 10 / math.log(2)

    chains = []
    for steps in (8, 32, 1024):
        levels = chain(denoiser.schedule, steps)
        chains.append(bits(discrete_vlb(denoiser, batch, streams(0, "eps", range(400)), levels, units=units).nats))
    assert chains == sorted(chains, reverse=True)
    assert chains[0] > chains[1] > code
    assert chains[-1] == pytest.approx(code, abs=0.03)
    limit = continuous_vlb(denoiser, batch, streams(0, "eps", range(400)), draws=64, units=units)
    assert bits(limit.nats) == pytest.approx(code, abs=0.03)
    few = Batch(x_0[:20], Euclidean(20, (10,), dtype=F64))
    some = Units(*(part[:20] for part in units[:3]))  # type: ignore[index]
    flow = flow_bound(denoiser, few, streams(0, "eps", range(20)), units=some, rtol=1e-4, atol=1e-4)
    assert bits(flow.nats) == pytest.approx(-weights.log2()[which[:20]].mean().item(), abs=0.02)
    assert flow.parts["decoder"].abs().max() < 1e-6  # at s = 0.01 the values are known


class Uniform:
    """The denoiser of the uniform density of unit variance, which knows no bins."""

    schedule, sigma_data, half = EDM(1e-4, 80.0), 1.0, math.sqrt(3)

    def __call__(self, x: State, sigma: Tensor, space: Space, cond: object = None) -> State:
        s = space.expand(sigma.to(x))
        low, high = (-self.half - x) / s, (self.half - x) / s
        mass = (torch.special.ndtr(high) - torch.special.ndtr(low)).clamp(min=1e-300)
        return x + s * ((-(low**2) / 2).exp() - (-(high**2) / 2).exp()) / math.sqrt(2 * math.pi) / mass


def test_a_low_level_of_the_decoder_costs_bits_if_the_bins_are_unknown() -> None:
    """Uniform data of 256 levels, 8 bits; docs/likelihood.md shows the table."""
    n, d, width = 200, 64, 2 * Uniform.half / 256
    level = torch.randint(0, 256, (n, d), generator=stream(0, "levels"))
    x = (level.double() + 0.5) * width - Uniform.half
    low, high = x - width / 2, x + width / 2
    low[level == 0], high[level == 255] = -math.inf, math.inf
    units, space = Units(low, high, torch.zeros(n, dtype=torch.float64)), Euclidean(n, (d,), dtype=torch.float64)
    for bins, bits in ((1 / 4, 8.23), (1 / 2, 8.03), (1, 8.00)):
        found = continuous_vlb(
            Uniform(), Batch(x, space), streams(0, "e", range(n)), draws=32, units=units, lowest=bins * width
        )
        assert found.nats.mean().item() / d / math.log(2) == pytest.approx(bits, abs=0.05)
