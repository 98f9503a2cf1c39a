"""Tests of `polydiff.domains.image.shapes.draw`."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Hashable, Iterable

import pytest

from polydiff.domains.image.shapes.draw import draw
from polydiff.domains.image.shapes.scene import COLOURS, PLACES, RELATIONS, SEEN, SHAPES, SIZES, UNSEEN, Scene

N = 5000


@pytest.fixture(scope="module")
def train() -> list[Scene]:
    return [draw(0, "train", i, (1, 2, 3))[0] for i in range(N)]


def check_uniform(values: Iterable[Hashable], options: int) -> None:
    """Check that all options are equally frequent, within four standard errors."""
    counts = Counter(values)
    n, p = counts.total(), 1 / options
    assert len(counts) == options
    assert max(abs(count - n * p) for count in counts.values()) < 4 * math.sqrt(n * p * (1 - p))


def pairs(scene: Scene) -> list[tuple[str | None, str | None]]:
    return [(thing.colour, thing.shape) for thing in scene.things]


def test_a_scene_depends_on_seed_split_and_index_alone() -> None:
    assert draw(0, "train", 7, (1, 2, 3)) == draw(0, "train", 7, (1, 2, 3))
    others = [draw(0, "train", 8, (1, 2, 3)), draw(1, "train", 7, (1, 2, 3)), draw(0, "test", 7, (1, 2, 3))]
    assert draw(0, "train", 7, (1, 2, 3)) not in others


def test_unseen_pairs_are_in_no_training_and_no_test_scene(train: list[Scene]) -> None:
    test = [draw(0, "test", i, (1, 2, 3))[0] for i in range(N)]
    for scenes in (train, test):
        assert {pair for scene in scenes for pair in pairs(scene)} == set(SEEN)


def test_unseen_scenes_have_exactly_one_unseen_pair_anywhere() -> None:
    scenes = [draw(0, "unseen", i, (1, 2, 3))[0] for i in range(1000)]
    assert {sum(pair in UNSEEN for pair in pairs(scene)) for scene in scenes} == {1}
    check_uniform((pairs(s).index(next(p for p in pairs(s) if p in UNSEEN)) for s in scenes if len(s.things) == 3), 3)
    check_uniform((pair for scene in scenes for pair in pairs(scene) if pair in UNSEEN), len(UNSEEN))


def test_attributes_are_uniform(train: list[Scene]) -> None:
    things = [thing for scene in train for thing in scene.things]
    check_uniform((len(scene.things) for scene in train), 3)
    check_uniform((thing.colour for thing in things), len(COLOURS))
    check_uniform((thing.shape for thing in things), len(SHAPES))
    check_uniform(((thing.colour, thing.shape) for thing in things), len(SEEN))
    check_uniform((thing.size for thing in things), len(SIZES))
    check_uniform((scene.place for scene in train if len(scene.things) == 1), len(PLACES))
    check_uniform((scene.relations[0] for scene in train if len(scene.things) == 2), len(RELATIONS))
    check_uniform((scene.relations for scene in train if len(scene.things) == 3), 12)


def test_things_of_a_scene_differ_in_colour_or_shape(train: list[Scene]) -> None:
    assert all(len(set(pairs(scene))) == len(scene.things) for scene in train)
