"""The nearest training text, against the recursive definition of the Levenshtein distance."""

from __future__ import annotations

import math
from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st

from polydiff.domains.sequence.metrics.nearest import Search


@cache
def levenshtein(a: str, b: str) -> int:
    if not a or not b:
        return len(a) + len(b)
    changed = levenshtein(a[1:], b[1:]) + (a[0] != b[0])
    return min(levenshtein(a[1:], b) + 1, levenshtein(a, b[1:]) + 1, changed)


WORDS = st.text("abc", max_size=7)


@given(WORDS, st.lists(st.text("abc", min_size=1, max_size=7), min_size=1, max_size=8))
def test_the_distance_is_the_least_number_of_edits(text: str, known: list[str]) -> None:
    number, distance = Search(range(len(known)), known).find(text)
    assert distance == min(levenshtein(text, other) for other in known)
    assert levenshtein(text, known[number]) == distance


@pytest.mark.parametrize(
    ("a", "b", "edits"), [("kitten", "sitting", 3), ("flaw", "lawn", 2), ("47+85=132", "47+86=133", 2)]
)
def test_known_distances(a: str, b: str, edits: int) -> None:
    assert Search([7], [b]).find(a) == (7, edits)


def test_the_typical_distance_is_the_median_of_held_out_texts() -> None:
    assert Search([0, 1], ["aaa", "bbb"], ["aaa", "aab", "ccc"]).typical == 1
    assert math.isnan(Search([0], ["a"]).typical)
