"""Tests of `polydiff.gaussian.guidance.classifier`."""

from __future__ import annotations

import math

import torch
from guidance_cases import SPACES, Curved, level, state
from hypothesis import given
from hypothesis import strategies as st
from oracles import GaussianDenoiser, dense
from torch import Tensor
from torch.testing import assert_close

from polydiff.core.space import Space, State, sqnorm
from polydiff.core.streams import streams
from polydiff.gaussian.guidance.classifier import Classifier


@given(st.sampled_from(list(SPACES)), st.floats(0.01, 20), st.floats(0.2, 3))
def test_an_exact_classifier_gives_the_exact_posterior(where: str, sigma: float, noise: float) -> None:
    """Prior N(m, v P), likelihood N(y; x_0, noise^2 P): the posterior is Gaussian too, and so is its denoiser."""
    space, v = SPACES[where](2), 0.49
    x, m, y = (space.noise(streams(k, "x", range(2))) for k in range(3))
    prior = GaussianDenoiser(m, math.sqrt(v))

    def log_prob(x: State, sigma: Tensor, space: Space) -> Tensor:
        variance = noise**2 + sigma**2 * v / (sigma**2 + v)
        return -sqnorm(space, y - prior(x, sigma, space)) / (2 * variance)

    v_y = 1 / (1 / v + 1 / noise**2)
    posterior = GaussianDenoiser(v_y * (m / v + y / noise**2), math.sqrt(v_y))
    result = Classifier(prior, log_prob)(x, level(space, sigma), space)
    assert_close(result, posterior(x, level(space, sigma), space), rtol=1e-9, atol=1e-9)
    unguided = Classifier(prior, log_prob, 0.0)(x, level(space, sigma), space)
    assert torch.equal(unguided, prior(x, level(space, sigma), space))


def test_a_classifier_that_knows_no_space_does_not_lead_off_it() -> None:
    space = dense(2, 4)
    x = state(space)
    weights = torch.arange(x.numel(), dtype=torch.float64).reshape(x.shape).sin()
    result = Classifier(Curved(), lambda x, sigma, space: space.sum(weights * x) + x.sum())(x, level(space, 1.0), space)
    assert_close(space.project(result), result, rtol=0, atol=1e-12)
