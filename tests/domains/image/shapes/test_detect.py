"""Tests of `polydiff.domains.image.shapes.detect`."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from polydiff.core.streams import stream
from polydiff.domains.image.shapes.components import blurred
from polydiff.domains.image.shapes.dataset import SPLITS, Shapes
from polydiff.domains.image.shapes.detect import detect
from polydiff.domains.image.shapes.draw import Look, Split
from polydiff.domains.image.shapes.render import render
from polydiff.domains.image.shapes.scene import Scene, Thing
from polydiff.support.errors import UserError

COUNTS, SIDES = (1, 2, 3), (32, 64)


def ordered(seen: Scene | None, real: Scene) -> Scene | None:
    """The read scene with its things in the order of the real one; None unless all are within 0.6 units of them."""
    if seen is None or len(seen.things) != len(real.things):
        return None
    near = [min(seen.things, key=lambda s, t=t: max(abs(s.x - t.x), abs(s.y - t.y))) for t in real.things]
    far = max(max(abs(s.x - t.x), abs(s.y - t.y)) for s, t in zip(near, real.things, strict=True))
    return Scene(tuple(near)) if far < 0.6 else None


def same(seen: Scene | None, real: Scene) -> bool:
    """Whether all things, attributes, places and relations were read, in any order of the things."""
    found = ordered(seen, real)
    return (
        found is not None
        and [(t.shape, t.colour, t.size) for t in found.things] == [(t.shape, t.colour, t.size) for t in real.things]
        and (found.place, found.relations) == (real.place, real.relations)
    )


def read(side: int, count: int, n: int, change: Callable[[Tensor], Tensor], split: Split = "test") -> float:
    """Share of n scenes whose changed pictures are read without any error."""
    shapes = Shapes(side, (count,))
    pictures, _ = shapes.batch(range(n), split)
    changed = change(pictures.float()).round().clamp(0, 255).to(torch.uint8)
    return sum(map(same, detect(changed), shapes.scenes(range(n), split))) / n


def noisy(std: float) -> Callable[[Tensor], Tensor]:
    return lambda x: x + std * torch.randn(x.shape, generator=stream(0, "noise"))


def reduced(x: Tensor) -> Tensor:
    """Pictures of 5/8 of the side, enlarged again: the corners of small things are round."""
    side = x.shape[-1]
    small = functional.interpolate(x, (side * 5 // 8,) * 2, mode="bilinear", antialias=True)
    return functional.interpolate(small, (side, side), mode="bicubic")


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("count", COUNTS)
def test_real_scenes_are_read_exactly(side: int, count: int) -> None:
    assert read(side, count, 300, lambda x: x) == 1


@pytest.mark.parametrize("split", SPLITS)
def test_scenes_of_all_splits_and_of_larger_pictures_are_read_exactly(split: Split) -> None:
    assert read(96, 3, 100, lambda x: x, split) == 1


@pytest.mark.parametrize("change", [noisy(12), noisy(25), blurred, reduced], ids=["12", "25", "blur", "reduced"])
@pytest.mark.parametrize("side", SIDES)
def test_scenes_are_read_through_noise_and_with_soft_edges(side: int, change: Callable[[Tensor], Tensor]) -> None:
    assert read(side, 3, 200, change) >= 0.99


@pytest.mark.slow
@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("count", COUNTS)
def test_two_thousand_scenes_are_read(side: int, count: int) -> None:
    assert read(side, count, 2000, lambda x: x) == 1
    assert read(side, count, 2000, noisy(12)) >= 0.99
    assert read(side, count, 2000, noisy(40)) >= 0.99
    assert read(side, count, 2000, reduced) >= 0.99


def upscaled(x: Tensor) -> Tensor:
    return functional.interpolate(x, (32, 32), mode="bicubic").clamp(0, 255)


NOISE = torch.randn(200, 3, 32, 32, generator=stream(0, "no scene"))
UNIFORM = 256 * torch.rand(200, 3, 32, 32, generator=stream(1, "no scene"))


@pytest.mark.parametrize(
    "pictures",
    [
        UNIFORM,
        127.5 + 64 * NOISE,
        225 + 30 * NOISE,
        upscaled(UNIFORM[:, :, :8, :8]),
        180 + 0.3 * upscaled(UNIFORM[:, :, :6, :6]),
        torch.full((1, 3, 32, 32), 225.0),
        torch.zeros(1, 3, 32, 32),
        torch.full((1, 3, 32, 32), 255.0),
    ],
    ids=["uniform", "normal", "light", "patches", "clouds", "ground", "dark", "white"],
)
def test_pixels_that_are_no_scene_are_recognised(pictures: Tensor) -> None:
    assert detect(pictures.clamp(0, 255).to(torch.uint8)) == [None] * len(pictures)


def painted(*things: Thing, width: float = 12.0, rgb: tuple[float, float, float] = (205, 30, 35)) -> Tensor:
    """A picture of things of one width and colour."""
    look = Look(225.0, (width,) * len(things), (rgb,) * len(things))
    return render([Scene(things)], [look], 32)


def test_a_scene_on_a_dark_or_coloured_ground_is_none() -> None:
    picture = painted(Thing("circle", "red", "large", 16, 16))
    assert detect(picture)[0] is not None
    assert detect(picture // 2) == [None]
    tinted = picture.clone()
    tinted[:, 2] = tinted[:, 2] // 2
    assert detect(tinted) == [None]


def test_an_unknown_shape_and_an_unknown_colour_have_no_name() -> None:
    picture = painted(Thing("square", "red", "large", 8, 8), Thing("circle", "red", "large", 23, 23))
    picture[:, :, 5:11, 5:11] = picture[:, :, :1, :1]  # a square without its middle
    (scene,) = detect(picture)
    assert scene is not None
    assert sorted(str(thing.shape) for thing in scene.things) == ["None", "circle"]
    assert sorted(str(thing.size) for thing in scene.things) == ["None", "large"]
    (pale,) = detect(painted(Thing("square", "red", "large", 8, 8), rgb=(140, 110, 60)))
    assert pale is not None
    assert [(thing.shape, thing.colour) for thing in pale.things] == [("square", None)]


def test_a_speck_is_no_thing_and_many_things_are_no_scene() -> None:
    picture = painted(Thing("cross", "red", "large", 16, 16))
    picture[:, :, 2:4, 2:4] = 0
    (scene,) = detect(picture)
    assert scene is not None
    assert [thing.shape for thing in scene.things] == ["cross"]
    grid = [Thing("circle", "red", "small", x, y) for x in (5, 16, 27) for y in (5, 16, 27)]
    assert detect(painted(*grid, width=7)) == [None]
    (six,) = detect(painted(*grid[:6], width=7))
    assert six is not None
    assert len(six.things) == 6


def test_the_batch_of_a_picture_has_no_influence() -> None:
    pictures, _ = Shapes(counts=COUNTS).batch(range(300))
    together = detect(pictures)
    assert [detect(pictures[i : i + 1])[0] for i in (0, 100, 280)] == [together[i] for i in (0, 100, 280)]
    assert detect(pictures[:0]) == []


@pytest.mark.parametrize(
    "images",
    [
        torch.zeros(1, 3, 32, 32),
        torch.zeros(1, 1, 32, 32).byte(),
        torch.zeros(3, 32, 32).byte(),
        torch.zeros(1, 3, 40, 40).byte(),
    ],
)
def test_other_images_are_errors_of_the_user(images: Tensor) -> None:
    with pytest.raises(UserError, match="multiple of 32"):
        detect(images)
