"""Precision, recall, density and coverage, against loops in numpy and against what is known of them."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from polydiff.metrics.neighbours import CHUNK, FAR, NEAR, overlap, overlap_metrics


def direct(fake: np.ndarray, real: np.ndarray) -> tuple[float, float, float, float]:
    """The definitions, one pair at a time."""

    def radius(points: np.ndarray, i: int, k: int) -> float:
        others = sorted(math.dist(points[i], points[j]) for j in range(len(points)) if j != i)
        return others[k - 1]

    near = [radius(real, i, NEAR) for i in range(len(real))]
    far = [radius(real, i, FAR) for i in range(len(real))]
    own = [radius(fake, j, NEAR) for j in range(len(fake))]
    d = [[math.dist(x, y) for y in fake] for x in real]
    n, m = len(fake), len(real)
    precision = sum(any(d[i][j] <= near[i] for i in range(m)) for j in range(n)) / n
    recall = sum(any(d[i][j] <= own[j] for j in range(n)) for i in range(m)) / m
    density = sum(d[i][j] <= far[i] for i in range(m) for j in range(n)) / (FAR * n)
    coverage = sum(any(d[i][j] <= far[i] for j in range(n)) for i in range(m)) / m
    return precision, recall, density, coverage


def sets(n: int, m: int, d: int, shift: float = 0.0, scale: float = 1.0) -> tuple[torch.Tensor, torch.Tensor]:
    rng = np.random.default_rng(n)
    return torch.from_numpy(rng.normal(shift, scale, size=(n, d))), torch.from_numpy(rng.normal(size=(m, d)))


@pytest.mark.parametrize(
    ("n", "m", "d", "shift", "scale"),
    [(6, 6, 1, 0, 1), (40, 31, 3, 0.4, 1), (31, 57, 8, 0, 0.4), (CHUNK + 7, 40, 2, 0, 2), (40, CHUNK + 7, 2, 1, 1)],
)
def test_all_four_are_their_definitions(n: int, m: int, d: int, shift: float, scale: float) -> None:
    fake, real = sets(n, m, d, shift, scale)
    found = overlap(fake, real)
    values = (found.precision.value, *found[1:])
    assert values == pytest.approx(direct(fake.numpy(), real.numpy()), rel=1e-6)


def test_the_data_themselves_and_a_far_set_are_the_extremes() -> None:
    x, _ = sets(100, 1, 5)
    same, far = overlap(x, x), overlap(x + 100, x)
    assert (same.precision.value, same.recall, same.coverage) == (1, 1, 1)
    assert same.density == pytest.approx(1 + 1 / FAR)  # each ball holds its centre and k neighbours
    assert (far.precision.value, *far[1:]) == (0, 0, 0, 0)


def test_another_draw_of_the_data_is_covered_and_dense_as_theory_says() -> None:
    """Of each ball, the chance that none of n other draws is in it is 2^-k (Naeem et al., 2020, section 3.3)."""
    fake, real = sets(1000, 1000, 5)
    found = overlap(fake, real)
    assert found.coverage == pytest.approx(1 - 2**-FAR, abs=0.02)
    assert found.density == pytest.approx(1, abs=0.1)


def test_a_mode_that_is_lost_lowers_recall_and_one_that_is_invented_lowers_precision() -> None:
    a, b = sets(200, 200, 2)
    two = torch.cat([b[:100], b[100:] + 30])
    lost, invented = overlap(a, two), overlap(torch.cat([a[:100], a[100:] - 30]), b)
    assert (lost.precision.value > 0.9, lost.recall < 0.55, lost.coverage < 0.55) == (True, True, True)
    assert (invented.precision.value < 0.55, invented.recall > 0.9) == (True, True)


def test_the_error_of_precision_is_its_spread_over_sets_of_samples() -> None:
    _, real = sets(1, 200, 2)
    found = [overlap(sets(100 + i, 1, 2, scale=2)[0][:100], real).precision for i in range(200)]
    spread = np.std([one.value for one in found], ddof=1)
    assert np.mean([one.error for one in found]) == pytest.approx(spread, rel=0.15)


def test_repeated_examples_have_balls_of_no_size_that_hold_their_copies() -> None:
    real = torch.tensor([[1.0, 2.0]]).repeat(10, 1)
    assert overlap(real[:7].float(), real).precision.value == 1
    assert overlap(real + 1e-3, real).precision.value == 0


def test_few_examples_and_odd_numbers_have_no_values() -> None:
    x, y = sets(FAR, 40, 3)
    assert all(math.isnan(value) for value in (overlap(x, y).precision.value, *overlap(x, y)[1:], *overlap(y, x)[1:]))
    y[3, 1] = math.nan
    assert math.isnan(overlap(y, y).recall)
    for metric in overlap_metrics(y[10:39], y[10:], "images", "filters").values():
        assert (math.isnan(metric.value), metric.reason) == (True, "it needs 30 images of each set, there are 29")
