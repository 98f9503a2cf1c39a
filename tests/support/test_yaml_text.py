"""YAML text reads back as the value that was written."""

from __future__ import annotations

from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st
from settings_cases import values

from polydiff.support.yaml_text import one_line_yaml, parse_yaml


@given(values)
@example("1e-3")
@example("two\nlines")
@example({"a": "1_0e5", "b": [".5e3"]})
def test_one_line_of_yaml_reads_back(value: Any) -> None:
    text = one_line_yaml(value)
    assert "\n" not in text
    assert parse_yaml(f"key: {text}  # comment", "here") == {"key": value}


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_every_float_that_python_prints_is_read_as_that_number(number: float) -> None:
    assert parse_yaml(repr(number), "here") == number
