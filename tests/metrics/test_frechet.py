"""The Frechet distance against closed forms."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from polydiff.metrics.frechet import frechet, frechet_distance, frechet_of_subsets, gaussian


def covariance(d: int, seed: int) -> torch.Tensor:
    a = torch.randn(d, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return a @ a.T


@given(st.integers(1, 6), st.integers(0, 1000))
def test_it_equals_the_formula_with_a_matrix_square_root(d: int, seed: int) -> None:
    s_1, s_2 = covariance(d, seed), covariance(d, seed + 1)
    mu = torch.linspace(0, 1, d, dtype=torch.float64)
    values = torch.linalg.eigvals(s_1 @ s_2)  # tr (S1^{1/2} S2 S1^{1/2})^{1/2} = sum of the roots of eig(S1 S2)
    expected = mu @ mu + s_1.trace() + s_2.trace() - 2 * values.real.clamp(min=0).sqrt().sum()
    assert frechet((mu, s_1), (torch.zeros_like(mu), s_2)) == pytest.approx(float(expected), abs=1e-6, rel=1e-6)


def test_for_diagonal_covariances_it_is_the_distance_of_standard_deviations() -> None:
    a, b = torch.tensor([1.0, 4.0]).double(), torch.tensor([9.0, 0.0]).double()
    zero = torch.zeros(2, dtype=torch.float64)
    assert frechet((zero, a.diag()), (zero, b.diag())) == pytest.approx((1 - 3) ** 2 + 2**2)


def test_the_distance_of_sets_depends_on_mean_and_covariance() -> None:
    x = torch.randn(50, 3, generator=torch.Generator().manual_seed(0))
    assert frechet_distance(x, x.flip(0)) == pytest.approx(0, abs=1e-9)
    assert frechet_distance(x, x + 2) == pytest.approx(12, rel=1e-5)
    assert frechet_distance(x[:, :1], 3 * x[:, :1] + 1) > 0
    assert math.isnan(frechet_distance(x[:1], x))
    mean, cov = gaussian(x)
    torch.testing.assert_close(cov, (x.double() - mean).T @ (x.double() - mean) / 49)


def test_the_mean_over_subsets_has_the_bias_of_one_and_a_smaller_error() -> None:
    """50 repetitions: means over 4 subsets agree with single ones, scatter half as much, and tell how much."""
    generator = torch.Generator().manual_seed(0)
    known = torch.randn(400, 5, generator=generator)
    draws = [torch.randn(4 * 30 + 7, 5, generator=generator) for _ in range(50)]
    alone = torch.tensor([frechet_distance(x[:30], known) for x in draws]).double()
    several = [frechet_of_subsets(x, known, 30) for x in draws]
    values = torch.tensor([number.value for number in several]).double()
    errors = torch.tensor([number.error for number in several]).double()
    assert values.mean() == pytest.approx(float(alone.mean()), abs=4 * float(alone.std()) / 50**0.5)
    assert 0.35 < values.std() / alone.std() < 0.7
    assert errors.square().mean().sqrt() == pytest.approx(float(values.std()), rel=0.35)


def test_one_subset_is_the_distance_of_the_set_without_an_error() -> None:
    x = torch.randn(50, 3, generator=torch.Generator().manual_seed(0))
    for n in (26, 50, 80):
        value, error = frechet_of_subsets(x, x + 2, n)
        assert value == frechet_distance(x[:n], x + 2)
        assert math.isnan(error)
