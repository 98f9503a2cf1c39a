"""Tests of `polydiff.gaussian.control.measurement`."""

from __future__ import annotations

import math

import pytest
import torch
from control_cases import SPACES, level
from oracles import GaussianDenoiser
from torch.testing import assert_close

from polydiff.core.streams import streams
from polydiff.gaussian.control.linear_inverse import Measured
from polydiff.gaussian.control.measurement import masked


@pytest.mark.parametrize("where", list(SPACES))
def test_single_elements_can_be_measured_on_every_space(where: str) -> None:
    """All of a state measured with noise: the posterior of an isotropic Gaussian is a Gaussian on the same space."""
    space, noise, std = SPACES[where](2), 0.3, 0.8
    x, mean, y = (space.noise(streams(k, "x", range(2))) for k in range(3))
    v = 1 / (1 / std**2 + 1 / noise**2)
    expected = GaussianDenoiser(v * (mean / std**2 + y / noise**2), math.sqrt(v))
    prior = GaussianDenoiser(mean, std, sigma_data=std)
    for covariance in ("isotropic", "jacobian"):
        measured = Measured(prior, masked(torch.ones(()), space), y, noise, covariance)  # type: ignore[arg-type]
        result = measured(x, level(space, 0.7), space)
        assert_close(result, expected(x, level(space, 0.7), space), rtol=1e-9, atol=1e-9)
