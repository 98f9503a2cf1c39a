"""Standard errors, beside the scatter of the numbers themselves over many repetitions."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest

from polydiff.metrics.standard_error import Number, jackknife, mean, median, ratio, share

DRAWN, TIMES = 200, 4000
TABLES = np.random.default_rng(7)


def repeated(measure: Callable[[np.random.Generator], Number]) -> tuple[float, float]:
    """Return the scatter of a number over many repetitions, and the error that it tells on average."""
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
def test_an_error_is_the_scatter_of_repetitions(measure: Callable[[np.random.Generator], Number]) -> None:
    scatter, told = repeated(measure)
    assert told == pytest.approx(scatter, rel=0.08)


def clustered(g: np.random.Generator) -> Number:
    """Return the share of atoms that are right where those of a molecule are so together: not n * 5 trials."""
    return ratio(5 * g.binomial(1, 0.7, DRAWN), np.full(DRAWN, 5))


def test_the_jackknife_of_distinct_ones_is_no_less_than_their_scatter() -> None:
    law = TABLES.dirichlet(np.full(300, 0.3))

    def distinct(g: np.random.Generator) -> Number:
        found, counts = np.unique(g.choice(300, DRAWN, p=law), return_counts=True)
        once = np.repeat(counts == 1, counts)
        return Number(len(found), jackknife(len(found) - once))

    scatter, told = repeated(distinct)
    assert scatter < told < 1.6 * scatter


def test_agreement_of_all_samples_is_not_certainty() -> None:
    assert share(0, 50).error == share(50, 50).error == pytest.approx(0.5 / 51)
    assert share(50, 50).value == 1


def test_numbers_of_nothing_and_of_one_sample_have_no_meaning() -> None:
    for number in (share(0, 0), mean([]), median([]), ratio([], []), ratio([0], [0])):
        assert math.isnan(number.value)
        assert math.isnan(number.error)
    for number in (mean([2.0]), median([2.0]), ratio([4.0], [2.0]), ratio([4.0, 0.0], [2.0, 0.0])):
        assert number.value == 2
        assert math.isnan(number.error)
