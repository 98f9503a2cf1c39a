"""The kernel distance, against a direct computation in numpy and against what is known of its estimate."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from polydiff.metrics.kernel import SUBSETS, kernel_distance, squared_mmd


def direct(x: np.ndarray, y: np.ndarray) -> float:
    """The unbiased estimate, written as sums over pairs (Gretton et al., 2012, equation 3)."""
    d = x.shape[1]

    def k(a: np.ndarray, b: np.ndarray) -> float:
        return float((1.0 / d * np.dot(a, b) + 1.0) ** 3)

    m, n = len(x), len(y)
    within_x = sum(k(x[i], x[j]) for i in range(m) for j in range(m) if i != j) / (m * (m - 1))
    within_y = sum(k(y[i], y[j]) for i in range(n) for j in range(n) if i != j) / (n * (n - 1))
    return within_x + within_y - 2 * sum(k(a, b) for a in x for b in y) / (m * n)


@pytest.mark.parametrize(("n", "m", "d"), [(2, 2, 1), (7, 5, 3), (12, 12, 8)])
def test_the_estimate_is_the_sum_over_pairs(n: int, m: int, d: int) -> None:
    rng = np.random.default_rng(n)
    x, y = rng.normal(size=(n, d)), rng.normal(1, 2, size=(m, d))
    assert squared_mmd(torch.from_numpy(x), torch.from_numpy(y)) == pytest.approx(direct(x, y), rel=1e-10)


def test_value_and_error_are_those_of_the_mean_over_disjoint_subsets() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(53, 4)).astype(np.float32), rng.normal(0.3, 1, size=(61, 4)).astype(np.float32)
    parts = [direct(np.float64(x[i::SUBSETS]), np.float64(y[i::SUBSETS])) for i in range(SUBSETS)]
    found = kernel_distance(torch.from_numpy(x), torch.from_numpy(y))
    assert found.value == pytest.approx(np.mean(parts), rel=1e-9)
    assert found.error == pytest.approx(np.std(parts, ddof=1) / math.sqrt(SUBSETS), rel=1e-9)


def test_it_has_no_bias_and_its_error_is_the_spread_over_repetitions() -> None:
    """One distribution has the distance 0; a shift of the mean by c in one of d = 1 features has a closed form."""
    c, rng = 0.7, np.random.default_rng(1)

    def draws(shift: float) -> tuple[np.ndarray, np.ndarray]:
        sets = (rng.normal(size=(60, 1)), rng.normal(shift, 1, size=(60, 1)))
        found = [kernel_distance(torch.from_numpy(a), torch.from_numpy(b)) for a, b in [sets]]
        return np.array([one.value for one in found]), np.array([one.error for one in found])

    # (x y + 1)^3 = 1 + 3 xy + 3 x^2 y^2 + x^3 y^3: squared differences of the first three moments
    moments = [c, c**2, c**3 + 3 * c]
    for shift, truth in ((0.0, 0.0), (c, 3 * moments[0] ** 2 + 3 * moments[1] ** 2 + moments[2] ** 2)):
        values, errors = (np.concatenate(part) for part in zip(*(draws(shift) for _ in range(400)), strict=True))
        spread = values.std(ddof=1)
        assert values.mean() == pytest.approx(truth, abs=4 * spread / math.sqrt(len(values)))
        assert math.sqrt((errors**2).mean()) == pytest.approx(spread, rel=0.15)


def test_small_sets_and_odd_numbers_have_no_distance() -> None:
    x = torch.randn(40, 3, generator=torch.Generator().manual_seed(0))
    assert math.isfinite(kernel_distance(x, x).value)
    assert math.isnan(kernel_distance(x[: 2 * SUBSETS - 1], x).value)
    assert math.isnan(kernel_distance(x, x[: 2 * SUBSETS - 1]).value)
    x[3, 1] = math.inf
    assert math.isnan(kernel_distance(x, x).value)
