"""Distances of n-grams: exact on small texts, and at their floor on texts of one law."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest

from polydiff.domains.sequence.metrics.ngrams import EDGE, count, distance, ngrams, variation


def test_ngrams_see_where_texts_begin_and_end() -> None:
    assert ngrams("abc", 1, True) == ["a", "b", "c"]
    assert ngrams("abc", 2, True) == [f"{EDGE}a", "ab", "bc", f"c{EDGE}"]
    assert ngrams("abc", 2, False) == ["ab", "bc"]
    assert ngrams("", 3, True) == []


def test_the_total_variation_of_known_counts() -> None:
    assert variation(Counter(a=1, b=1), Counter(a=3, c=1)) == pytest.approx(0.5 * (0.25 + 0.5 + 0.25))
    assert variation(Counter(a=2), Counter(a=7)) == 0
    assert variation(Counter(a=2), Counter(b=7)) == 1
    assert math.isnan(variation(Counter(), Counter(a=1)))


def test_texts_of_one_law_are_at_the_floor() -> None:
    """|p - q| of a letter has the mean sqrt(2 / pi) sqrt(p (1 - p) / N), so TV is near sqrt(G / (2 pi N))."""
    draws = np.random.default_rng(0).integers(0, 20, (400, 50))
    texts = ["".join(chr(97 + i) for i in row) for row in draws]
    law = Counter({chr(97 + i): 1 for i in range(20)})
    found = distance(texts, law, 1, edges=False)
    assert found.value == pytest.approx(math.sqrt(20 / (2 * math.pi * 20_000)), rel=0.4)
    assert 0 < found.error < found.value


def test_the_error_is_the_spread_over_repetitions() -> None:
    """The jackknife over groups agrees with the standard deviation over 200 other sets of samples."""
    generator = np.random.default_rng(1)
    law = Counter(a=3, b=1)

    def one() -> tuple[float, float]:
        texts = ["".join(np.where(row < 0.5, "a", "b")) for row in generator.random((100, 5))]
        return distance(texts, law, 1, edges=False)

    found = np.array([one() for _ in range(200)])
    assert found[:, 1].mean() == pytest.approx(found[:, 0].std(), rel=0.15)


def test_counts_of_several_texts_add_up() -> None:
    assert count(["ab", "b"], 1, True) == Counter(a=1, b=2)
