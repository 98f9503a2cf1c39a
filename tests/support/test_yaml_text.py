"""YAML text reads back as the value that was written."""

from __future__ import annotations

import enum
import time
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from settings_cases import values

from polydiff.support.errors import UserError
from polydiff.support.yaml_text import DEEPEST, dump_yaml, one_line_yaml, parse_yaml, plain


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


ODD = [
    "!!int 'x'",
    "!!float 'x'",
    "!!bool 'x'",
    "!!timestamp 'x'",
    "!!timestamp 2026-02-30",
    "!!binary 'x'",
    "!!set {a}",
]
ODD += ["9" * 5000, "[" * 3000, "[" * 3000 + "]" * 3000, "{a: " * 3000, "!!omap [a]", "!!pairs 3", "<<: 3", "\0"]
ODD += [
    "{[1]: 2}",
    "&a [*a]",
    "a: &x {b: *x}",
    "!!binary aGk=",
    "!!binary 'x'",
    "!!python/object:os.system x",
    "a: 1\na: 2",
]
ODD += ["a: 1\na: 2", "!!timestamp 2026-02-03", "[" * (DEEPEST + 2) + "]" * (DEEPEST + 2)]


@pytest.mark.parametrize("text", ODD, ids=lambda text: text[:30])
def test_text_that_no_configuration_can_hold_is_an_error_of_one_line(text: str) -> None:
    with pytest.raises(UserError, match=r"^here[,:].*[.]$") as error:
        parse_yaml(text, "here")
    assert len(str(error.value)) < 400


def test_aliases_that_stand_for_billions_of_values_raise_soon() -> None:
    lines = ["a0: &a0 [" + ", ".join("x" * 9) + "]"]
    lines += [f"a{i}: &a{i} [" + ", ".join([f"*a{i - 1}"] * 9) + "]" for i in range(1, 12)]
    began = time.monotonic()
    with pytest.raises(UserError, match="too many values"):
        parse_yaml("\n".join(lines), "here")
    assert time.monotonic() - began < 20


@pytest.mark.parametrize("text", ["2026-02-03", "2026-02-30", "2026-13-01T25:00:00", "2001-12-14t21:59:43.10-05:00"])
def test_a_date_is_text(text: str) -> None:
    assert parse_yaml(f"path: {text}", "here") == {"path": text}


class Shape(enum.Enum):
    COSINE = "cosine"
    PAIR = (1, 2)


class Level(enum.IntEnum):
    HIGH = 7


class Word(enum.StrEnum):
    COSINE = "cosine"


@pytest.mark.parametrize(
    ("value", "held"),
    [
        ("C:\\new\\tab", "C:\\new\\tab"),
        ("yes", "yes"),
        ("1e-3", "1e-3"),
        ("two\nlines: [", "two\nlines: ["),
        (Path("a b/c"), "a b/c"),
        ((1, (2.5, None)), [1, [2.5, None]]),
        (np.int64(5), 5),
        (np.float32(0.5), 0.5),
        (np.bool_(True), True),
        (np.str_("a\\b"), "a\\b"),
        (np.array(5), 5),
        (np.array([[1, 2], [3, 4]]), [[1, 2], [3, 4]]),
        (np.array(["a\\b"]), ["a\\b"]),
        (torch.tensor([1.0, 2.0]), [1.0, 2.0]),
        (Fraction(1, 2), 0.5),
        (Shape.COSINE, "cosine"),
        (Shape.PAIR, [1, 2]),
        (Level.HIGH, 7),
        (Word.COSINE, "cosine"),
        ({"a\\b": {Word.COSINE: np.float64(3.0)}}, {"a\\b": {"cosine": 3.0}}),
    ],
)
def test_a_value_of_python_stays_a_value(value: Any, held: Any) -> None:
    found = plain(value, "key")
    assert found == held
    assert type(found) is type(held)


@pytest.mark.parametrize("value", [{1, 2}, b"x", 1j, object(), range(3), np.array([1j])])
def test_a_value_that_a_configuration_cannot_hold_is_an_error_that_names_the_key(value: Any) -> None:
    with pytest.raises(UserError, match=r"^key(\.a\[0\])*\S*: a configuration cannot hold the type"):
        plain({"a": [value]}, "key")


def test_a_value_that_holds_itself_is_an_error() -> None:
    loop: list[Any] = []
    loop.append(loop)
    with pytest.raises(UserError, match=r"^key: the value holds itself"):
        plain(loop, "key")


def test_mappings_merge_and_a_key_of_its_own_wins() -> None:
    text = "c: &c {a: 1, b: 2}\nd: &d {<<: *c, a: 3}\ne: {<<: *d, b: 4}\nf: {<<: [*d, *c]}\n"
    assert parse_yaml(text, "x")["d"] == {"a": 3, "b": 2}
    assert parse_yaml(text, "x")["e"] == {"a": 3, "b": 4}
    assert parse_yaml(text, "x")["f"] == {"a": 3, "b": 2}
    with pytest.raises(UserError, match="the key 'a' is given twice"):
        parse_yaml("c: &c {a: 1}\nd: {<<: *c, a: 3, a: 4}\n", "x")


@pytest.mark.parametrize("name", ["on", "null", "1", "1e3", "2026-02-03", "a: b", "~"])
def test_names_that_yaml_reads_as_other_types_stay_text(name: str) -> None:
    assert parse_yaml(dump_yaml({name: {name: 1}}, {f"{name}.{name}": ""}), "x") == {name: {name: 1}}
