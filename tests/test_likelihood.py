"""Likelihoods against closed forms: Gaussians, mixtures, a discrete distribution; and what must not matter."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from oracles import GaussianDenoiser, dense, euclidean, packed
from repository import ROOT
from torch import Tensor
from torch.testing import assert_close

from polydiff.abilities import Units
from polydiff.cli import main
from polydiff.domains.molecule.space import DenseMolecules, PackedMolecules
from polydiff.likelihood import (
    chain,
    continuous_vlb,
    decoder_level,
    discrete_vlb,
    flow_bound,
    flow_log_prob,
)
from polydiff.likelihood.basis import diagonal, directions, signs
from polydiff.likelihood.terms import decoder, log_mass, log_normal, step_kl
from polydiff.random import stream, streams
from polydiff.schedule import EDM, SCHEDULES, Schedule
from polydiff.settings import resolve
from polydiff.space import Batch, Condition, Euclidean, Space, State, sqnorm
from polydiff.testing.analytic import GaussianMixture, projector
from polydiff.testing.domain import Subject, check_units

F64 = torch.float64
SPACES: dict[str, Callable[[], Space]] = {
    "euclidean": lambda: euclidean(3),
    "dense": lambda: dense(3, 4),
    "packed": lambda: packed(3, 4),
}
spaces = pytest.mark.parametrize("make", list(SPACES.values()), ids=list(SPACES))


@dataclass
class Level:
    """A space whose noise has the norm that it has on average, and is orthogonal to a state: expectations in one draw.

    For linear denoisers every term of a bound is a quadratic of the noise, so these draws give its mean exactly.
    """

    whole: Space
    across: State

    def __getattr__(self, name: str) -> Any:
        return getattr(self.whole, name)

    def noise(self, generators: Sequence[torch.Generator]) -> State:
        eps = self.whole.noise(generators)
        along = self.whole.sum(eps * self.across) / sqnorm(self.whole, self.across)
        eps = eps - self.whole.expand(along) * self.across
        return eps * self.whole.expand((self.whole.dim / sqnorm(self.whole, eps)).sqrt())


def gaussian(space: Space, std: float, name: str = "edm") -> tuple[GaussianDenoiser, Batch, Tensor]:
    """A Gaussian of this deviation, states at its mean plus something, and their -log p."""
    mean = 0 * space.noise(streams(0, "mean", range(space.batch)))
    x_0 = 0.8 * std * space.noise(streams(0, "x", range(space.batch)))
    denoiser = GaussianDenoiser(mean, std, SCHEDULES[name](), sigma_data=std)
    return denoiser, Batch(x_0, Level(space, x_0)), -log_normal(space, x_0, std**2)


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


def mixture(space: Space, x: State) -> tuple[GaussianMixture, State]:
    """Three anisotropic Gaussians on a space, and points of it that noise of level 0.02 may have reached."""
    d = x.numel() // space.batch
    g = stream(0, "mixture")
    means = 0.8 * torch.rand(3, d, generator=g, dtype=F64)
    means = means - means.mean(0)  # as codecs standardise: the prior at s = 80 has mean 0
    half = 0.5 * torch.rand(3, d, d, generator=g, dtype=F64) - 0.25
    covariances = half @ half.mT + 0.01 * torch.eye(d, dtype=F64)
    exact = GaussianMixture.from_covariances(means, covariances, projector=projector(space, x))
    x_0 = exact.draw(streams(0, "draw", range(space.batch))).reshape(x.shape)
    return exact, x_0 + 0.02 * x


@pytest.mark.parametrize(
    "space", [Euclidean(4, (2, 2), dtype=F64), packed(4, 3, 1), DenseMolecules.of_sizes(torch.full((4,), 3), 1, F64)]
)
def test_the_flow_gives_the_density_of_a_mixture(space: Space) -> None:
    """To 1e-4 nats a dimension, on R^4 and on three atoms whose centre is at rest; the same by many probes."""
    exact, x = mixture(space, space.noise(streams(0, "x", range(4))))
    truth = exact.log_prob(x.reshape(4, -1), torch.full((4,), 0.02, dtype=F64))
    for y in (x, elsewhere(space, x)):  # where the centre stands is no coordinate of the space
        found = flow_log_prob(exact, y, space, sigma=0.02, trace="exact")
        assert ((found.log_prob - truth).abs() / space.dim).max() < 1e-4
    assert not found.error.any()
    assert (found.evaluations > 20).all()
    probed = flow_log_prob(
        exact, x, space, sigma=0.02, trace="hutchinson", probes=24, generators=streams(0, "probe", range(4))
    )
    assert ((probed.log_prob - truth).abs() < 4.5 * probed.error + 1e-3).all()
    assert ((probed.error > 0) & (probed.error < 2)).all()


def elsewhere(space: Space, x: State) -> State:
    """Move every molecule as a whole; a vector stays."""
    moved = x.clone()
    if not isinstance(space, Euclidean):
        moved[..., :3] += 3.0
    return moved


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


def test_flow_bound_of_a_gaussian_is_tight() -> None:
    space = packed(3, 4)
    denoiser, batch, exact = gaussian(space, 0.5)
    bound = flow_bound(denoiser, batch, streams(0, "eps", range(3)), trace="exact")
    assert_close(bound.nats, exact, rtol=0, atol=1e-3)


@given(st.integers(1, 4), st.floats(-8, 8), st.floats(0.01, 5))
def test_steps_with_a_variance_are_gaussian_divergences(n: int, at: float, s0: float) -> None:
    """Against KL(N(m, b) || N(m', Sigma)) of torch, one number at a time, for any v between small and large."""
    space = Euclidean(n, (3,), dtype=F64)
    x_0, estimate = (space.noise(streams(i, "x", range(n))) for i in (0, 1))
    v = torch.sigmoid(at + space.noise(streams(2, "x", range(n))))
    s0_, s1 = torch.full((n,), s0, dtype=F64), torch.full((n,), 0.7 * s0, dtype=F64)
    b = s1[0] ** 2 * (1 - 0.49)
    large = (s0**2 - s1[0] ** 2) * (0.25 + s1[0] ** 2) / (0.25 + s0**2)
    normal = torch.distributions.Normal
    p = normal(0.51 * estimate, (b ** (1 - v) * large**v).sqrt())
    expected = torch.distributions.kl_divergence(normal(0.51 * x_0, b.sqrt()), p).sum(1)
    assert_close(step_kl(space, x_0, estimate, s0_, s1, 0.5, v), expected, rtol=1e-8, atol=1e-10)
    assert_close(step_kl(space, x_0, estimate, s0_, s1, 0.5), step_kl(space, x_0, estimate, s0_, s1, 0.5, 0 * v))


def test_bins_cover_everything_and_mix_with_densities() -> None:
    """The masses of all bins sum to 1; far in the tails logs stay finite; NaN bounds mean a density."""
    edges = torch.tensor([-math.inf, -2.0, 0.1, 0.4, 5.0, math.inf], dtype=F64)
    assert_close(log_mass(edges[:-1], edges[1:]).exp().sum().item(), 1.0)
    for a, b in ((30.0, 31.0), (-31.0, -30.0), (200.0, math.inf), (-math.inf, -200.0)):
        low, high = torch.tensor([a], dtype=F64), torch.tensor([b], dtype=F64)
        assert_close(log_mass(low, high), log_mass(-high, -low))
        inner = min(abs(a), abs(b))
        assert log_mass(low, high).item() == pytest.approx(
            -(inner**2) / 2 - math.log(inner * math.sqrt(2 * math.pi)), 1e-3
        )
    space, nan = Euclidean(1, (2,), dtype=F64), math.nan
    x_0, c = torch.tensor([[0.3, 0.2]], dtype=F64), torch.tensor([0.5], dtype=F64)
    units = Units(torch.tensor([[nan, 0.1]], dtype=F64), torch.tensor([[nan, 0.4]], dtype=F64), torch.zeros(1))
    normal = torch.distributions.Normal(torch.zeros(2, dtype=F64), 0.5)
    expected = -normal.log_prob(x_0)[0, 0] - (normal.cdf(edges[3]) - normal.cdf(edges[2]))[0].log()
    assert_close(decoder(space, x_0, 0 * x_0, c, units)[0], expected)


def test_directions_make_up_the_projector() -> None:
    """sum_k (P e_k)(P e_k)^T = P, its diagonal sums to the dimension, and signs have it as their mean square."""
    sizes = torch.tensor([1, 4, 2])
    for layout in (DenseMolecules, PackedMolecules):
        space = layout.of_sizes(sizes, 2, F64)
        x, y = (space.noise(streams(i, "x", range(3))) for i in (0, 1))
        inner = sum(space.sum(e * x) * space.sum(e * y) for e in directions(space, x))
        assert_close(inner, space.sum(x * y))
        assert_close(space.sum(diagonal(space, x)), space.dim)
        drawn = [signs(space, x, streams(i, "signs", range(3))) for i in range(800)]
        square = torch.stack([space.sum(z * x) ** 2 for z in drawn])
        error = square.std(0) / math.sqrt(len(drawn))
        assert ((square.mean(0) - sqnorm(space, x)).abs() < 4.5 * error + 1e-9).all()


class Coupled(torch.nn.Module):
    """A denoiser that is no closed form: nonlinear, and one for all layouts."""

    schedule = EDM()
    sigma_data = 0.8

    def forward(self, x: State, sigma: Tensor, space: Space, cond: Condition | None = None) -> State:
        s = space.expand(sigma.to(x))
        size = space.expand(sqnorm(space, x) / space.dim.clamp(min=1))
        return space.project(x - s**2 / (0.64 + s**2) * (x - 0.3 * torch.sin(x) / (1 + size)))


BOUNDS: dict[str, Callable[..., Tensor]] = {
    "discrete": lambda d, b, g: discrete_vlb(d, b, g, chain(d.schedule, 12), variance="large").nats,
    "drawn": lambda d, b, g: discrete_vlb(d, b, g, chain(d.schedule, 12), draws=4).nats,
    "continuous": lambda d, b, g: continuous_vlb(d, b, g, draws=4).nats,
    "exact flow": lambda d, b, g: flow_bound(d, b, g, trace="exact", rtol=1e-3, atol=1e-3).nats,
    "flow": lambda d, b, g: flow_bound(d, b, g, trace="hutchinson", probes=2, rtol=1e-3, atol=1e-3).nats,
}


@pytest.mark.parametrize("name", list(BOUNDS))
def test_layout_translation_and_batch_do_not_matter(name: str) -> None:
    """Dense as packed, a molecule as its copy elsewhere, a batch as its samples one by one, to 1e-9."""
    sizes, bound, denoiser = torch.tensor([1, 4, 2]), BOUNDS[name], Coupled()
    dense_space, packed_space = (layout.of_sizes(sizes, 2, F64) for layout in (DenseMolecules, PackedMolecules))
    x = packed_space.noise(streams(0, "x", range(3)))
    padded = torch.zeros(3, 4, 5, dtype=F64)
    padded[dense_space.mask] = x
    found = bound(denoiser, Batch(x, packed_space), streams(1, "eps", range(3)))
    assert_close(
        bound(denoiser, Batch(padded, dense_space), streams(1, "eps", range(3))), found, rtol=1e-10, atol=1e-10
    )
    moved = elsewhere(packed_space, x)
    assert_close(bound(denoiser, Batch(moved, packed_space), streams(1, "eps", range(3))), found, rtol=1e-9, atol=1e-9)
    first = 0
    for i, size in enumerate(sizes.tolist()):
        alone = Batch(x[first : first + size], PackedMolecules.of_sizes(sizes[i : i + 1], 2, F64))
        assert_close(bound(denoiser, alone, streams(1, "eps", [i])), found[i : i + 1], rtol=1e-10, atol=1e-10)
        first += size


def test_arguments_of_no_use_are_refused() -> None:
    space = euclidean(1)
    denoiser, batch, _ = gaussian(space, 1.0)
    g, levels = streams(0, "eps", range(1)), chain(EDM(), 4)
    with pytest.raises(ValueError, match="says nothing of the variance"):
        discrete_vlb(denoiser, batch, g, levels, variance="learned")
    with pytest.raises(ValueError, match="'small', 'large' or 'learned'"):
        discrete_vlb(denoiser, batch, g, levels, variance="tiny")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="at least 1"):
        continuous_vlb(denoiser, batch, g, draws=0)
    with pytest.raises(ValueError, match="at least 2 levels"):
        chain(EDM(), 1)
    with pytest.raises(ValueError, match="prior must be"):
        discrete_vlb(denoiser, batch, g, levels, prior="flat")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="generators"):
        flow_log_prob(denoiser, batch.x, space, trace="hutchinson")
    with pytest.raises(ValueError, match="noise level above 0"):
        flow_log_prob(denoiser, batch.x, space, sigma=0.0)
    with pytest.raises(ValueError, match="trace must be"):
        flow_log_prob(denoiser, batch.x, space, trace="none")  # type: ignore[arg-type]


def test_digits_are_of_17_levels_and_photographs_of_256() -> None:
    """The bins of an image tile the line, hold the image's own pixels, and are the data's true quantisation."""
    from polydiff.domains.image.codec import Standardise
    from polydiff.domains.image.data import digits

    source = digits()
    images = source.splits["test"].centred(range(20))
    assert set(images.unique().tolist()) == set(source.levels)
    assert len(source.levels) == 17
    codec = Standardise((0.1,), 0.7)
    x = codec.encode(images)
    low, high = codec.bins(x, torch.tensor(source.levels, dtype=F64))
    assert ((low < x) & (x < high)).all()
    assert len(torch.unique(low)) == 17
    assert set(torch.unique(low)[1:].tolist()) == set(torch.unique(high)[:-1].tolist())
    assert low.isneginf()[images == 0].all()
    assert high.isposinf()[images == 255].all()
    photo = torch.arange(256, dtype=torch.uint8).reshape(1, 1, 16, 16)
    low, high = codec.bins(codec.encode(photo), torch.tensor(digits(12).levels, dtype=F64))
    width = (high - low).flatten()[1:-1]
    assert_close(width, torch.full_like(width, 1 / 127.5 / 0.7))


def test_molecules_are_densities_of_positions_beside_masses_of_elements() -> None:
    """In Å: 3 (N - 1) log scale more than in states. The bin of the right element holds its number, no other does."""
    from polydiff.domains.molecule.codec import Codec
    from polydiff.domains.molecule.geometry import Molecule

    codec = Codec((1, 6), (0.6, 0.4), 1.7, 0.5)
    ch4 = Molecule(np.array([6, 1, 1, 1, 1], np.uint8), np.arange(15.0).reshape(5, 3).astype(np.float32))
    h = Molecule(np.array([1], np.uint8), np.zeros((1, 3), np.float32))
    x, space = codec.encode([ch4, h])
    units = codec.units(x, space)
    assert_close(units.log_scale.double(), torch.tensor([12 * math.log(1.7), 0.0], dtype=F64))
    assert units.low is not None
    assert units.high is not None
    assert units.low[..., :3].isnan().all()
    low, high, f = units.low[0, :, 3:], units.high[0, :, 3:], x[0, :, 3:]
    assert torch.equal((low < f) & (f < high), torch.tensor([[0, 1], [1, 0], [1, 0], [1, 0], [1, 0]]) == 1)
    assert_close(high - low, torch.full_like(high, 0.5))
    assert (units.name, units.category) == ("Å", (3, 5))


def test_where_the_decoder_takes_over() -> None:
    """A quarter of the narrowest bin; any level gives a bound, and a coarse one costs little where bins are known."""
    nan, inf = torch.tensor([math.nan]), math.inf
    bins = Units(torch.tensor([-inf, 0.1]), torch.tensor([0.1, 0.5]), torch.zeros(2))
    assert decoder_level([bins, None], EDM()) == pytest.approx(0.1)
    assert decoder_level([Units(nan, nan, torch.zeros(1)), None], EDM()) == 0.002
    assert chain(EDM(), 5, 0.1)[0].item() == pytest.approx(0.1)
    space = euclidean(3)
    denoiser, batch, exact = gaussian(space, 0.7)
    for lowest in (0.01, 0.5):
        levels = chain(denoiser.schedule, 9, lowest)
        found = discrete_vlb(denoiser, batch, streams(0, "eps", range(3)), levels, variance="large").nats
        assert_close(found, exact, rtol=1e-9, atol=1e-9)
        flow = flow_bound(denoiser, batch, streams(0, "eps", range(3)), lowest=lowest).nats
        assert_close(flow, exact, rtol=0, atol=1e-3)
        limit = continuous_vlb(denoiser, batch, streams(0, "eps", range(3)), draws=512, lowest=lowest).nats
        assert_close(limit, exact, rtol=0, atol=1e-2)


def test_the_command_line_tells_likelihoods(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    few = ["train.steps=3", "train.batch_size=8", "backbone.channels=16", "backbone.blocks=1", "sample.steps=3"]
    assert main(["train", "--domain", "image", "loss.objective=hybrid", *few, "--judge", "0"]) == 0
    capsys.readouterr()
    assert main(["eval", "runs/image-001", "--likelihood", "all", "-n", "10", "--json", "--batch-size", "4"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert (result["n"], result["n_test"], result["dimensions"], result["unit"]) == (10, 359, 64, "")
    for row in result["likelihood"].values():
        assert row["bits_per_dim"] == pytest.approx(row["nats"] / 64 / math.log(2))
        assert sum(row["parts"].values()) == pytest.approx(row["nats"], rel=1e-5)
        assert row["nats_error"] > 0
    assert list(result["likelihood"]) == ["vlb", "chain", "flow"]
    assert main(["eval", "runs/image-001", "--likelihood", "-n", "10"]) == 0
    out = capsys.readouterr().out
    assert "-log p of 10 of 359 test examples at step 3" in out
    told = re.search(r"vlb +([\d.]+) ± [\d.]+ +[\d.]+ ± [\d.]+ +[\d.]+ ± [\d.]+ +33\n", out)
    assert told is not None
    assert float(told[1]) == pytest.approx(result["likelihood"]["vlb"]["nats"], rel=1e-3)  # batches of 4 or of 10
    assert main(["eval", "runs/image-001", "--likelihood", "--steps", "5"]) == 2
    assert "--steps is about samples" in capsys.readouterr().err


def test_the_example_of_the_documentation_meets_the_truth() -> None:
    page = (ROOT / "docs" / "likelihood.md").read_text()
    (code,) = re.findall(r"^```python\n(.*?)^```", page, flags=re.M | re.S)
    scope: dict[str, Any] = {}
    exec(code.replace("range(500)", "range(200)"), scope)
    truth, found = scope["truth"], scope["found"]
    for bound in found.values():
        gap = bound.nats - truth
        assert gap.mean().abs() < 0.03 + 4 * gap.std() / math.sqrt(200)
        assert gap.std() < 3
    smoothed = scope["exact"].log_prob(scope["x_0"], torch.full((200,), 0.05, dtype=F64))
    assert_close(scope["density"].log_prob, smoothed, rtol=0, atol=1e-3)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda u: u._replace(low=u.high, high=u.low), "outside of their bins"),
        (lambda u: u._replace(high=None), "one end of the bins"),
        (lambda u: u._replace(log_scale=u.log_scale[:1]), "log_scale of shape"),
        (lambda u: u._replace(low=u.low[:1], high=u.high[:1]), "not the states' shape"),
    ],
)
def test_units_that_do_not_fit_are_found(
    change: Callable[[Units], Units], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    subject = Subject(resolve("image").config, 4)
    right = type(subject.domain).units  # type: ignore[attr-defined]
    assert check_units(subject) == "bins"
    monkeypatch.setattr(type(subject.domain), "units", lambda self, x, space: change(right(self, x, space)))
    with pytest.raises(AssertionError, match=message):
        check_units(subject)
