"""Tests of `polydiff.gaussian.likelihood.terms`."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from likelihood_cases import F64, gaussian
from oracles import euclidean
from torch.testing import assert_close

from polydiff.core.space import Euclidean
from polydiff.core.streams import streams
from polydiff.core.units import Units
from polydiff.gaussian.likelihood.bounds import chain, continuous_vlb, discrete_vlb
from polydiff.gaussian.likelihood.flow import flow_bound
from polydiff.gaussian.likelihood.terms import decoder, decoder_level, log_mass, step_kl
from polydiff.gaussian.schedule.closed_forms import EDM


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
