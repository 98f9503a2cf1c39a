"""How well pictures agree with what their captions demand, read by the detector."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import permutations

import torch
from torch import Tensor

from polydiff.contract.tasks.enlarge import enlarged
from polydiff.domains.image.shapes.caption import parse
from polydiff.domains.image.shapes.detect import detect
from polydiff.domains.image.shapes.scene import COLOURS, SHAPES, Scene, Thing, place, relation
from polydiff.domains.image.shapes.spec import Spec
from polydiff.metrics.results import Confusion, Metric
from polydiff.metrics.standard_error import share
from polydiff.support.errors import UserError

NOTHING = Thing(None, None, None, math.nan, math.nan)
"""Stands for a demanded thing that a picture lacks."""
ATTRIBUTES = ("shape", "colour", "size", "place", "relation")
MEANINGS = {
    "shape": "Share of pictures in which every thing has the shape that the caption names; chance is {} for one thing.",
    "colour": "Share of pictures in which every thing has the colour that the caption names; chance is {} for one "
    "thing.",
    "size": "Share of pictures in which every thing has the size that the caption names; chance is 1/2 for one thing. "
    "Captions without a size are excluded.",
    "place": "Share of pictures in which the only thing is where the caption says; chance is 1/5. Captions without a "
    "place are excluded.",
    "relation": "Share of pictures in which the first thing has the relations to the others that the caption names; "
    "chance is 1/4 for two things. Captions without a relation are excluded.",
    "count": "Share of pictures with as many things as the caption names.",
    "all_right": "Share of pictures with the things that the caption names, no others, and all that it says of them.",
    "no_scene": "Share of pictures in which the detector sees no scene: the ground is not plain and light, or nothing "
    "on it has a recognisable shape.",
}
CHANCE = {"shape": f"1/{len(SHAPES)}", "colour": f"1/{len(COLOURS)}"}


@dataclass(frozen=True)
class Verdict:
    """What of a demand a picture meets.

    Arguments:
        matched: The thing of the picture that corresponds to each demanded one, or `NOTHING`.
        right: Name of each attribute that is demanded -> whether all of its values are right.
    """

    matched: tuple[Thing, ...]
    right: dict[str, bool]


def score(images: Tensor, specs: Sequence[Spec]) -> dict[str, Metric]:
    """Return shares of pictures that agree with their captions, by attribute.

    "shape", "colour", "size", "place" and "relation" count a picture if all values that its caption names are right,
    whatever else it shows. "count", "all_right" and "no_scene" are of all pictures. An attribute that no caption names
    is absent.

    Arguments:
        images: uint8 (B, 3, S, S) with S a multiple of 32.
        specs: What each caption demands, B of them.
    """
    return agreement(detect(images), specs)


def caption_metrics(images: Sequence[Tensor], captions: Sequence[str], shrink: int = 1) -> dict[str, Metric]:
    """Return the metrics of `score` of those pictures whose caption follows the grammar; {} if none does.

    Arguments:
        images: uint8 (3, S, S) each.
        captions: Caption of each picture, of any form.
        shrink: Pictures are enlarged by this factor first, by linear interpolation, since the detector needs sides that
            are a multiple of 32.
    """
    pairs = [(image, spec) for image, caption in zip(images, captions, strict=True) if (spec := spec_of(caption))]
    if not pairs:
        return {}
    pictures = torch.stack([image for image, _ in pairs])
    if shrink > 1:
        sizes = [shrink * size for size in pictures.shape[2:]]
        pictures = enlarged(pictures.float(), shrink, sizes).round().to(torch.uint8)
    return score(pictures, [spec for _, spec in pairs])


def spec_of(caption: str) -> Spec | None:
    """Return what a caption demands; None if it does not follow the grammar, as the text "any"."""
    try:
        return parse(caption)
    except UserError:
        return None


def agreement(scenes: Sequence[Scene | None], specs: Sequence[Spec]) -> dict[str, Metric]:
    """Return the metrics of `score` of scenes that are already read, None for no scene."""
    verdicts = [judge(scene, spec) for scene, spec in zip(scenes, specs, strict=True)]
    found: dict[str, Metric] = {}
    for name, meaning in MEANINGS.items():
        answers = [verdict.right[name] for verdict in verdicts if name in verdict.right]
        if name == "no_scene":
            answers = [scene is None for scene in scenes]
        if answers:
            better = "lower" if name == "no_scene" else "higher"
            found[name] = Metric.of(share(sum(answers), len(answers)), "", better, meaning.format(CHANCE.get(name)))
    return found


def judge(scene: Scene | None, spec: Spec) -> Verdict:
    """Return what of a demand a scene meets, with its things matched so that it meets most; None: no scene."""
    seen = scene.things if scene else ()
    padded = (*seen, *[NOTHING] * (len(spec.things) - len(seen)))
    matched = max(permutations(padded, len(spec.things)), key=lambda things: agreeing(things, spec))
    judged = {name: answers(name, matched, spec) for name in ATTRIBUTES}
    right = {name: all(values) for name, values in judged.items() if values}
    right["count"] = len(seen) == len(spec.things)
    right["all_right"] = all(right.values())
    return Verdict(matched, right)


def agreeing(things: Sequence[Thing], spec: Spec) -> int:
    """Return how many demanded values some things have, one thing for each that is demanded."""
    return sum(sum(answers(name, things, spec)) for name in ATTRIBUTES)


def answers(name: str, things: Sequence[Thing], spec: Spec) -> list[bool]:
    """Return whether each demanded value of an attribute is right; [] if none is demanded.

    Arguments:
        name: The attribute.
        things: The thing that corresponds to each demanded one.
        spec: The demand.
    """
    if name == "place":
        return [place(things[0]) == spec.place] if spec.place else []
    if name == "relation":
        related = zip(spec.relations, things[1:], strict=bool(spec.relations))
        return [NOTHING not in (things[0], other) and relation(things[0], other) == wanted for wanted, other in related]
    demanded = [
        (getattr(wanted, name), getattr(thing, name)) for wanted, thing in zip(spec.things, things, strict=True)
    ]
    return [seen == wanted for wanted, seen in demanded if wanted]


def confusions(scenes: Sequence[Scene | None], specs: Sequence[Spec]) -> dict[str, Confusion]:
    """Return which colours and shapes are seen where each is demanded, of captions of one thing."""
    single = [
        (judge(scene, spec).matched[0], spec.things[0])
        for scene, spec in zip(scenes, specs, strict=True)
        if len(spec.things) == 1
    ]
    found = {}
    for name, names in (("colour", tuple(COLOURS)), ("shape", SHAPES)):
        columns = [*names, None]
        requested = torch.tensor([names.index(getattr(wanted, name)) for _, wanted in single], dtype=torch.long)
        seen = torch.tensor([columns.index(getattr(thing, name)) for thing, _ in single], dtype=torch.long)
        found[name] = Confusion.of(requested, seen, names, ("none",))
    return found


def left_open(scenes: Sequence[Scene | None], specs: Sequence[Spec]) -> dict[str, Counter[str]]:
    """Return how often pictures show each size, place and relation where their caption leaves it open.

    Things that a picture lacks, and those without a recognised value, are not counted.
    """
    counts: dict[str, Counter[str]] = {"size": Counter(), "place": Counter(), "relation": Counter()}
    for scene, spec in zip(scenes, specs, strict=True):
        matched = judge(scene, spec).matched
        counts["size"].update(
            thing.size for thing, wanted in zip(matched, spec.things, strict=True) if thing.size and not wanted.size
        )
        if NOTHING in matched:
            continue
        if len(matched) == 1 and not spec.place and (where := place(matched[0])):
            counts["place"][where] += 1
        if not spec.relations:
            counts["relation"].update(relation(matched[0], other) for other in matched[1:])
    return counts
