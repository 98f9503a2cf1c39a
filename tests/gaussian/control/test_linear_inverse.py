"""Tests of `polydiff.gaussian.control.linear_inverse`."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from control_cases import COVARIANCE, MEAN, SPACES, A, Correlated, Y, level, matrix, part, vectors
from hypothesis import given
from hypothesis import strategies as st
from oracles import GaussianDenoiser
from torch import Tensor
from torch.testing import assert_close

from polydiff.core.space import Euclidean
from polydiff.core.streams import streams
from polydiff.gaussian.control.linear_inverse import Measured
from polydiff.gaussian.control.measurement import conjugate_gradient, masked
from polydiff.gaussian.denoise import Denoise
from polydiff.gaussian.sampling.execute import sample


def posterior(mean: Tensor, covariance: Tensor, noise: float) -> tuple[Tensor, Tensor]:
    """Mean and covariance of x_0 ~ N(mean, covariance) given A x_0 + noise n = Y."""
    gain = covariance @ A.T @ torch.linalg.inv(A @ covariance @ A.T + noise**2 * torch.eye(2, dtype=torch.float64))
    return mean + (Y - mean @ A.T) @ gain.T, covariance - gain @ A @ covariance


@given(st.floats(0.01, 30), st.floats(0.05, 2))
def test_the_jacobian_gives_the_exact_denoiser_of_any_gaussian_given_a_measurement(sigma: float, noise: float) -> None:
    space = vectors(3)
    x = 2 * space.noise(streams(0, "x", range(3)))
    mean, covariance = posterior(MEAN, COVARIANCE, noise)
    prior = Correlated(MEAN, COVARIANCE)
    result = Measured(prior, matrix(3), Y.expand(3, 2), noise, "jacobian")(x, level(space, sigma), space)
    assert_close(result, Correlated(mean, covariance)(x, level(space, sigma), space), rtol=1e-7, atol=1e-8)


@given(st.floats(0.01, 30), st.floats(0.05, 2), st.floats(0.3, 2))
def test_the_isotropic_covariance_gives_the_exact_denoiser_of_isotropic_data(
    sigma: float, noise: float, std: float
) -> None:
    space = vectors(3)
    x = 2 * space.noise(streams(0, "x", range(3)))
    eye = torch.eye(4, dtype=torch.float64)
    mean, covariance = posterior(MEAN, std**2 * eye, noise)
    prior = Correlated(MEAN, std**2 * eye, sigma_data=std)
    result = Measured(prior, matrix(3), Y.expand(3, 2), noise)(x, level(space, sigma), space)
    assert_close(result, Correlated(mean, covariance)(x, level(space, sigma), space), rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("where", list(SPACES))
def test_an_estimate_agrees_with_what_was_measured_without_noise(where: str) -> None:
    space = SPACES[where](2)
    mask = part(space).double()
    x, mean, truth = (space.noise(streams(k, "x", range(2))) for k in range(3))
    measured = Measured(GaussianDenoiser(mean, 0.8), masked(mask, space), mask * truth)
    estimate, std = measured(x, level(space, 0.7), space), 1.0
    gain = 0.7**2 * 0.64 / (0.49 + 0.64) / (0.49 / (0.49 + std**2))  # the correction, where std is not that of the data
    plain = GaussianDenoiser(mean, 0.8)(x, level(space, 0.7), space)
    assert_close(mask * (estimate - plain), gain * mask * (truth - plain), rtol=1e-8, atol=1e-9)
    assert_close(space.project(estimate), estimate, rtol=0, atol=1e-9)


def moments(denoise: Denoise, n: int = 4000, **how: Any) -> tuple[Tensor, Tensor]:
    """Mean and covariance of n samples."""
    x = sample(denoise, vectors(n), generators=streams(1, "x", range(n)), spacing="karras", **how)
    return x.mean(0), x.T.cov()


@pytest.mark.parametrize(("covariance", "mix", "bias"), [("jacobian", 1.0, 0.0), ("isotropic", 0.2, 0.03)])
def test_samples_given_a_measurement_have_the_posterior_mean_and_covariance(
    covariance: str, mix: float, bias: float
) -> None:
    """Of moments by the Jacobian for data of any covariance, by Pi-GDM for nearly isotropic ones."""
    n, noise, prior = 4000, 0.2, (1 - mix) * torch.eye(4, dtype=torch.float64) + mix * COVARIANCE
    mean, exact = posterior(MEAN, prior, noise)
    measured = Measured(Correlated(MEAN, prior), matrix(n), Y.expand(n, 2), noise, covariance)  # type: ignore[arg-type]
    m, c = moments(measured, n, steps=24, sampler="heun")
    assert (m - mean).abs().max() < 4 * exact.diagonal().max().sqrt() / n**0.5 + bias
    assert (c - exact).abs().max() < 4 * exact.diagonal().max() * (2 / n) ** 0.5 + 0.01
    assert (MEAN - mean).abs().max() > 0.8  # what is measured here is far from what is expected without
    assert (prior - exact).abs().max() > 0.6


def test_conjugate_gradients_solve_and_stop_sample_by_sample() -> None:
    space = Euclidean(3, (5,), dtype=torch.float64)
    roots = space.noise(streams(0, "x", range(3)))[:, :, None] + torch.eye(5, dtype=torch.float64)
    K = roots @ roots.mT
    K[1] = torch.eye(5)
    b = space.noise(streams(1, "x", range(3)))
    b[2] = 0
    z = conjugate_gradient(lambda v: (K @ v[..., None])[..., 0], b, space)
    assert_close((K @ z[..., None])[..., 0], b, rtol=1e-9, atol=1e-9)
    assert torch.equal(z[1], b[1])
    assert torch.equal(z[2], b[2])
    one = Euclidean(1, (5,), dtype=torch.float64)
    alone = conjugate_gradient(lambda v: (v[..., None] * K[0].mT).sum(-2), b[:1], one)
    both = Euclidean(2, (5,), dtype=torch.float64)
    beside = conjugate_gradient(lambda v: (v[..., None] * torch.stack([K[0], K[1]]).mT).sum(-2), b[:2], both)
    assert torch.equal(beside[:1], alone)


def test_a_sample_whose_operator_is_not_positive_ends_there() -> None:
    """As the Jacobian of a network may not be: a step along negative curvature would be long and wrong."""
    space = Euclidean(2, (2,), dtype=torch.float64)
    b = torch.ones(2, 2, dtype=torch.float64)
    K = torch.tensor([[1.0, -1.001], [1.0, 2.0]], dtype=torch.float64)
    z = conjugate_gradient(lambda v: K * v, b, space)
    assert torch.equal(z[0], torch.zeros(2, dtype=torch.float64))
    assert_close(z[1], b[1] / K[1])
