"""Random positions of things that stand in given relations, lie inside the picture and never touch.

All positions are constructed, none is rejected. Each relation is dominant: of "left of", x differs by at least `LEAD`
more than y. Bounding boxes are at least `GAP` apart in x or in y. The comments call the half widths of things a, b, c.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeVar

from polydiff.domains.image.shapes.scene import PLACES, UNITS

MARGIN = 1.0
"""Least distance of a bounding box to the edge of the picture, in units."""
GAP = 2.0
"""Least distance between bounding boxes, in units."""
LEAD = 4.0
"""Least excess of the difference along a relation's direction over that across it, in units."""
JITTER = 0.75
"""Largest deviation of a thing from the middle of its place, in x and in y, in units."""
OPPOSITE = {"left of": "right of", "right of": "left of", "above": "below", "below": "above"}

Point = tuple[float, float]
T = TypeVar("T")


class Dice:
    """Random choices made from a list of uniform numbers, used one after the other.

    Arguments:
        numbers: Numbers in [0, 1).
    """

    def __init__(self, numbers: Sequence[float]) -> None:
        self.numbers: Iterator[float] = iter(numbers)

    def between(self, low: float, high: float) -> float:
        """Return a uniform number between two bounds."""
        return low + (high - low) * next(self.numbers)

    def pick(self, options: Sequence[T]) -> T:
        """Return one of the options, all equally likely."""
        return options[int(len(options) * next(self.numbers))]


def at_place(dice: Dice, name: str) -> Point:
    """Return the position of a thing at a place."""
    x, y = PLACES[name]
    return x + dice.between(-JITTER, JITTER), y + dice.between(-JITTER, JITTER)


def related(dice: Dice, halves: Sequence[float], relations: Sequence[str]) -> list[Point]:
    """Return positions of two or three things; the first has the given relation to each of the others.

    Arguments:
        dice: Source of random choices.
        halves: Half the width of each thing, in units.
        relations: Relation of the first thing to each of the others; two of them are not opposite.
    """
    if len(relations) == 1:
        return [turn(point, relations[0]) for point in pair(dice, *halves)]
    first, second = relations
    if first == second:
        return [turn(point, first) for point in fan(dice, *halves)]
    if first in ("above", "below"):  # then the second is horizontal: exchange the two
        a, c, b = related(dice, (halves[0], halves[2], halves[1]), (second, first))
        return [a, b, c]
    points = corner(dice, *halves)
    return [(UNITS - x if first == "right of" else x, UNITS - y if second == "below" else y) for x, y in points]


def turn(point: Point, relation: str) -> Point:
    """Return a point of a layout for "left of" in the layout for another relation."""
    x, y = point
    return {"left of": (x, y), "right of": (UNITS - x, y), "above": (y, x), "below": (y, UNITS - x)}[relation]


def inside(half: float) -> Point:
    """Return the least and the greatest coordinate of a thing in the picture."""
    return MARGIN + half, UNITS - MARGIN - half


def near(dice: Dice, half: float, middle: float, reach: float) -> float:
    """Return a coordinate in the picture that differs from `middle` by at most `reach`."""
    low, high = inside(half)
    return dice.between(max(low, middle - reach), min(high, middle + reach))


def pair(dice: Dice, a: float, b: float) -> list[Point]:
    """Return positions of two things, the first left of the second."""
    x_a = dice.between(MARGIN + a, inside(b)[1] - a - b - GAP)
    x_b = dice.between(x_a + a + b + GAP, inside(b)[1])
    y_a = dice.between(*inside(a))
    return [(x_a, y_a), (x_b, near(dice, b, y_a, x_b - x_a - LEAD))]


def fan(dice: Dice, a: float, b: float, c: float) -> list[Point]:
    """Return positions of three things, the first left of both others."""
    if dice.pick((False, True)):  # the second is below the third
        return [(x, UNITS - y) for x, y in fan_below(dice, a, b, c)]
    return fan_below(dice, a, b, c)


def fan_below(dice: Dice, a: float, b: float, c: float) -> list[Point]:
    """Return positions of three things, the first left of both others, the third below the second."""
    widest = max(b, c)
    x_a = dice.between(MARGIN + a, inside(widest)[1] - a - widest - GAP)
    x_b = dice.between(x_a + a + b + GAP, inside(b)[1])
    x_c = dice.between(x_a + a + c + GAP, inside(c)[1])
    reach_b, reach_c = x_b - x_a - LEAD, x_c - x_a - LEAD
    dy = dice.between(b + c + GAP, min(reach_b + reach_c, inside(c)[1] - inside(b)[0]))
    y_b = dice.between(MARGIN + b, inside(c)[1] - dy)
    y_c = y_b + dy
    low, high = max(inside(a)[0], y_b - reach_b, y_c - reach_c), min(inside(a)[1], y_b + reach_b, y_c + reach_c)
    return [(x_a, dice.between(low, high)), (x_b, y_b), (x_c, y_c)]


def corner(dice: Dice, a: float, b: float, c: float) -> list[Point]:
    """Return positions of three things, the first left of the second and above the third."""
    if dice.pick((False, True)):
        first, third, second = ((y, x) for x, y in corner_wide(dice, a, c, b))
        return [first, second, third]
    return corner_wide(dice, a, b, c)


def corner_wide(dice: Dice, a: float, b: float, c: float) -> list[Point]:
    """Return positions as `corner` does, with the second and the third apart in x."""
    x_a = dice.between(MARGIN + a, inside(b)[1] - a - b - GAP)
    y_a = dice.between(MARGIN + a, inside(c)[1] - a - c - GAP)
    x_b = dice.between(max(x_a + a + b + GAP, MARGIN + c + b + c + GAP), inside(b)[1])
    y_c = dice.between(y_a + a + c + GAP, inside(c)[1])
    y_b = near(dice, b, y_a, x_b - x_a - LEAD)
    reach = y_c - y_a - LEAD
    low, high = max(MARGIN + c, x_a - reach), min(x_a + reach, x_b - b - c - GAP)
    return [(x_a, y_a), (x_b, y_b), (dice.between(low, high), y_c)]
