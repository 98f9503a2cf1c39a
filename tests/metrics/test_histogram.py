"""Histograms: every finite number is in a bin, and every requested value is in a pair."""

from __future__ import annotations

import math

import numpy as np

from polydiff.metrics.histogram import BINS, MAX_PAIRS, summary
from polydiff.metrics.results import Measured


def measured(values: list[float], requested: list[float] | None = None) -> Measured:
    return Measured(values, requested or [], "Å", "radius")


def test_exactly_the_finite_numbers_are_in_bins() -> None:
    g = np.random.default_rng(0)
    value, data = [*g.normal(size=500), math.nan, 1e9], [*g.normal(size=300), math.inf]
    found = summary(measured(value), measured(data))
    assert len(found["edges"]) == BINS + 1
    assert (sum(found["value"]), sum(found["data"])) == (501, 300)
    assert found["edges"][-1] < 5  # one outlier does not put all other numbers into one bin
    assert found["value"][-1] >= 1
    assert found["pairs"] == []


def test_whole_numbers_have_a_bin_each() -> None:
    found = summary(measured([0, 1, 1, 3]), measured([2, 2]))
    assert found["edges"] == [-0.5, 0.5, 1.5, 2.5, 3.5]
    assert (found["value"], found["data"]) == ([1, 2, 0, 1], [0, 0, 2, 0])


def test_pairs_keep_requested_values_that_could_not_be_measured() -> None:
    found = summary(measured([1.0, math.nan, 3.0], [1.5, 2.5, math.nan]), measured([2.0]))
    assert found["pairs"] == [[1.5, 1.0], [2.5, None]]
    many = summary(measured([1.0] * 900, [2.0] * 900), measured([2.0]))
    assert len(many["pairs"]) == MAX_PAIRS
