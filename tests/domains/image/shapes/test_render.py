"""Tests of `polydiff.domains.image.shapes.render`."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from polydiff.domains.image.shapes.draw import Look, draw
from polydiff.domains.image.shapes.render import BAR, coverage, render
from polydiff.domains.image.shapes.scene import SHAPES, Scene, Thing

AREAS = {"circle": np.pi / 4, "square": 1.0, "triangle": 0.5, "cross": 2 * BAR - BAR**2}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("width", [6.72, 12.48, 24.9])
def test_a_shape_covers_its_area(shape: str, width: float) -> None:
    middle = np.linspace(16, 17, 7)
    share = coverage(shape, middle, middle[::-1], np.full(7, width), 32)
    assert share.sum((1, 2)).mean() == pytest.approx(AREAS[shape] * width**2, rel=0.05)
    assert share.min() == 0
    assert share.max() == 1


def test_a_square_on_whole_pixels_is_exact() -> None:
    scene = Scene((Thing("square", "red", "small", 8.0, 20.0),))
    picture = render([scene], [Look(220.0, (6.0,), ((200.0, 30.0, 40.0),))], 32)[0]
    expected = torch.full((3, 32, 32), 220, dtype=torch.uint8)
    expected[:, 17:23, 5:11] = torch.tensor([200, 30, 40], dtype=torch.uint8)[:, None, None]
    assert torch.equal(picture, expected)


@pytest.mark.parametrize("side", [32, 64, 96])
def test_a_picture_does_not_depend_on_its_batch(side: int) -> None:
    drawn = [draw(0, "train", i, (1, 2, 3)) for i in range(150)]
    scenes, looks = [scene for scene, _ in drawn], [look for _, look in drawn]
    together = render(scenes, looks, side)
    assert together.shape == (150, 3, side, side)
    for i in (0, 70, 149):
        assert torch.equal(render([scenes[i]], [looks[i]], side)[0], together[i])


def test_a_larger_picture_is_the_same_scene() -> None:
    drawn = [draw(0, "train", i, (1, 2, 3)) for i in range(50)]
    small, large = (render([s for s, _ in drawn], [look for _, look in drawn], side).float() for side in (32, 64))
    reduced = torch.nn.functional.avg_pool2d(large, 2)
    assert (reduced - small).abs().mean() < 0.5
    assert (reduced - small).abs().max() < 60  # a few of the 16 samples of a pixel


def test_no_pictures_are_an_empty_batch() -> None:
    assert render([], [], 32).shape == (0, 3, 32, 32)
