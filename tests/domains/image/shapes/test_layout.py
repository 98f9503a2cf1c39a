"""Tests of `polydiff.domains.image.shapes.layout`."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations, product

import pytest
import torch

from polydiff.core.streams import stream
from polydiff.domains.image.shapes.layout import GAP, JITTER, LEAD, MARGIN, OPPOSITE, Dice, Point, at_place, related
from polydiff.domains.image.shapes.scene import PLACES, RELATIONS, UNITS, Thing, relation

HALVES = (3.36, 3.64, 5.76, 6.24)
"""Least and greatest half widths of small and of large things."""
WAYS = [(name,) for name in RELATIONS] + [way for way in product(RELATIONS, repeat=2) if way[1] != OPPOSITE[way[0]]]
EXTREMES = [[bit * (1 - 1e-12)] * 12 for bit in (0.0, 0.5, 1.0)]


def rolls(n: int) -> list[list[float]]:
    """Lists of uniform numbers, with all least, middle and greatest ones among them."""
    return EXTREMES + torch.rand(n, 12, generator=stream(0, "layout"), dtype=torch.float64).tolist()


def excess(a: Point, b: Point, name: str) -> float:
    """How much more two points differ along the direction of a relation than across it."""
    dx, dy = b[0] - a[0], b[1] - a[1]
    along = {"left of": dx, "right of": -dx, "above": dy, "below": -dy}[name]
    return along - min(abs(dx), abs(dy))


@pytest.mark.parametrize("way", WAYS, ids=" + ".join)
def test_things_are_inside_apart_and_in_their_relations(way: Sequence[str]) -> None:
    for halves in product(HALVES, repeat=len(way) + 1):
        for numbers in rolls(5):
            points = related(Dice(numbers), halves, way)
            for (x, y), half in zip(points, halves, strict=True):
                assert MARGIN + half - 1e-9 <= min(x, y)
                assert max(x, y) <= UNITS - MARGIN - half + 1e-9
            for i, j in combinations(range(len(points)), 2):
                gaps = [abs(p - q) - halves[i] - halves[j] for p, q in zip(points[i], points[j], strict=True)]
                assert max(gaps) >= GAP - 1e-9
            things = [Thing(None, None, None, *point) for point in points]
            for name, point, thing in zip(way, points[1:], things[1:], strict=True):
                assert relation(things[0], thing) == name
                assert excess(points[0], point, name) >= LEAD - 1e-9


@pytest.mark.parametrize("name", PLACES)
def test_a_thing_is_near_the_middle_of_its_place(name: str) -> None:
    for numbers in rolls(100):
        point = at_place(Dice(numbers), name)
        assert max(abs(p - q) for p, q in zip(point, PLACES[name], strict=True)) <= JITTER
