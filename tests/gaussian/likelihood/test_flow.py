"""Tests of `polydiff.gaussian.likelihood.flow`."""

from __future__ import annotations

from typing import Literal

import pytest
import torch
from likelihood_cases import F64, elsewhere, gaussian
from oracles import packed
from torch import Tensor
from torch.testing import assert_close

from polydiff.core.space import Batch, Euclidean, Space, State
from polydiff.core.streams import stream, streams
from polydiff.domains.molecule.space import DenseMolecules
from polydiff.gaussian.likelihood.flow import flow_bound, flow_log_prob
from polydiff.gaussian.schedule.closed_forms import EDM
from polydiff.testing.analytic import GaussianMixture, projector


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


def test_flow_bound_of_a_gaussian_is_tight() -> None:
    space = packed(3, 4)
    denoiser, batch, exact = gaussian(space, 0.5)
    bound = flow_bound(denoiser, batch, streams(0, "eps", range(3)), trace="exact")
    assert_close(bound.nats, exact, rtol=0, atol=1e-3)


class Bent(torch.nn.Module):
    """A nonlinear denoiser with a weight."""

    schedule, sigma_data = EDM(), 1.0

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.tensor(0.3, dtype=F64))

    def forward(self, x: State, sigma: Tensor, space: Space, cond: object = None) -> State:
        s = space.expand(sigma.to(x))
        return x / (1 + s**2) + self.weight * torch.sin(x) * s**2 / (1 + s**2)


@pytest.mark.parametrize("trace", ["exact", "hutchinson"])
def test_a_differentiable_density_has_the_gradient_of_its_differences(trace: Literal["exact", "hutchinson"]) -> None:
    """With respect to the states and to the weights."""
    denoiser, space = Bent(), Euclidean(2, (2,), dtype=F64)
    x = space.noise(streams(0, "x", range(2))).requires_grad_()

    def total(x: State, differentiable: bool) -> Tensor:
        probes = streams(0, "probe", range(2))
        options = {"sigma": 0.1, "trace": trace, "generators": probes, "rtol": 1e-7, "atol": 1e-7}
        return flow_log_prob(denoiser, x, space, differentiable=differentiable, **options).log_prob.sum()

    of_x, of_weight = torch.autograd.grad(total(x, True), (x, denoiser.weight))
    h = 1e-3
    for place in ((0, 0), (1, 1)):
        step = torch.zeros_like(x)
        step[place] = h
        difference = (total((x + step).detach(), False) - total((x - step).detach(), False)) / (2 * h)
        assert_close(of_x[place], difference, rtol=1e-3, atol=1e-5)
    with torch.no_grad():
        denoiser.weight += h
        above = total(x, False)
        denoiser.weight -= 2 * h
        difference = (above - total(x, False)) / (2 * h)
    assert_close(of_weight, difference, rtol=1e-3, atol=1e-5)


def test_a_density_has_no_gradient_unless_it_is_requested() -> None:
    """A gradient of a part of the path would be a wrong number without an error."""
    space = Euclidean(2, (2,), dtype=F64)
    x = space.noise(streams(0, "x", range(2))).requires_grad_()
    found = flow_log_prob(Bent(), x, space, sigma=0.1)
    assert not any(part.requires_grad for part in found)
    bound = flow_bound(Bent(), Batch(x, space), streams(0, "eps", range(2)))
    assert not bound.nats.requires_grad
