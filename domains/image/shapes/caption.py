"""Captions: a fixed grammar without punctuation, and its exact inverse.

    caption   = thing [place] | place "is" thing
              | thing relation thing | thing "and" thing
              | thing relation thing "and" relation thing | thing "and" thing "and" thing
    thing     = ("a" | "an") [size] colour shape

In a caption of three things, both relations are of the first thing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from polydiff.domains.image.shapes.layout import Dice
from polydiff.domains.image.shapes.scene import COLOURS, PLACES, SHAPES, SIZES
from polydiff.domains.image.shapes.spec import Spec, Wanted
from polydiff.support.errors import UserError, unknown

PLACE_WORDS: Mapping[str, tuple[str, ...]] = {
    **{name: (f"at the {name}", f"in the {name} corner") for name in PLACES if name != "centre"},
    "centre": ("in the centre", "in the middle"),
}
"""Place -> its wordings."""
RELATION_WORDS: Mapping[str, tuple[str, ...]] = {
    "left of": ("left of", "to the left of"),
    "right of": ("right of", "to the right of"),
    "above": ("above", "over"),
    "below": ("below", "under"),
}
"""Relation -> its wordings."""
PLACE_OF = {words: place for place, wordings in PLACE_WORDS.items() for words in wordings}
RELATION_OF = {words: relation for relation, wordings in RELATION_WORDS.items() for words in wordings}
WORDS = tuple(
    sorted(
        {"a", "an", "and", "is", *SIZES, *COLOURS, *SHAPES}
        | {word for words in (*PLACE_OF, *RELATION_OF) for word in words.split()}
    )
)
"""All words of captions."""
LONGEST = 21
"""Largest number of words of a caption."""
EXAMPLES = (
    "a small red circle at the top left",
    "a large blue square left of a small green triangle",
    "a red circle above a blue square and left of a black cross",
    "a red circle",
)


def describe(spec: Spec, dice: Dice | None = None) -> str:
    """Return a caption of a demand.

    Arguments:
        spec: The demand.
        dice: Random choice of the wording; None: the first one.
    """
    dice = dice or Dice([0.0] * 4)
    things = [noun(wanted) for wanted in spec.things]
    if spec.place is not None:
        where = dice.pick(PLACE_WORDS[spec.place])
        return dice.pick((f"{things[0]} {where}", f"{where} is {things[0]}"))
    if not spec.relations:
        return " and ".join(things)
    related = [
        f"{dice.pick(RELATION_WORDS[relation])} {thing}"
        for relation, thing in zip(spec.relations, things[1:], strict=True)
    ]
    return f"{things[0]} {' and '.join(related)}"


def noun(wanted: Wanted) -> str:
    """Return the words for one thing, such as "an orange cross"."""
    words = [word for word in (wanted.size, wanted.colour, wanted.shape) if word]
    return " ".join(["an" if words[0][0] in "aeiou" else "a", *words])


def one_of(names: Mapping[str, object] | tuple[str, ...]) -> str:
    """Return a group of a regular expression: one of these names."""
    return f"({'|'.join(map(re.escape, names))})"


THING = rf"(?:a|an) (?:{one_of(tuple(SIZES))} )?{one_of(tuple(COLOURS))} {one_of(SHAPES)}"
PLACE, RELATION = one_of(PLACE_OF), one_of(RELATION_OF)
BESIDE = re.compile(rf"{THING}(?: {PLACE})?")
INVERTED = re.compile(rf"{PLACE} is {THING}")
RELATED = re.compile(rf"{THING} {RELATION} {THING}(?: and {RELATION} {THING})?")
LISTED = re.compile(rf"{THING} and {THING}(?: and {THING})?")


def parse(caption: str) -> Spec:
    """Return what a caption demands; the inverse of `describe` for each wording.

    Capitals, repeated spaces and a full stop at the end have no meaning.

    Raises:
        UserError: The caption is not of the grammar.
    """
    text = " ".join(caption.lower().split()).removesuffix(".").rstrip()
    if found := BESIDE.fullmatch(text):
        return Spec(wanted(found.groups()[:3]), PLACE_OF.get(found[4] or ""))
    if found := INVERTED.fullmatch(text):
        return Spec(wanted(found.groups()[1:]), PLACE_OF[found[1]])
    if found := LISTED.fullmatch(text):
        return Spec(wanted(found.groups()))
    if found := RELATED.fullmatch(text):
        parts = found.groups()
        words = [word for word in (parts[3], parts[7]) if word]
        return Spec(wanted((*parts[:3], *parts[4:7], *parts[8:])), None, tuple(RELATION_OF[word] for word in words))
    for word in text.split():
        if word not in WORDS:
            raise unknown("word", word, WORDS, f"It is in the caption {caption!r}.")
    raise UserError(
        f"The caption {caption!r} does not follow the grammar of the data set shapes. Captions are such as "
        f"{', '.join(map(repr, EXAMPLES))}."
    )


def wanted(words: tuple[str | None, ...]) -> tuple[Wanted, ...]:
    """Return the things of groups (size, colour, shape) of a match; those of no match are left out."""
    triples = [words[i : i + 3] for i in range(0, len(words), 3)]
    return tuple(Wanted(colour, shape, size) for size, colour, shape in triples if colour and shape)
