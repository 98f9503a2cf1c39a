"""Lists of texts in two splits, and the embedded list: SMILES of small molecules.

Texts are used as they are: neither case nor white space nor Unicode's form is changed. Equal texts share a split, are
counted, and weigh as often as they occur. A letter that no training text has could never be drawn, and would have an
infinite -log p. So a held-out text with such a letter is trained on, or excluded where the data state its split.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import resources
from typing import Any, NamedTuple

import torch

from polydiff.contract.conditions.profiles import profiles_of
from polydiff.contract.data.columns import column_types, measure_fields, values_of
from polydiff.contract.data.copies import note_copies
from polydiff.contract.data.quarantine import Quarantine
from polydiff.contract.data.splits import TEST, TRAIN, assign, counts, scarce
from polydiff.domains.sequence.alphabet import spell
from polydiff.domains.sequence.config import LONGEST, LONGEST_SMILES, SequenceData
from polydiff.domains.sequence.data.source import Source
from polydiff.support.errors import UserError

HEAVY_ATOMS = "heavy_atoms"
"""Column of the embedded SMILES: the number of atoms other than hydrogen."""


class Listed(NamedTuple):
    """A text of a list.

    Attributes:
        name: Where it stands, unique.
        spelled: The text, one character a letter.
        columns: Its metadata by column.
        stated: The split that the data state, or "".
    """

    name: str
    spelled: str
    columns: Mapping[str, Any] = {}
    stated: str = ""


@dataclass(frozen=True)
class Texts:
    """Texts of a split.

    Arguments:
        listed: The texts.
        rows: Conditions of each, name -> value.
    """

    listed: Sequence[Listed]
    rows: Sequence[Mapping[str, Any]]

    def __len__(self) -> int:
        return len(self.listed)

    def spelled(self, indices: Sequence[int], generators: Sequence[torch.Generator] | None = None) -> list[str]:
        return [self.listed[i].spelled for i in indices]

    def values(self, indices: Sequence[int]) -> list[Mapping[str, Any]]:
        return [self.rows[i] for i in indices]

    def whole(self) -> Iterable[str]:
        return (one.spelled for one in self.listed)


def smiles(data: SequenceData) -> Source:
    """Return the enumerated molecules of the domain molecule, each as its one canonical SMILES."""
    text = resources.files("polydiff.domains.molecule.data").joinpath("organic.smi").read_text(encoding="utf-8")
    listed = [
        Listed(word, spell(word, data.tokens), {HEAVY_ATOMS: int(heavy)})
        for word, heavy in (line.split() for line in text.splitlines())
    ]
    source = divided(listed, data, Quarantine("the embedded SMILES", "molecules", len(listed)))
    return replace(source, longest=LONGEST_SMILES, quarantine=None)


def divided(listed: Sequence[Listed], data: SequenceData, quarantine: Quarantine) -> Source:
    """Return texts in two splits, with the fields of their conditions.

    Arguments:
        listed: The texts.
        data: Gives share of the test split, length and conditions.
        quarantine: Receives what is excluded, and the counts of the splits.

    Raises:
        UserError: There are fewer than two different texts, one is too long, or a column is missing or of another type.
    """
    longest = longest_of(listed, data, quarantine)
    sides = sides_of(listed, data.test_share, quarantine)
    types = column_types(listed, data.conditions, False, quarantine)
    rows = [values_of(one.columns, types) for one in listed]
    weights = [int(side == TRAIN) for side in sides]
    fields = measure_fields(rows, weights, types, {}, data.text)

    def split(name: str) -> Texts:
        places = [i for i, side in enumerate(sides) if side == name]
        return Texts([listed[i] for i in places], [rows[i] for i in places])

    profiles = profiles_of(fields, rows.__getitem__, weights)
    return Source({name: split(name) for name in (TRAIN, TEST)}, longest, True, fields, profiles, quarantine)


def longest_of(listed: Sequence[Listed], data: SequenceData, quarantine: Quarantine) -> int:
    """Return the letters of the longest text.

    Raises:
        UserError: It has more than `LONGEST` letters and `data.length` is not set, or there is no text.
    """
    longest = max(listed, key=lambda one: len(one.spelled), default=Listed("", ""))
    if not longest.spelled:
        raise UserError(f"No text can be used. {quarantine.summary()}")
    if data.length is None and len(longest.spelled) >= LONGEST:
        raise UserError(
            f"{longest.name} of {quarantine.place} has {len(longest.spelled):,} letters. Set data.length, the letters "
            "of an example, so that longer texts are left out; or also data.crops=true, to train on crops of one text."
        )
    return len(longest.spelled)


def sides_of(listed: Sequence[Listed], share: float, quarantine: Quarantine) -> list[str]:
    """Return the split of each text, "" if it is left out or excluded.

    Arguments:
        listed: The texts.
        share: Share of the test split.
        quarantine: Receives what is excluded, and the counts of the splits.

    Raises:
        UserError: A split would be empty.
    """
    texts, stated = [one.spelled for one in listed], [one.stated for one in listed]
    sides = assign(texts, share, stated=stated)
    quarantine.left_out += sides.count("")
    known = {letter for one, side in zip(listed, sides, strict=True) if side == TRAIN for letter in one.spelled}
    for place, one in enumerate(listed):
        lacking = next((letter for letter in one.spelled if letter not in known), "") if sides[place] == TEST else ""
        if lacking and one.stated:
            sides[place] = ""
            quarantine.exclude(one.name, f"no training text has its letter {lacking!r}")
        elif lacking:
            sides[place], known = TRAIN, known | set(one.spelled)
    quarantine.splits = counts(sides)
    if not {TRAIN, TEST} <= set(sides):
        raise UserError(
            f"{quarantine.summary()} None is left to {'hold out' if TRAIN in sides else 'train on'}. At least two "
            "different texts are needed, and one of them can be held out if others have all its letters."
        )
    note_copies(quarantine, texts, sides, "letters")
    if few := scarce(quarantine.splits):
        quarantine.notes["few"] = few
    return sides
