"""The fewest examples of each metric, and what is said about fewer."""

from __future__ import annotations

import math

import pytest

from polydiff.metrics.least import FEWEST, too_few, value_unless


@pytest.mark.parametrize("kind", FEWEST)
def test_the_reason_names_both_numbers_and_enough_examples_have_none(kind: str) -> None:
    assert too_few(kind, FEWEST[kind], "images") == ""
    assert too_few(kind, FEWEST[kind] - 1, "images") == f"it needs {FEWEST[kind]} images, there are {FEWEST[kind] - 1}"


def test_a_number_without_meaning_is_not_computed() -> None:
    assert value_unless("", lambda: 3.0) == 3
    assert math.isnan(value_unless("too few", lambda: 1 / 0))
