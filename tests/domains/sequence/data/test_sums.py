"""Sums: their law is known exactly."""

from __future__ import annotations

import math
from collections import Counter

import pytest

from polydiff.domains.sequence.config import SequenceData
from polydiff.domains.sequence.data.source import entropy
from polydiff.domains.sequence.data.sums import TEST, Sums, sums, sums_entropy


@pytest.mark.parametrize("largest", [1, 9, 99])
def test_the_entropy_is_that_of_all_texts_by_enumeration(largest: int) -> None:
    """No two pairs have the same text, so each text has the probability 1 / (M + 1)^2."""
    texts = Counter(f"{a}+{b}={a + b}" for a in range(largest + 1) for b in range(largest + 1))
    p = [n / texts.total() for n in texts.values()]
    exact = -sum(q * math.log2(q) for q in p)
    assert sums_entropy(largest) == pytest.approx(exact, rel=1e-12)
    train = sums(SequenceData(largest=largest)).splits["train"]
    assert entropy(train.whole()) == pytest.approx(exact, rel=1e-12)
    assert Counter(train.spelled(range(len(train)))) == texts


def test_sums_of_two_digits_have_13_29_bits() -> None:
    assert sums_entropy(99) == pytest.approx(13.2877, abs=1e-4)


def test_test_texts_are_drawn_from_the_same_law() -> None:
    """Their first digits, of 100 numbers each equally likely, differ from the law by chance alone (chi-squared)."""
    source = sums(SequenceData())
    test = source.splits["test"]
    assert isinstance(test, Sums)
    assert len(test) == TEST
    assert set(test.whole()) <= set(source.splits["train"].whole())
    for numbers in ([pair // 100 for pair in test.pairs], [pair % 100 for pair in test.pairs]):
        counts = Counter(numbers)
        squared = sum((counts[number] - TEST / 100) ** 2 / (TEST / 100) for number in range(100))
        assert abs(squared - 99) < 5 * math.sqrt(2 * 99)


def test_the_entropy_of_a_list_weighs_repeats() -> None:
    assert entropy(["a", "a", "b", "c"]) == pytest.approx(1.5)
    assert entropy(["a", "a"]) == 0
