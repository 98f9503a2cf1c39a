"""Tests of `polydiff.contract.data.statistics`."""

from __future__ import annotations

import math
from typing import Any

import pytest

from polydiff.config.merge import resolve
from polydiff.contract.data.statistics import check_finite
from polydiff.contract.discover import build_domain
from polydiff.support.errors import UserError


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize(
    ("name", "nest"),
    [
        ("std", lambda v: {"std": v}),
        ("a.b[1]", lambda v: {"a": {"b": [0.5, v]}}),
        ("c[0].d", lambda v: {"c": ({"d": v},)}),
    ],
)
def test_a_statistic_that_is_not_finite_is_named(name: str, nest: Any, value: float) -> None:
    with pytest.raises(UserError) as raised:
        check_finite(nest(value))
    assert f"The statistic {name} of the training data is {value}" in str(raised.value)
    with pytest.raises(UserError, match="The run is damaged"):
        check_finite(nest(value), saved=True)


def test_finite_statistics_and_other_json_values_pass() -> None:
    check_finite({"std": 0.0, "names": ["nan", "inf"], "counts": [1, 10**400], "missing": None, "on": True})


def test_every_domain_is_checked_where_its_statistics_are_measured_and_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    config = resolve("image").config
    wrong = {"mean": [math.nan], "std": 1.0, "names": ["a"], "counts": [1]}
    monkeypatch.setattr("polydiff.domains.image.domain.measured", lambda *_: wrong)
    with pytest.raises(UserError, match=r"The statistic mean\[0\] of the training data is nan"):
        build_domain(config)
    with pytest.raises(UserError, match="The checkpoint's statistic std is inf"):
        build_domain(config, statistics={"mean": [0.0], "std": math.inf, "names": ["a"], "counts": [1]})
