"""Histograms and scatters: every area is a share, every point at its place."""

from __future__ import annotations

import math
import re
from xml.etree import ElementTree

import pytest

from polydiff.metrics.histogram import summary
from polydiff.metrics.results import Measured
from polydiff.report.axes import BOTTOM, LEFT, RIGHT, TOP
from polydiff.report.histograms import histogram, scatter


def measured(values: list[float], requested: list[float] | None = None) -> Measured:
    return Measured(values, requested or [], "Å", "radius")


def test_a_point_stands_where_its_numbers_say() -> None:
    found = {"edges": [0.0, 1.0, 2.0], "value": [1, 1], "data": [1, 1], "pairs": [[0.0, 0.0], [2.0, 2.0], [1.0, None]]}
    svg = scatter(found, "radius")
    assert svg is not None
    ElementTree.fromstring(svg)
    dots = re.search(r'class="dots" d="([^"]*)"', svg)
    assert dots
    assert dots[1] == f"M{LEFT:.1f} {BOTTOM:.1f}h0M{RIGHT:.1f} {TOP:.1f}h0"
    assert f"M{(LEFT + RIGHT) / 2:.1f} {BOTTOM}v-8" in svg


def test_the_area_of_a_bin_is_its_share() -> None:
    found = {"edges": [0.0, 1.0, 2.0], "value": [3, 1], "data": [0, 0], "pairs": [[1.5, 1.0], [1.5, None]]}
    svg = histogram(found, "<radius>")
    assert svg is not None
    ElementTree.fromstring(svg)
    line = re.search(r'class="mean" d="([^"]*)"', svg)
    assert line
    high, low = (BOTTOM - float(y) for y in re.findall(r"V(\S+?)H", line[1]))
    assert high == pytest.approx(3 * low, rel=0.01)
    requested = re.search(r'class="requested" d="M(\S+) ', svg)
    assert requested
    assert float(requested[1]) == pytest.approx(LEFT + 0.75 * (RIGHT - LEFT), abs=0.1)


@pytest.mark.parametrize("values", [[], [math.nan], [2.5], [2.5, 2.5], [0.0], [-1e300, 1e300]])
def test_any_numbers_make_a_picture_or_none(values: list[float]) -> None:
    found = summary(measured(values, [1.0] * len(values)), measured([]))
    for svg in (histogram(found, "x"), scatter(found, "x")):
        if svg is not None:
            ElementTree.fromstring(svg)
            assert "nan" not in svg
            assert "inf" not in svg
