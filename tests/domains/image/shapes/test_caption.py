"""Tests of `polydiff.domains.image.shapes.caption`."""

from __future__ import annotations

from itertools import product

import pytest
import torch

from polydiff.core.streams import stream
from polydiff.domains.image.shapes.caption import EXAMPLES, LONGEST, WORDS, describe, parse
from polydiff.domains.image.shapes.layout import Dice
from polydiff.domains.image.shapes.scene import COLOURS, PLACES, RELATIONS, SHAPES, SIZES
from polydiff.domains.image.shapes.spec import Spec, Wanted
from polydiff.support.errors import UserError

NOUNS = [Wanted(*names) for names in product(COLOURS, SHAPES, (None, *SIZES))]
WHERE: list[tuple[int, str | None, tuple[str, ...]]] = [
    *((1, place, ()) for place in (None, *PLACES)),
    *((2, None, way) for way in ((), *product(RELATIONS))),
    *((3, None, way) for way in ((), *product(RELATIONS, RELATIONS))),
]


def some_specs() -> list[Spec]:
    """All things, and all places and relations, opposite ones too, with other things each."""
    specs = [Spec((noun,)) for noun in NOUNS]
    for i, (count, place, relations) in enumerate(WHERE * 12):
        things = tuple(NOUNS[(7 * i + 31 * k) % len(NOUNS)] for k in range(count))
        specs.append(Spec(things, place, relations))
    return specs


def test_parse_is_the_inverse_of_describe_in_every_wording() -> None:
    for i, spec in enumerate(some_specs()):
        assert parse(describe(spec)) == spec
        for row in torch.rand(6, 8, generator=stream(i, "wording")).tolist():
            assert parse(describe(spec, Dice(row))) == spec


def test_captions_consist_of_the_known_words() -> None:
    captions = [describe(spec, Dice([last] * 8)) for spec in some_specs() for last in (0.0, 0.999)]
    captions += [describe(Spec(spec.things, spec.place), Dice([0.999, 0.0])) for spec in some_specs() if spec.place]
    assert {word for caption in captions for word in caption.split()} == set(WORDS)
    things = (Wanted("red", "circle", "small"),) * 3
    longest = describe(Spec(things, None, ("left of", "left of")), Dice([0.999] * 8))
    assert max(len(caption.split()) for caption in [longest, *captions]) == LONGEST


@pytest.mark.parametrize(
    ("caption", "spec"),
    [
        ("a red circle", Spec((Wanted("red", "circle"),))),
        ("a small red circle at the top left", Spec((Wanted("red", "circle", "small"),), "top left")),
        ("in the middle is an orange cross", Spec((Wanted("orange", "cross"),), "centre")),
        (
            "a large blue square to the left of a small green triangle",
            Spec((Wanted("blue", "square", "large"), Wanted("green", "triangle", "small")), None, ("left of",)),
        ),
        (
            "a red cross under a blue square and right of a black cross",
            Spec(
                (Wanted("red", "cross"), Wanted("blue", "square"), Wanted("black", "cross")),
                None,
                ("below", "right of"),
            ),
        ),
        (
            "a red cross and a red square and a red circle",
            Spec((Wanted("red", "cross"), Wanted("red", "square"), Wanted("red", "circle"))),
        ),
    ],
)
def test_a_caption_means_what_it_says(caption: str, spec: Spec) -> None:
    assert parse(caption) == spec
    assert parse(f"  {caption.replace(' ', '  ').capitalize()}. ") == spec


@pytest.mark.parametrize("caption", EXAMPLES)
def test_the_examples_of_the_message_are_captions(caption: str) -> None:
    assert describe(parse(caption)) == caption


@pytest.mark.parametrize(
    "caption",
    [
        "",
        "red circle",
        "a circle",
        "a red",
        "a red small circle",
        "a red circle and",
        "a red circle at the top left and a blue square",
        "a red circle left of",
        "a red circle left of a blue square above a green circle",
        "a red circle left of a blue square and a green circle",
        "a red circle, a blue square",
        "a red circle a blue square",
    ],
)
def test_other_texts_are_errors_of_the_user(caption: str) -> None:
    with pytest.raises(UserError, match=r"grammar of the data set shapes|Unknown word"):
        parse(caption)


def test_an_unknown_word_is_named_with_a_similar_one() -> None:
    with pytest.raises(UserError, match=r"'purpel'.*Did you mean 'purple'"):
        parse("a purpel circle")
