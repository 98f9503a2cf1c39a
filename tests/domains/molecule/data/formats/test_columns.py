"""Tests of `polydiff.domains.molecule.data.formats.columns`."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from polydiff.domains.molecule.data.formats.columns import NumericColumns, as_number


def column(cells: Sequence[str]) -> tuple[list[float] | None, list[str]]:
    """Return the values of a column, None if it is not numeric, and the remarks on it."""
    columns = NumericColumns()
    for i, cell in enumerate(cells):
        columns.add({"x": cell}, f"line {i + 2}")
    names, values = columns.table()
    return (values[:, 0].tolist() if names == ("x",) else None), columns.remarks


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0,5", 0.5), ("-1,25", -1.25), ("12,0", 12.0), (",5", 0.5), ("1,5e-3", 0.0015), (" 7,1 ", 7.1),
        ("0,123", 0.123),
        ("1234,567", 1234.567), ("1,234", None), ("-12,345", None), ("1,2,3", None), ("1.234,5", None), ("<5", None),
        ("0.5", 0.5),
    ],
)  # fmt: skip
def test_a_decimal_comma_is_read_unless_it_may_separate_thousands(text: str, value: float | None) -> None:
    assert as_number(text) == (value, value is not None and "," in text)


def test_decimal_commas_are_counted() -> None:
    values, remarks = column(["1.5", "0,5", "2"])
    assert values == [1.5, 0.5, 2]
    assert remarks == ["column x: numbers with a decimal comma: 1, such as '0,5' (line 3)"]


def test_a_column_of_numbers_that_is_not_read_is_named_with_the_first_other_cell() -> None:
    values, remarks = column(["1", "2", "n/a", "<5", "3"])
    assert values is None
    assert remarks == ["column x is not read: it has 3 numbers; other cells: 2, such as 'n/a' (line 4)"]
    assert column(["a", "b"]) == (None, [])


@pytest.mark.parametrize("wild", ["1e30", "-1e9", "1e300"])
def test_one_number_far_from_all_others_counts_as_unknown(wild: str) -> None:
    usual = [str(i / 10) for i in range(20)]
    values, remarks = column([*usual, wild])
    assert values is not None
    assert np.isnan(values).tolist() == [False] * 20 + [True]
    assert "count as unknown: 1, such as" in remarks[0]
    for cells in (usual, ["0"] * 9 + ["1"], [str(10.0**i) for i in range(-2, 5)], ["7"]):
        assert column(cells) == ([float(cell) for cell in cells], [])
