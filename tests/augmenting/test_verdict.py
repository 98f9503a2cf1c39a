"""The rule by which synthetic examples are called a gain, by enumeration and in closed form."""

from __future__ import annotations

import itertools
import math
from fractions import Fraction

import pytest

from polydiff.augmenting.verdict import ERRORS, WAYS, best, interval, verdict
from polydiff.metrics.standard_error import mean


def scores(**values: tuple[float, ...]) -> dict[str, list[float]]:
    names = {"real": "real", "synthetic": "synthetic", "mixed": "real + synthetic", "augmented": "real, augmented"}
    return {names[name]: list(given) for name, given in values.items()}


def overlap(a: tuple[int, ...], b: tuple[int, ...]) -> int:
    """Return 1 if the interval of b lies above that of a, -1 if below, 0 if they overlap, in whole numbers.

    With n values of sum S and sum of squares Q, n mean = S, and n^2 s^2 / n = (n Q - S^2) / (n - 1).
    """
    n = len(a)
    sums = [sum(x) for x in (a, b)]
    squares = [Fraction(n * sum(v * v for v in x) - sum(x) ** 2, n - 1) for x in (a, b)]
    gap = abs(sums[1] - sums[0])
    # gap > 2 (sqrt(p) + sqrt(q))  <=>  gap^2 - 4 (p + q) > 8 sqrt(p q)
    left, p, q = gap * gap - 4 * (squares[0] + squares[1]), *squares
    apart = left > 0 and left * left > 64 * p * q
    return (1 if sums[1] > sums[0] else -1) if apart else 0


def test_the_rule_agrees_with_exact_arithmetic_for_all_small_scores() -> None:
    """All 3-seed scores of 0 to 3: 4^6 = 4,096 pairs; those that touch exactly are left to rounding."""
    words = {1: "gain", 0: "no gain", -1: "no gain: worse"}
    seen = dict.fromkeys(words.values(), 0)
    for values in itertools.product(range(4), repeat=6):
        a, b = values[:3], values[3:]
        means = [interval(mean(x)) for x in (a, b)]
        if min(abs(means[1][0] - means[0][1]), abs(means[0][0] - means[1][1])) < 1e-9:
            continue
        found = verdict(scores(real=a, synthetic=b))
        assert found == words[overlap(a, b)], (a, b)
        seen[found] += 1
    assert seen["gain"] == seen["no gain: worse"] > 100
    assert seen["no gain"] > 1000


def test_the_interval_is_two_standard_errors() -> None:
    """1, 2, 3, 4, 5 have the mean 3 and the standard error sqrt(2.5 / 5)."""
    low, high = interval(mean([1.0, 2.0, 3.0, 4.0, 5.0]))
    assert ERRORS == 2
    assert (low, high) == pytest.approx((3 - math.sqrt(2), 3 + math.sqrt(2)))


def test_the_best_way_of_each_kind_is_compared() -> None:
    given = scores(real=(0.2, 0.22), augmented=(0.7, 0.72), mixed=(0.5, 0.52), synthetic=(0.3, 0.32))
    assert (best(given, True), best(given, False)) == ("real + synthetic", "real, augmented")
    assert verdict(given) == "no gain: worse"
    assert verdict({**given, "real, augmented": [0.3, 0.32]}) == "gain"
    assert verdict({**given, "real, augmented": [0.5, 0.5]}) == "no gain"


def test_ways_are_all_combinations_that_differ() -> None:
    """Five of eight: without any examples there is nothing to train on, and synthetic ones alone are not changed."""
    assert len({*WAYS.values()}) == len(WAYS) == 5
    assert all(way.real or way.synthetic for way in WAYS.values())


@pytest.mark.parametrize("with_synthetic", [(1, 2, 3), (4, 4, 5), (2, 2, 2), (0, 3, 1), (9, 9, 8)])
def test_of_errors_the_lower_is_better(with_synthetic: tuple[float, ...]) -> None:
    """The verdict on errors is that on the same numbers with another sign, and the best way has the smallest."""
    given = scores(real=(3, 4, 4), augmented=(5, 6, 7), mixed=with_synthetic, synthetic=(20, 30, 40))
    negative = {name: [-value for value in values] for name, values in given.items()}
    assert verdict(given, "lower") == verdict(negative)
    assert [best(given, synthetic, "lower") for synthetic in (True, False)] == ["real + synthetic", "real"]
    assert verdict(scores(real=(3, 3, 3), synthetic=(2, 2, 2)), "lower") == "gain"
    assert verdict(scores(real=(3, 3, 3), synthetic=(4, 4, 4)), "lower") == "no gain: worse"
    assert verdict(scores(real=(3, 3, 3), synthetic=(3, 3, 3)), "lower") == "no gain"


@pytest.mark.parametrize("n", [5])
def test_equal_laws_are_called_a_gain_about_once_in_a_hundred(n: int) -> None:
    """Of 4,000 pairs of normal scores of one law, 1 % have intervals apart, within 3 standard errors of that share."""
    import numpy as np

    draws = np.random.default_rng(0).normal(size=(4000, 2, n))
    found = [verdict(scores(real=tuple(a), synthetic=tuple(b))) for a, b in draws]
    assert found.count("gain") / 4000 == pytest.approx(0.011, abs=0.006)
