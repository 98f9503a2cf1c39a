"""Tests of `polydiff.domains.image.shapes.spec`."""

from __future__ import annotations

from itertools import product

from polydiff.domains.image.shapes.draw import draw
from polydiff.domains.image.shapes.layout import Dice
from polydiff.domains.image.shapes.spec import full, partial


def test_a_full_demand_leaves_nothing_open() -> None:
    for count in (1, 2, 3):
        scene, _ = draw(0, "train", 3, (count,))
        spec = full(scene)
        assert [(w.colour, w.shape, w.size) for w in spec.things] == [
            (thing.colour, thing.shape, thing.size) for thing in scene.things
        ]
        assert (spec.place is not None) == (count == 1)
        assert len(spec.relations) == count - 1


def test_each_attribute_but_colour_and_shape_is_left_open_half_of_the_time() -> None:
    spec = full(draw(0, "train", 3, (2,))[0])
    found = [partial(spec, Dice(numbers)) for numbers in product((0.25, 0.75), repeat=3)]
    assert len(set(found)) == 8
    for one in found:
        assert [(w.colour, w.shape) for w in one.things] == [(w.colour, w.shape) for w in spec.things]
        assert all(a.size in (None, b.size) for a, b in zip(one.things, spec.things, strict=True))
        assert one.relations in ((), spec.relations)
