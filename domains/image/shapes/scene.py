"""What a scene is: one to three things with shape, colour, size and position, and the words for them.

Lengths and positions are in units of 1/32 of the side of the picture, with x to the right and y downwards from the
upper left corner. At 32 x 32 pixels, a unit is a pixel.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

UNITS = 32
"""Side of a picture in units."""
SHAPES = ("circle", "square", "triangle", "cross")
COLOURS: Mapping[str, tuple[int, int, int]] = {
    "red": (205, 30, 35),
    "orange": (240, 130, 10),
    "yellow": (250, 235, 40),
    "green": (40, 150, 60),
    "cyan": (40, 200, 225),
    "blue": (40, 70, 215),
    "purple": (150, 40, 180),
    "black": (25, 25, 25),
}
"""Name of a colour -> its mean RGB value; any two are more than 100 apart."""
SIZES: Mapping[str, float] = {"small": 7.0, "large": 12.0}
"""Name of a size -> mean width and height of a thing, in units."""
PLACES: Mapping[str, tuple[float, float]] = {
    "top left": (8, 8),
    "top right": (24, 8),
    "bottom left": (8, 24),
    "bottom right": (24, 24),
    "centre": (16, 16),
}
"""Name of a place -> its middle (x, y), in units."""
REACH = 4.0
"""A thing is at a place if x and y each differ from the place's middle by less than this."""
RELATIONS = ("left of", "right of", "above", "below")
UNSEEN = (
    ("red", "triangle"),
    ("orange", "cross"),
    ("yellow", "square"),
    ("green", "circle"),
    ("cyan", "triangle"),
    ("blue", "cross"),
    ("purple", "square"),
    ("black", "circle"),
)
"""Pairs of colour and shape that training never shows: one of each colour and two of each shape, so that all colours,
and all shapes, are equally frequent in training."""
SEEN = tuple((colour, shape) for colour in COLOURS for shape in SHAPES if (colour, shape) not in UNSEEN)


@dataclass(frozen=True)
class Thing:
    """One thing of a scene.

    Arguments:
        shape: One of `SHAPES`; None if a detector recognises none.
        colour: One of `COLOURS`; None if a detector recognises none.
        size: One of `SIZES`; None if a detector recognises no shape.
        x: Middle of its bounding box from the left, in units.
        y: Middle of its bounding box from the top, in units.
    """

    shape: str | None
    colour: str | None
    size: str | None
    x: float
    y: float


@dataclass(frozen=True)
class Scene:
    """The things of a picture.

    Arguments:
        things: In the order in which captions name them, or, from a detector, in any order.
    """

    things: tuple[Thing, ...]

    @property
    def place(self) -> str | None:
        """Place of the only thing; None if there are several, or if the thing is between places."""
        return place(self.things[0]) if len(self.things) == 1 else None

    @property
    def relations(self) -> tuple[str, ...]:
        """Relation of the first thing to each further thing."""
        return tuple(relation(self.things[0], other) for other in self.things[1:])


def place(thing: Thing) -> str | None:
    """Return the place of a thing; None if it is between places."""
    for name, (x, y) in PLACES.items():
        if max(abs(thing.x - x), abs(thing.y - y)) < REACH:
            return name
    return None


def relation(first: Thing, second: Thing) -> str:
    """Return where the first thing is, seen from the second: the direction in which their positions differ most."""
    dx, dy = second.x - first.x, second.y - first.y
    if abs(dx) > abs(dy):
        return "left of" if dx > 0 else "right of"
    return "above" if dy > 0 else "below"
