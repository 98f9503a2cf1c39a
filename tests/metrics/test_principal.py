"""The standard deviation along the first principal component."""

from __future__ import annotations

import pytest
import torch

from polydiff.metrics.principal import principal_std


def test_it_is_the_root_of_the_largest_eigenvalue_of_the_covariance() -> None:
    g = torch.Generator().manual_seed(0)
    x = torch.randn(500, 40, generator=g) * torch.linspace(0.1, 3, 40) @ torch.randn(40, 40, generator=g) + 7
    exact = float(torch.linalg.eigvalsh(torch.cov(x.double().T, correction=0)).max().sqrt())
    assert principal_std(x) == pytest.approx(exact, rel=0.01)
    assert principal_std(x) == principal_std(x.clone())


def test_brightness_that_all_pixels_share_grows_with_their_number() -> None:
    brightness = torch.randn(400, 1, generator=torch.Generator().manual_seed(1))
    for pixels in (16, 256):
        exact = float(brightness.std(correction=0)) * pixels**0.5
        assert principal_std(brightness.expand(400, pixels)) == pytest.approx(exact, rel=1e-4)


def test_equal_examples_have_none() -> None:
    assert principal_std(torch.ones(3, 8)) == 0
    assert principal_std(torch.ones(1, 8)) == 0
