"""Standard errors against the standard deviation of the numbers over many repetitions."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest

from polydiff.metrics.standard_error import Number, jackknife, mean, median, ratio, share

DRAWN, TIMES = 200, 4000
TABLES = np.random.default_rng(7)


def repeated(measure: Callable[[np.random.Generator], Number]) -> tuple[float, float]:
    """Return the standard deviation of a number over many repetitions, and the root mean square of its errors."""
    found = [measure(np.random.default_rng(seed)) for seed in range(TIMES)]
    return float(np.std([n.value for n in found])), math.sqrt(float(np.mean([n.error**2 for n in found])))


@pytest.mark.parametrize(
    "measure",
    [
        lambda g: share(int(g.binomial(DRAWN, 0.8)), DRAWN),
        lambda g: mean(g.exponential(size=DRAWN)),
        lambda g: median(g.normal(size=DRAWN)),
        lambda g: ratio(g.binomial(b := g.integers(1, 9, DRAWN), 0.9), b),
        lambda g: clustered(g),
    ],
    ids=["share", "mean", "median", "ratio", "clustered"],
)
def test_an_error_is_the_standard_deviation_of_repetitions(measure: Callable[[np.random.Generator], Number]) -> None:
    scatter, error = repeated(measure)
    assert error == pytest.approx(scatter, rel=0.08)


def clustered(g: np.random.Generator) -> Number:
    """Return the share of right atoms, five a molecule, if all atoms of a molecule are right or wrong together."""
    return ratio(5 * g.binomial(1, 0.7, DRAWN), np.full(DRAWN, 5))


def test_the_jackknife_of_distinct_counts_is_at_least_their_standard_deviation() -> None:
    law = TABLES.dirichlet(np.full(300, 0.3))

    def distinct(g: np.random.Generator) -> Number:
        found, counts = np.unique(g.choice(300, DRAWN, p=law), return_counts=True)
        once = np.repeat(counts == 1, counts)
        return Number(len(found), jackknife(len(found) - once))

    scatter, error = repeated(distinct)
    assert scatter < error < 1.6 * scatter


def test_the_error_of_a_share_is_not_zero_if_all_samples_agree() -> None:
    assert share(0, 50).error == share(50, 50).error == pytest.approx(0.5 / 51)
    assert share(50, 50).value == 1


def test_without_samples_numbers_are_nan_and_with_one_the_error_is_nan() -> None:
    for number in (share(0, 0), mean([]), median([]), ratio([], []), ratio([0], [0])):
        assert math.isnan(number.value)
        assert math.isnan(number.error)
    for number in (mean([2.0]), median([2.0]), ratio([4.0], [2.0]), ratio([4.0, 0.0], [2.0, 0.0])):
        assert number.value == 2
        assert math.isnan(number.error)
