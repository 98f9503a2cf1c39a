"""Tests of `polydiff.domains.image.shapes.scene`."""

from __future__ import annotations

from collections import Counter
from itertools import combinations
from math import dist

import pytest

from polydiff.domains.image.shapes.scene import COLOURS, PLACES, SEEN, SHAPES, UNSEEN, Scene, Thing, place, relation


def at(x: float, y: float) -> Thing:
    return Thing("circle", "red", "small", x, y)


def test_colours_are_far_apart() -> None:
    assert min(dist(a, b) for a, b in combinations(COLOURS.values(), 2)) > 100


def test_training_shows_each_colour_and_each_shape_in_equally_many_pairs() -> None:
    assert len(SEEN) + len(UNSEEN) == len(COLOURS) * len(SHAPES)
    assert set(Counter(colour for colour, _ in SEEN).values()) == {len(SHAPES) - 1}
    assert len(set(Counter(shape for _, shape in SEEN).values())) == 1


@pytest.mark.parametrize(("name", "middle"), PLACES.items())
def test_a_place_extends_halfway_to_the_centre(name: str, middle: tuple[float, float]) -> None:
    assert place(at(*middle)) == name
    assert place(at(middle[0] + 3.9, middle[1] - 3.9)) == name
    assert place(at(middle[0], middle[1] + 4.1)) != name


def test_between_places_is_no_place() -> None:
    assert place(at(16, 8)) is None
    assert Scene((at(8, 8), at(24, 24))).place is None


@pytest.mark.parametrize(
    ("x", "y", "name"),
    [(26, 18, "left of"), (6, 13, "right of"), (18, 26, "above"), (13, 6, "below")],
)
def test_a_relation_is_the_direction_of_the_larger_difference(x: float, y: float, name: str) -> None:
    assert relation(at(16, 16), at(x, y)) == name
    assert Scene((at(16, 16), at(x, y), at(0, 16))).relations == (name, "right of")
