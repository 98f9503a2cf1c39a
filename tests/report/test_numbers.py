"""Format of numbers and their standard errors, on the page and on the terminal."""

from __future__ import annotations

import math
from typing import Any

import pytest

from polydiff.report.numbers import DASH, figures, number, places, with_error


@pytest.mark.parametrize(
    ("value", "error", "digits", "shown"),
    [
        (0.9123, 0.0083, 1, "0.912 ± 0.008"),
        (0.9123, 0.0083, 2, "0.9123 ± 0.0083"),
        (12345.6, 78.0, 1, "12,346 ± 78"),
        (-12345.6, 1234.0, 2, "-12,346 ± 1,234"),
        (0.5, 0.00998, 1, "0.50 ± 0.01"),
        (1.23456, 2e-5, 1, "1.23456 ± 0.00002"),
        (1.1e-10, 7e-11, 1, "1.1e-10 ± 7e-11"),
        (1.23456, 2.1e-9, 2, "1.235 ± 2.1e-09"),
        (0.5, None, 1, "0.5"),
        (0.5, math.nan, 1, "0.5"),
        (0.5, 0.0, 1, "0.5"),
        (None, 0.1, 1, DASH),
        (math.nan, math.nan, 1, DASH),
        ("no number", None, 1, DASH),
    ],
)
def test_a_number_has_the_decimal_places_of_its_error(value: Any, error: Any, digits: int, shown: str) -> None:
    assert with_error(value, error, digits) == shown


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0.98765, "0.9877"), (999.4, "999.4"), (20000.0, "20,000"), (1e7, "1e+07"), (math.nan, DASH)],
)
def test_a_number_without_error_has_four_significant_figures(value: float, shown: str) -> None:
    assert figures(value) == shown


def test_a_value_that_is_not_a_number_is_nan() -> None:
    assert [number(value) for value in (1, "2.5", True)] == [1.0, 2.5, 1.0]
    assert all(math.isnan(number(value)) for value in (None, "", [], "x"))


@pytest.mark.parametrize(
    ("error", "digits", "shown"),
    [
        (0.034, 1, "0.03"),
        (0.034, 2, "0.034"),
        (0.00998, 1, "0.01"),
        (0.00998, 2, "0.010"),
        (3.5, 1, "4"),
        (120.0, 1, "120"),
    ],
)
def test_places_show_the_digits_of_an_error(error: float, digits: int, shown: str) -> None:
    assert f"{error:.{places(error, digits)}f}" == shown
