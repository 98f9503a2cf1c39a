"""What a caption demands of a scene, with what it leaves open."""

from __future__ import annotations

from dataclasses import dataclass, replace

from polydiff.domains.image.shapes.layout import Dice
from polydiff.domains.image.shapes.scene import Scene


@dataclass(frozen=True)
class Wanted:
    """What is demanded of one thing.

    Arguments:
        colour: A name of `COLOURS`.
        shape: A name of `SHAPES`.
        size: A name of `SIZES`; None: open.
    """

    colour: str
    shape: str
    size: str | None = None


@dataclass(frozen=True)
class Spec:
    """What is demanded of a scene: these things, no others, and where they are.

    Arguments:
        things: One to three things.
        place: Place of the only thing; None: open.
        relations: Relation of the first thing to each of the others; (): open.
    """

    things: tuple[Wanted, ...]
    place: str | None = None
    relations: tuple[str, ...] = ()


def full(scene: Scene) -> Spec:
    """Return the demand for all attributes of a drawn scene."""
    things = tuple(Wanted(str(thing.colour), str(thing.shape), thing.size) for thing in scene.things)
    return Spec(things, scene.place, scene.relations)


def partial(spec: Spec, dice: Dice) -> Spec:
    """Return a demand without some of the sizes, the place or the relations: each is left open with probability 1/2.

    It may leave nothing open. Colours and shapes are always demanded. Two relations are left open together.
    """
    things = tuple(replace(wanted, size=dice.pick((wanted.size, None))) for wanted in spec.things)
    return Spec(things, *dice.pick(((spec.place, spec.relations), (None, ()))))
