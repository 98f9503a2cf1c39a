"""Tests of `polydiff.domains.image.shapes.dataset`."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from polydiff.domains.image.shapes.caption import parse
from polydiff.domains.image.shapes.dataset import SPLITS, Shapes
from polydiff.domains.image.shapes.draw import Split
from polydiff.domains.image.shapes.spec import full
from polydiff.support.errors import UserError


@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize("partial", [0.0, 0.5])
def test_a_caption_parses_to_its_demand(split: Split, partial: float) -> None:
    shapes = Shapes(counts=(1, 2, 3), partial=partial)
    _, captions = shapes.batch(range(200), split)
    assert [parse(caption) for caption in captions] == shapes.specs(range(200), split)


def test_an_example_depends_on_its_index_alone() -> None:
    shapes = Shapes(counts=(1, 2, 3), partial=0.5)
    pictures, captions = shapes.batch([5, 3, 10**9])
    for i, index in enumerate((5, 3, 10**9)):
        picture, caption = shapes.train(index)
        assert picture.dtype == torch.uint8
        assert picture.shape == (3, 32, 32)
        assert torch.equal(picture, pictures[i])
        assert caption == captions[i]
    assert len({picture.numpy().tobytes() for picture in pictures}) == 3


def test_full_captions_demand_all_of_a_scene_and_partial_ones_leave_some_open() -> None:
    whole, some = Shapes(counts=(1, 2, 3)), Shapes(counts=(1, 2, 3), partial=1.0)
    indices = range(400)
    assert whole.scenes(indices) == some.scenes(indices)
    complete = [full(scene) for scene in whole.scenes(indices)]
    assert whole.specs(indices) == complete
    things = [wanted for spec in some.specs(indices) for wanted in spec.things]
    assert 0.4 < sum(wanted.size is None for wanted in things) / len(things) < 0.6


def test_partial_captions_change_no_picture() -> None:
    assert torch.equal(Shapes().batch(range(20))[0], Shapes(partial=0.5).batch(range(20))[0])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"side": 40}, "multiple of 32"),
        ({"side": 16}, "at least 32"),
        ({"counts": ()}, "1, 2 or 3 things"),
        ({"counts": (4,)}, "1, 2 or 3 things"),
        ({"partial": 1.5}, "between 0 and 1"),
        ({"seed": 0.5}, "whole number"),
    ],
)
def test_wrong_arguments_are_errors_of_the_user(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        Shapes(**arguments)


def test_wrong_examples_are_errors_of_the_user() -> None:
    with pytest.raises(UserError, match="at least 0"):
        Shapes().train(-1)
    with pytest.raises(UserError, match="splits train, test, unseen"):
        Shapes().batch([0], "valid")  # type: ignore[arg-type]
