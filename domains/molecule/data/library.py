"""Molecules in memory: stacked geometries with their properties, and the split into training and held-out ones.

Symbols: n geometries, M atoms of all geometries, P properties.
"""

from __future__ import annotations

import hashlib
import itertools
import math
from array import array
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np

from polydiff.contract.data import splits
from polydiff.domains.molecule.chemistry.bonds import no_bonds, orders
from polydiff.domains.molecule.chemistry.geometry import Molecule, Rejected
from polydiff.domains.molecule.chemistry.properties import PROPERTIES
from polydiff.domains.molecule.data.formats.columns import NumericColumns
from polydiff.domains.molecule.data.formats.texts import TextColumns
from polydiff.domains.molecule.data.remarks import Remarks

TRAIN, UNUSED, TEST = 0, 1, 2
"""Splits of a data set that comes divided: training, not used, held out."""
SIDES = {"": -1, splits.TRAIN: TRAIN, splits.VALIDATION: UNUSED, splits.TEST: TEST}
"""Name of a split that the data state -> number."""


class Entry(NamedTuple):
    """One molecule with its geometries.

    Attributes:
        smiles: Identity of the molecule, a SMILES (`chemistry.identity.molecule_key`); with bonds by distance if it
            comes without bonds and RDKit perceives none.
        numbers: Atomic numbers (N,).
        positions: Positions of each geometry in Å, (N, 3).
        properties: Properties of each geometry, in the order of `PROPERTIES`; NaN if bonds are unknown.
        source: The SMILES from which geometries were computed; "" if they were given.
        perceived: Identity of the molecule that RDKit perceives in each geometry; "" if it perceives none.
        notes: Remarks on how the item was read, such as "its bonds are unknown".
        bonds: Table of bonds (`chemistry.bonds.bond_table`); None if they are unknown.
        charges: Formal charges, int8 (N,); None if bonds are unknown.
        implicit: Whether it is a graph alone (`chemistry.geometry.Molecule`).
    """

    smiles: str
    numbers: np.ndarray
    positions: Sequence[np.ndarray]
    properties: Sequence[Sequence[float]]
    source: str = ""
    perceived: Sequence[str] = ()
    notes: Sequence[str] = ()
    bonds: np.ndarray | None = None
    charges: np.ndarray | None = None
    implicit: bool = False


class Found(NamedTuple):
    """The result of preparing one item of a data set.

    Attributes:
        name: Its place, such as "line 17".
        entry: The molecule, or the reason that rejects it.
        columns: Metadata of the molecule, name -> text.
        texts: Metadata that are never numbers, name -> text; they replace columns of the same name as text.
        stated: Split that the data state (`polydiff.contract.data.splits`), or "".
    """

    name: str
    entry: Entry | Rejected
    columns: Mapping[str, str] = {}
    texts: Mapping[str, str] = {}
    stated: str = ""


@dataclass(frozen=True, kw_only=True)
class Library:
    """Stacked geometries of molecules.

    Arguments:
        smiles: Identity of the molecule of each geometry (`Entry.smiles`), n of them.
        numbers: Atomic numbers of all geometries (M,).
        positions: Positions of all geometries in Å (M, 3).
        first: Index of the first atom of each geometry, and M at the end (n + 1,).
        names: Names of the P properties, those of `PROPERTIES` first.
        properties: Properties of each geometry (n, P); NaN if unknown.
        places: Index of the item that each geometry comes from (n,).
        sides: Split of each geometry, `TRAIN`, `UNUSED` or `TEST`; -1 if the data do not state it (n,).
        found: Number of items found in the data set.
        perceived: Identity of the molecule that RDKit perceives in each geometry, "" if none, n of them.
        rejected: Reason -> number of rejected molecules.
        notes: Remark -> number of used molecules that it applies to.
        named: Reason or remark -> places of the first `remarks.MAX_NAMED` of them.
        remarks: Remarks on columns.
        texts: Name of a column of text -> its distinct cells; T columns.
        codes: Place of each geometry's cell among these, int32 (n, T); -1 if it is empty.
        bonds: Tables of the bonds of all geometries (`chemistry.bonds.bond_table`), (E, 4).
        first_bond: Index of the first bond of each geometry, and E at the end (n + 1,).
        charges: Formal charges of all atoms (M,); 0 if they are unknown.
        implicit: Whether the molecules are graphs alone (`chemistry.geometry.Molecule`).
    """

    smiles: Sequence[str]
    numbers: np.ndarray
    positions: np.ndarray
    first: np.ndarray
    properties: np.ndarray
    places: np.ndarray
    sides: np.ndarray
    found: int
    perceived: Sequence[str]
    names: tuple[str, ...] = tuple(PROPERTIES)
    rejected: Mapping[str, int] = field(default_factory=dict)
    notes: Mapping[str, int] = field(default_factory=dict)
    named: Mapping[str, Sequence[str]] = field(default_factory=dict)
    remarks: Sequence[str] = ()
    texts: Mapping[str, Sequence[str]] = field(default_factory=dict)
    codes: np.ndarray = field(default_factory=lambda: np.zeros((0, 0), np.int32))
    bonds: np.ndarray = field(default_factory=no_bonds)
    first_bond: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))
    charges: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int8))
    implicit: bool = False

    def __len__(self) -> int:
        return len(self.smiles)

    def __getitem__(self, i: int) -> Molecule:
        atoms = slice(self.first[i], self.first[i + 1])
        numbers, positions, table = self.numbers[atoms], self.positions[atoms], self.table(i)
        if table is None:
            return Molecule(numbers, positions)
        return Molecule(numbers, positions, self.charges[atoms], orders(table, len(numbers)), self.implicit)

    def table(self, i: int) -> np.ndarray | None:
        """Return the bonds of a geometry (`chemistry.bonds.bond_table`), (E, 4); None if they are unknown."""
        if not len(self.first_bond):
            return None
        found = self.bonds[self.first_bond[i] : self.first_bond[i + 1]]
        return found if len(found) or self.first[i + 1] - self.first[i] == 1 else None

    @property
    def bonded(self) -> np.ndarray:
        """Whether the bonds of each geometry are known, booleans (n,). Those of several atoms without bonds are not."""
        return (np.diff(self.first_bond) > 0) | (self.sizes == 1) if len(self.first_bond) else self.sizes < 0

    def digests(self) -> Iterator[str]:
        """Yield a digest of the atoms, positions and properties of each geometry."""
        for i, (low, high) in enumerate(itertools.pairwise(self.first.tolist())):
            parts = (self.numbers[low:high], self.positions[low:high], self.properties[i])
            yield digest(b"".join(np.ascontiguousarray(part).tobytes() for part in parts))

    @property
    def sizes(self) -> np.ndarray:
        """Number of atoms of each geometry (n,)."""
        return np.diff(self.first)

    @property
    def used(self) -> int:
        """Number of items that are used."""
        return len(np.unique(self.places))

    def take(self, chosen: Sequence[int] | np.ndarray) -> Library:
        """Return the library of the chosen geometries, in this order."""
        chosen = np.asarray(chosen, np.int64)
        first, atoms = rows_of(self.first, chosen)
        first_bond, bonds = rows_of(self.first_bond, chosen) if len(self.first_bond) else (self.first_bond, chosen[:0])
        return replace(
            self,
            smiles=[self.smiles[i] for i in chosen.tolist()],
            perceived=[self.perceived[i] for i in chosen.tolist()],
            numbers=self.numbers[atoms],
            positions=self.positions[atoms],
            first=first,
            properties=self.properties[chosen],
            places=self.places[chosen],
            sides=self.sides[chosen],
            codes=self.codes[chosen] if self.texts else self.codes,
            bonds=self.bonds[bonds],
            first_bond=first_bond,
            charges=self.charges[atoms] if len(self.charges) else self.charges,
        )

    def with_texts(self, names: Collection[str]) -> Library:
        """Return the library without the columns of text that are not named."""
        kept = [i for i, name in enumerate(self.texts) if name in names]
        texts = {name: cells for name, cells in self.texts.items() if name in names}
        return replace(self, texts=texts, codes=self.codes[:, kept])

    def cells(self, name: str, indices: Sequence[int] | np.ndarray) -> list[str | None]:
        """Return the cells of a column of some geometries as text, None if empty; numbers have 15 digits."""
        chosen = np.asarray(indices, np.int64)
        if name not in self.texts:
            numbers = self.column(name)[chosen].tolist()
            return [None if math.isnan(number) else f"{number:.15g}" for number in numbers]
        values = self.texts[name]
        codes = self.codes[chosen, list(self.texts).index(name)].tolist()
        return [None if code < 0 else values[code] for code in codes]

    def column(self, name: str) -> np.ndarray:
        """Return a property of each geometry, in its unit (n,)."""
        values: np.ndarray = self.properties[:, self.names.index(name)]
        return values


def rows_of(first: np.ndarray, chosen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the stacked rows of chosen items: the first row of each afterwards, with the total, and their numbers.

    Arguments:
        first: First row of each item, and the number of rows at the end (n + 1,).
        chosen: Numbers of items (k,).
    """
    sizes = np.diff(first)[chosen]
    found = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    return found, np.repeat(first[:-1][chosen] - found[:-1], sizes) + np.arange(found[-1])


def stack(everything: Iterable[Found]) -> Library:
    """Return the library of prepared items; rejected ones are counted by reason.

    A repeated molecule is rejected if its geometries are computed. Stereoisomers are different molecules here.
    """
    smiles, perceived, known = list[str](), list[str](), set[str]()
    numbers, places = [np.zeros(0, np.uint8)], [np.zeros((0, 3), np.float32)]
    bonds, charges, implicit = [no_bonds()], [np.zeros(0, np.int8)], False
    properties, owners, origins, stated = list[Sequence[float]](), array("q"), array("q"), list[str]()
    rejected, notes, columns, texts, found = Remarks(), Remarks(), NumericColumns(), TextColumns(), 0
    for number, (name, given, row, words, split) in enumerate(everything):
        found = number + 1
        entry = Rejected("it repeats an earlier one") if isinstance(given, Entry) and origin(given) in known else given
        if isinstance(entry, Rejected):
            rejected.add(str(entry), name)
            continue
        for note in entry.notes:
            notes.add(note, name)
        known |= {origin(entry)} - {""}
        smiles += [entry.smiles] * len(entry.positions)
        perceived += entry.perceived or [""] * len(entry.positions)
        numbers += [entry.numbers] * len(entry.positions)
        places += entry.positions
        bonds += [no_bonds() if entry.bonds is None else entry.bonds] * len(entry.positions)
        charges += [np.zeros(len(entry.numbers), np.int8) if entry.charges is None else entry.charges] * len(
            entry.positions
        )
        implicit |= entry.implicit
        properties += entry.properties
        owners.extend([columns.rows] * len(entry.positions))
        origins.extend([number] * len(entry.positions))
        stated += [split] * len(entry.positions)
        columns.add(row, name)
        texts.add({**row, **words})
    extra, table = columns.table()
    kept = [i for i, name in enumerate(extra) if name not in PROPERTIES]
    cells, codes = texts.table({*extra, *PROPERTIES})
    measured = np.array(properties, np.float64).reshape(-1, len(PROPERTIES))
    return Library(
        smiles=smiles,
        perceived=perceived,
        numbers=np.concatenate(numbers),
        positions=np.concatenate(places),
        first=np.cumsum([len(part) for part in numbers]).astype(np.int64),
        properties=np.concatenate([measured, table[:, kept][np.array(owners, np.int64)]], 1),
        places=np.array(origins, np.int64),
        sides=np.array([SIDES[side] for side in splits.obeyed(stated)], np.int8),
        found=found,
        names=(*PROPERTIES, *(extra[i] for i in kept)),
        rejected=dict(rejected.counts),
        notes=dict(notes.counts),
        named=rejected.named | notes.named,
        remarks=columns.remarks,
        texts=cells,
        codes=codes[np.array(owners, np.int64)],
        bonds=np.concatenate(bonds),
        first_bond=np.cumsum([len(part) for part in bonds]).astype(np.int64),
        charges=np.concatenate(charges),
        implicit=implicit,
    )


def origin(entry: Entry) -> str:
    """Return what molecules with the same computed geometries share; "" if geometries are given."""
    has_stereochemistry = any(mark in entry.source for mark in "/\\@")
    return entry.source if has_stereochemistry or not entry.source else entry.smiles


def digest(data: bytes) -> str:
    """Return the SHA-256 of bytes, in hexadecimal."""
    return hashlib.sha256(data).hexdigest()
