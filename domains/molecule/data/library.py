"""Molecules in memory: geometries, stacked, with what is known of each, and which of them are held out."""

from __future__ import annotations

import hashlib
import math
from array import array
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np

from polydiff.domains.molecule.chemistry.geometry import Molecule, Rejected
from polydiff.domains.molecule.chemistry.properties import PROPERTIES
from polydiff.support.errors import UserError

TRAIN, APART, TEST = 0, 1, 2
"""Sides of a data set that is divided from the start: to train on, used for nothing, held out."""
NAMED = 5
"""Molecules left out for one reason that are named."""


class Entry(NamedTuple):
    """One molecule with its geometries.

    Attributes:
        smiles: What tells molecules apart: the canonical SMILES without hydrogens and stereochemistry, or, where bonds
            cannot be told, that of the atoms that touch.
        numbers: Atomic numbers (N,).
        positions: In Å, (N, 3) each.
        properties: Of each geometry, in the order of `PROPERTIES`; NaN where bonds cannot be told.
        source: The SMILES that geometries were computed from, "" where they were given.
    """

    smiles: str
    numbers: np.ndarray
    positions: Sequence[np.ndarray]
    properties: Sequence[Sequence[float]]
    source: str = ""


class Found(NamedTuple):
    """What was found at one place of a data set.

    Attributes:
        name: Which place: "line 17".
        entry: The molecule there, or why it is left out.
        columns: What the data set says of it, name -> number or other text.
    """

    name: str
    entry: Entry | Rejected
    columns: Mapping[str, str] = {}


@dataclass(frozen=True, kw_only=True)
class Library:
    """Geometries, stacked.

    Arguments:
        smiles: What tells each geometry's molecule from others, n of them.
        numbers: Atomic numbers of all geometries (M,).
        positions: In Å, (M, 3).
        first: Where each geometry begins in the two above, with M at the end (n + 1,).
        names: Of the properties, those of `PROPERTIES` first.
        properties: (n, P), NaN where one is not known.
        places: Which of all that was found each geometry comes from, counted from 0 (n,).
        sides: On which side each geometry is, `TRAIN`, `APART` or `TEST`; -1: nobody says (n,).
        found: How much was found; each is used or left out.
        rejected: Reason -> number of molecules that were left out for it.
        named: Reason -> which, a few of them.
    """

    smiles: Sequence[str]
    numbers: np.ndarray
    positions: np.ndarray
    first: np.ndarray
    properties: np.ndarray
    places: np.ndarray
    sides: np.ndarray
    found: int
    names: tuple[str, ...] = tuple(PROPERTIES)
    rejected: Mapping[str, int] = field(default_factory=dict)
    named: Mapping[str, Sequence[str]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.smiles)

    def __getitem__(self, i: int) -> Molecule:
        atoms = slice(self.first[i], self.first[i + 1])
        return Molecule(self.numbers[atoms], self.positions[atoms])

    @property
    def sizes(self) -> np.ndarray:
        """Number of atoms of each geometry (n,)."""
        return np.diff(self.first)

    @property
    def used(self) -> int:
        """How much of what was found is used."""
        return len(np.unique(self.places))

    def take(self, chosen: Sequence[int] | np.ndarray) -> Library:
        """Return these geometries."""
        chosen = np.asarray(chosen, np.int64)
        sizes = self.sizes[chosen]
        first = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
        atoms = np.repeat(self.first[:-1][chosen] - first[:-1], sizes) + np.arange(first[-1])
        return replace(
            self,
            smiles=[self.smiles[i] for i in chosen.tolist()],
            numbers=self.numbers[atoms],
            positions=self.positions[atoms],
            first=first,
            properties=self.properties[chosen],
            places=self.places[chosen],
            sides=self.sides[chosen],
        )

    def column(self, name: str) -> np.ndarray:
        """Return a property of each geometry, in its unit (n,)."""
        values: np.ndarray = self.properties[:, self.names.index(name)]
        return values


class Columns:
    """What a data set says of its molecules, as it is read: the columns that hold nothing but numbers.

    An infinite number, with which nothing can be computed, is one that is not known.
    """

    def __init__(self) -> None:
        self.values: dict[str, array[float]] = {}
        self.words: set[str] = set()
        self.rows = 0

    def add(self, row: Mapping[str, str]) -> None:
        """Add the row of a molecule that is used."""
        for name, text in row.items():
            if not name or name in self.words or not text.strip():
                continue
            try:
                value = float(text)
            except ValueError:
                self.words.add(name)
                self.values.pop(name, None)
                continue
            column = self.values.setdefault(name, array("d"))
            column.extend([math.nan] * (self.rows - len(column)))
            column.append(value if math.isfinite(value) else math.nan)
        self.rows += 1

    def table(self) -> tuple[tuple[str, ...], np.ndarray]:
        """Return the names of the columns and their numbers (rows, columns)."""
        found = np.full((self.rows, len(self.values)), np.nan)
        for i, column in enumerate(self.values.values()):
            found[: len(column), i] = column
        return tuple(self.values), found


def stack(everything: Iterable[Found]) -> Library:
    """Return the library of what was found; what is left out is counted by its reason.

    A molecule of which the geometry is computed and that was found before is left out.
    """
    smiles, known = list[str](), set[str]()
    numbers, places = [np.zeros(0, np.uint8)], [np.zeros((0, 3), np.float32)]
    properties, owners, origins = list[Sequence[float]](), array("q"), array("q")
    rejected, named, columns, found = Counter[str](), dict[str, list[str]](), Columns(), 0
    for number, (name, given, row) in enumerate(everything):
        found = number + 1
        entry = (
            Rejected("it is the same as one before") if isinstance(given, Entry) and given.source in known else given
        )
        if isinstance(entry, Rejected):
            rejected[str(entry)] += 1
            if len(said := named.setdefault(str(entry), [])) < NAMED:
                said.append(name)
            continue
        known |= {entry.source} - {""}
        smiles += [entry.smiles] * len(entry.positions)
        numbers += [entry.numbers] * len(entry.positions)
        places += entry.positions
        properties += entry.properties
        owners.extend([columns.rows] * len(entry.positions))
        origins.extend([number] * len(entry.positions))
        columns.add(row)
    extra, table = columns.table()
    kept = [i for i, name in enumerate(extra) if name not in PROPERTIES]
    measured = np.array(properties, np.float64).reshape(-1, len(PROPERTIES))
    return Library(
        smiles=smiles,
        numbers=np.concatenate(numbers),
        positions=np.concatenate(places),
        first=np.cumsum([len(part) for part in numbers]).astype(np.int64),
        properties=np.concatenate([measured, table[:, kept][np.array(owners, np.int64)]], 1),
        places=np.array(origins, np.int64),
        sides=np.full(len(origins), -1, np.int8),
        found=found,
        names=(*PROPERTIES, *(extra[i] for i in kept)),
        rejected=dict(rejected),
        named=named,
    )


def split(library: Library, share: float) -> dict[str, Library]:
    """Return {"train", "test"}: a molecule is held out with all its geometries, by a hash of its SMILES.

    So a molecule stays on its side when others are added. Each side has one molecule at least. A data set that is
    divided from the start stays so. A molecule with an element that training lacks is trained on, as no sample could be
    like it.
    """
    train, test = library.sides == TRAIN, library.sides == TEST
    if not (train.any() or test.any()):
        test = held_out(library, share)
        train = ~test
    strange = test & lacking(library, train)
    train, test = train | strange, test & ~strange
    if not (train.any() and test.any()):
        raise UserError(
            f"Of {library.used} molecules {'none is left to train on' if test.any() else 'none can be held out'}. More "
            "are needed: a molecule can be held out whose elements others have."
        )
    return {"train": library.take(np.flatnonzero(train)), "test": library.take(np.flatnonzero(test))}


def held_out(library: Library, share: float) -> np.ndarray:
    """Return which geometries are held out: of tiny data sets one molecule that is made of what the others have."""
    lots = np.array([int(digest(one.encode())[:13], 16) / 16**13 for one in library.smiles])
    ordered = np.unique(lots)
    if len(ordered) < 2:
        raise UserError("Two different molecules are needed at least: one to train on, one to hold out.")
    test: np.ndarray = lots < min(max(share, ordered[1]), ordered[-1])
    if not lacking(library, ~test)[test].all():
        return test
    for lot in ordered:
        test = lots == lot
        if not lacking(library, ~test)[test].any():
            return test
    raise UserError("No molecule can be held out: each holds an element that no other has.")


def lacking(library: Library, train: np.ndarray) -> np.ndarray:
    """Return which geometries hold an element that none of those to train on has."""
    known = np.isin(library.numbers, np.unique(library.numbers[np.repeat(train, library.sizes)]))
    return ~np.logical_and.reduceat(known, library.first[:-1])


def digest(data: bytes) -> str:
    """Return the SHA-256 of bytes, in hexadecimal."""
    return hashlib.sha256(data).hexdigest()
