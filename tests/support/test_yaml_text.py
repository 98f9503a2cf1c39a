"""YAML text reads back as the value that was written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from fake_plugins import install_ring
from hypothesis import example, given
from hypothesis import strategies as st
from settings_cases import values

from polydiff.support.yaml_text import one_line_yaml, parse_yaml


@pytest.fixture(autouse=True)
def ring(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install_ring(tmp_path / "ring", monkeypatch)


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
