"""Tests of `polydiff.domains.image.shapes.judge`."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from polydiff.core.streams import stream
from polydiff.domains.image.shapes.caption import parse
from polydiff.domains.image.shapes.dataset import Shapes
from polydiff.domains.image.shapes.judge import agreement, confusions, judge, left_open, score
from polydiff.domains.image.shapes.scene import Scene, Thing

CIRCLE = Thing("circle", "red", "small", 8, 8)
SQUARE = Thing("square", "blue", "large", 24, 10)
CROSS = Thing("cross", "black", "large", 9, 24)
RELATED = "a small red circle left of a large blue square and above a large black cross"


def wrong(scene: Scene | None, caption: str) -> set[str]:
    """What a scene does not meet of a caption."""
    return {name for name, right in judge(scene, parse(caption)).right.items() if not right}


@pytest.mark.parametrize("partial", [0.0, 1.0])
@pytest.mark.parametrize("side", [32, 64])
def test_real_pictures_agree_with_their_captions(side: int, partial: float) -> None:
    shapes = Shapes(side, (1, 2, 3), partial=partial)
    found = score(shapes.batch(range(200))[0], shapes.specs(range(200)))
    assert {name: metric.value for name, metric in found.items()} == {
        **dict.fromkeys(("shape", "colour", "size", "place", "relation", "count", "all_right"), 1.0),
        "no_scene": 0.0,
    }
    assert all(0 < metric.error < 0.03 for metric in found.values())


def test_pictures_of_other_captions_agree_by_chance() -> None:
    shapes = Shapes()
    n = 1000
    found = score(shapes.batch(range(n))[0].roll(1, 0), shapes.specs(range(n)))
    for name, chance in (("shape", 1 / 4), ("colour", 1 / 8), ("size", 1 / 2), ("place", 1 / 5), ("count", 1)):
        assert abs(found[name].value - chance) < 4 * found[name].error, name
    assert found["all_right"].value < 0.03
    assert "relation" not in found


def test_noise_is_no_scene_and_nothing_is_right() -> None:
    shapes = Shapes(counts=(1, 2, 3))
    noise = torch.randint(256, (100, 3, 32, 32), generator=stream(0, "noise"), dtype=torch.uint8)
    found = score(noise, shapes.specs(range(100)))
    assert found.pop("no_scene").value == 1
    assert {metric.value for metric in found.values()} == {0}


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1), (1, 2, 0)])
def test_the_order_of_read_things_has_no_influence(order: tuple[int, ...]) -> None:
    things = (CIRCLE, SQUARE, CROSS)
    assert wrong(Scene(tuple(things[i] for i in order)), RELATED) == set()


@pytest.mark.parametrize(
    ("things", "names"),
    [
        ((replace(CIRCLE, colour="green"), SQUARE, CROSS), {"colour"}),
        ((replace(CIRCLE, shape="triangle"), SQUARE, CROSS), {"shape"}),
        ((CIRCLE, replace(SQUARE, size="small"), CROSS), {"size"}),
        ((replace(CIRCLE, x=28, y=8), SQUARE, CROSS), {"relation"}),
        ((CIRCLE, SQUARE, CROSS, Thing("cross", "cyan", "small", 26, 26)), {"count"}),
        ((CIRCLE, SQUARE), {"count", "shape", "colour", "size", "relation"}),
        ((CIRCLE, replace(SQUARE, shape=None, size=None), CROSS), {"shape", "size"}),
        ((replace(CIRCLE, colour="blue"), replace(SQUARE, colour="red"), CROSS), {"colour"}),
    ],
)
def test_one_difference_is_one_error(things: tuple[Thing, ...], names: set[str]) -> None:
    assert wrong(Scene(things), RELATED) == names | {"all_right"}


@pytest.mark.parametrize(
    ("caption", "names"),
    [
        ("a red circle", set()),
        ("a large red circle", {"size"}),
        ("a red circle at the top left", set()),
        ("in the centre is a red circle", {"place"}),
        ("a red circle and a blue square", {"count", "shape", "colour"}),
    ],
)
def test_what_a_caption_leaves_open_is_not_judged(caption: str, names: set[str]) -> None:
    assert wrong(Scene((CIRCLE,)), caption) == names | ({"all_right"} if names else set())


def test_equal_things_are_matched_by_their_relation() -> None:
    scene = Scene((replace(CIRCLE, x=20, y=9), CIRCLE))
    assert wrong(scene, "a red circle left of a red circle") == set()
    assert wrong(scene, "a red circle above a red circle") == {"relation", "all_right"}


def test_confusions_count_what_is_seen_for_each_demand() -> None:
    scenes = [Scene((CIRCLE,)), Scene((replace(CIRCLE, colour="blue"),)), None, Scene((CIRCLE, SQUARE))]
    specs = [parse("a red circle")] * 3 + [parse("a red circle and a blue square")]
    found = confusions(scenes, specs)
    red = dict(zip(found["colour"].seen, found["colour"].counts[0], strict=True))
    assert {name: n for name, n in red.items() if n} == {"red": 1, "blue": 1, "none": 1}
    assert found["shape"].counts[0] == [2, 0, 0, 0, 1]


def test_what_captions_leave_open_is_counted() -> None:
    scenes = [Scene((CIRCLE,)), Scene((CIRCLE,)), Scene((CIRCLE, SQUARE)), Scene((SQUARE,)), None]
    captions = ["a red circle", "a small red circle at the top left", "a large red circle and a blue square"]
    found = left_open(
        scenes, [parse(caption) for caption in [*captions, "a red circle and a blue square", "a red circle"]]
    )
    assert found["size"] == {"small": 1, "large": 2}
    assert found["place"] == {"top left": 1}
    assert found["relation"] == {"left of": 1}


def test_attributes_that_no_caption_names_are_absent() -> None:
    assert set(agreement([Scene((CIRCLE,))], [parse("a red circle")])) == {
        "shape",
        "colour",
        "count",
        "all_right",
        "no_scene",
    }
