"""The Wasserstein distance against scipy and in known cases."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import wasserstein_distance

from polydiff.metrics.wasserstein import wasserstein


@pytest.mark.parametrize("shift", [0.0, 0.3, -2.0])
def test_the_distance_to_a_shifted_set_is_the_shift(shift: float) -> None:
    x = np.random.default_rng(0).normal(size=200)
    assert wasserstein(x, x + shift) == pytest.approx(abs(shift), abs=1e-9)


def test_it_equals_the_distance_of_scipy() -> None:
    g = np.random.default_rng(1)
    x, y = g.normal(size=3000), 0.5 + 2 * g.exponential(size=700)
    for n, m in ((3000, 700), (2, 3), (1, 700), (7, 7)):
        assert wasserstein(x[:n], y[:m]) == pytest.approx(wasserstein_distance(x[:n], y[:m]), rel=1e-9)
    assert wasserstein([0.0, 1.0], [0.0, 0.0, 1.0]) == pytest.approx(1 / 6)


def test_the_distance_to_an_empty_set_is_nan() -> None:
    assert math.isnan(wasserstein([], [1.0]))
