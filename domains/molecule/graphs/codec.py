"""Molecules with bonds as states of several parts, for process=joint.

| part | what it is | space |
|---|---|---|
| positions | r / s, with the mean 0 | `DenseMolecules` without features |
| atoms | one letter an atom: its element and formal charge, a pair that occurs in the training data | `LettersSpace` |
| bonds | one letter a pair of atoms: no bond, or one of order 1, 2 or 3 | `PairsSpace` |

Graphs alone have no positions, and no hydrogens that follow from the bonds. Charges are part of the atoms' letters, so
that no combination arises that the data lack. If elements are given, there is no part of atoms: the space of positions
holds the elements, and an atom's charge is the one that atoms of its element and valence have in the training data.

Symbols: r positions in Å, s their standard deviation, B molecules, N the largest number of atoms, K letters of atoms.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from polydiff.contract.sections.run import Config
from polydiff.core.parts.letters import PAD, LettersSpace, Totals
from polydiff.core.parts.pairs import PairsSpace
from polydiff.core.parts.product import Product
from polydiff.core.units import Units
from polydiff.domains.molecule.chemistry.bonds import orders
from polydiff.domains.molecule.chemistry.composition import symbols
from polydiff.domains.molecule.chemistry.geometry import Molecule
from polydiff.domains.molecule.chemistry.kekule import drawn
from polydiff.domains.molecule.config import ATOMS, BONDS, POSITIONS, SPATIAL, MoleculeData
from polydiff.domains.molecule.data.library import Library
from polydiff.domains.molecule.space import DenseMolecules, degrees_of_freedom
from polydiff.support.errors import UserError

ORDERS = 4
"""Letters of a pair of atoms: no bond, and bonds of order 1, 2 and 3."""
Letter = tuple[int, int]
"""Atomic number and formal charge."""


@dataclass(frozen=True)
class GraphCodec:
    """The map between molecules with bonds and states.

    Arguments:
        letters: The K letters of atoms, increasing: all pairs of element and charge of the training data.
        scale: Length in Å of 1 unit of positions: s.
        placed: Whether states have positions; if not, molecules are graphs alone.
        pad_to: Multiple to which the number of atoms is rounded up.
        given: Whether the space holds the elements of the atoms, which are then no part of the state.
        charges: Atomic number and sum of the orders of an atom's bonds -> formal charge, if elements are given.
    """

    letters: tuple[Letter, ...]
    scale: float
    placed: bool = True
    pad_to: int = 1
    given: bool = False
    charges: Mapping[tuple[int, int], int] = field(default_factory=dict)

    features = 0
    """Features of an atom beside its position, in the part of positions."""

    @staticmethod
    def measure(library: Library) -> dict[str, Any]:
        """Return the statistics of the parts: letters of atoms with their frequencies, and frequencies of bonds.

        "valences" are rows (atomic number, sum of the orders of its bonds, the most frequent charge of such atoms).
        """
        pairs, counts = np.unique(np.stack([library.numbers, library.charges], 1), axis=0, return_counts=True)
        total = int((library.sizes * (library.sizes - 1) // 2).sum())
        counted = np.bincount(library.bonds[:, 2], minlength=ORDERS)
        counted[0] = total - len(library.bonds)
        return {
            ATOMS: {
                "letters": pairs.tolist(),
                "frequencies": (counts / counts.sum()).tolist(),
                "valences": charges_of_valences(library),
            },
            BONDS: {"frequencies": (counted / max(total, 1)).tolist()},
        }

    @property
    def elements(self) -> tuple[int, ...]:
        """The atomic numbers, increasing."""
        return tuple(sorted({number for number, _ in self.letters}))

    @cached_property
    def known(self) -> Mapping[Letter, int]:
        """Letter -> its number."""
        return {letter: i for i, letter in enumerate(self.letters)}

    def space(self, sizes: Tensor, numbers: Tensor | None = None) -> Any:
        """Return the `Product` of the spaces of molecules.

        Arguments:
            sizes: Numbers of atoms, (B,).
            numbers: Atomic numbers (M,) of all atoms of one molecule after the other. If elements are given, they are
                required; else samples have these atoms in some order, and None means any.
        """
        dense = DenseMolecules.of_sizes(sizes, 0, multiple=self.pad_to)
        mask = dense.mask
        if self.given:
            assert numbers is not None, "a space that holds the elements needs them"
            elements = mask.new_zeros(mask.shape, dtype=torch.int64).masked_scatter(mask, numbers)
            return Product({POSITIONS: replace(dense, elements=elements), BONDS: PairsSpace(mask, ORDERS)})
        totals = None if numbers is None else self.totals(sizes, numbers)
        letters: dict[str, Any] = {
            ATOMS: LettersSpace(len(mask), (mask.shape[1],), len(self.letters), mask, mask.device, totals),
            BONDS: PairsSpace(mask, ORDERS),
        }
        return Product({POSITIONS: dense, **letters} if self.placed else letters)

    def totals(self, sizes: Tensor, numbers: Tensor) -> Totals:
        """Return how many atoms of each element molecules have; arguments as of `space`."""
        elements = torch.tensor(self.elements)
        groups = torch.searchsorted(elements, torch.tensor([number for number, _ in self.letters]))
        hot = functional.one_hot(torch.searchsorted(elements, numbers), len(elements))
        owner = torch.repeat_interleave(torch.arange(len(sizes)), sizes)
        return Totals(groups, torch.zeros(len(sizes), len(elements), dtype=torch.int64).index_add(0, owner, hot))

    def encode(self, molecules: Sequence[Molecule]) -> tuple[Any, Any]:
        """Return the states of molecules, name of a part -> tensor, and their space.

        Raises:
            UserError: A molecule has an atom that is no letter, or its bonds are unknown.
        """
        sizes = torch.tensor([len(one.numbers) for one in molecules])
        numbers = torch.from_numpy(np.concatenate([one.numbers for one in molecules]).astype(np.int64))
        space = self.space(sizes, numbers if self.given else None)
        n = space.parts[BONDS].mask.shape[1]
        positions = torch.zeros(len(molecules), n, 3, dtype=torch.float64)
        atoms = torch.full((len(molecules), n), PAD)
        bonds = torch.full((len(molecules), n, n), PAD)
        for i, one in enumerate(molecules):
            if one.bonds is None or one.charges is None:
                raise UserError(
                    "The bonds of a molecule are unknown. Give it as .sdf or SMILES, or with data.bonds=false."
                )
            k = len(one.numbers)
            positions[i, :k] = torch.from_numpy(one.positions).double() / self.scale
            pairs = zip(one.numbers.tolist(), one.charges.tolist(), strict=True)
            atoms[i, :k] = torch.tensor([self.letter(*pair) for pair in pairs])
            bonds[i, :k, :k] = torch.from_numpy(one.bonds.astype(np.int64))
        x = {POSITIONS: positions, ATOMS: atoms, BONDS: bonds}
        found = {name: part.project(x[name]) for name, part in space.parts.items()}
        return {name: each.float() if name == POSITIONS else each for name, each in found.items()}, space

    def letter(self, number: int, charge: int) -> int:
        """Return the letter of an atom by its atomic number and formal charge."""
        if (number, charge) not in self.known:
            raise UserError(
                f"A molecule contains the atom {written(number, charge)}, but this model was trained on "
                f"{', '.join(written(*letter) for letter in self.letters)}."
            )
        return self.known[number, charge]

    def units(self, x: Any, space: Any) -> Units:
        """Return the units of states for likelihoods: positions have a density in Å, and letters a probability."""
        sizes = space.parts[BONDS].mask.sum(1)
        if self.placed:
            return Units(None, None, degrees_of_freedom(sizes, 0) * math.log(self.scale), "Å")
        atoms = x[ATOMS].double()
        return Units(atoms - 0.5, atoms + 0.5, torch.zeros(len(atoms), device=atoms.device))

    def decode(self, x: Any, space: Any) -> list[Molecule]:
        """Return the molecules that states represent, with the bonds that they have; nothing is perceived.

        Masked letters, which only unfinished states have, are shown as the first letter and as no bond.
        """
        sizes = space.parts[BONDS].mask.sum(1).tolist()
        bonds = x[BONDS].cpu().numpy()
        places = (
            (x[POSITIONS].float().cpu() * self.scale).numpy()
            if self.placed
            else np.zeros((*bonds.shape[:2], 3), np.float32)
        )
        atoms = (space.parts[POSITIONS].elements if self.given else x[ATOMS]).cpu().numpy()
        found = []
        for i, n in enumerate(sizes):
            own = np.where(bonds[i, :n, :n] < ORDERS, bonds[i, :n, :n], 0)
            np.fill_diagonal(own, 0)
            numbers, charges = self.elements_and_charges(atoms[i, :n], own)
            found.append(
                Molecule(
                    numbers.astype(np.uint8),
                    places[i, :n],
                    charges.astype(np.int8),
                    own.astype(np.uint8),
                    not self.placed,
                )
            )
        return found

    def elements_and_charges(self, atoms: np.ndarray, bonds: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the atomic numbers (N,) and formal charges (N,) of the atoms of a molecule.

        Arguments:
            atoms: Letters, or atomic numbers if elements are given, (N,).
            bonds: Orders of bonds, (N, N).
        """
        if not self.given:
            numbers, charges = np.array([*self.letters, self.letters[0]], np.int64)[atoms].T
            return numbers, charges
        valences = zip(atoms.tolist(), bonds.sum(1).tolist(), strict=True)
        return atoms, np.array([self.charges.get(each, 0) for each in valences])


def charges_of_valences(library: Library) -> list[list[int]]:
    """Return rows (atomic number, sum of the orders of its bonds, the most frequent charge of such atoms)."""
    owner = np.repeat(np.arange(len(library)), np.diff(library.first_bond))
    valences = np.zeros(len(library.numbers), np.int64)
    for end in (0, 1):
        np.add.at(valences, library.first[owner] + library.bonds[:, end], library.bonds[:, 2])
    rows, counts = np.unique(np.stack([library.numbers, valences, library.charges], 1), axis=0, return_counts=True)
    most: dict[tuple[int, int], int] = {}
    for place in np.argsort(-counts, kind="stable").tolist():
        number, valence, charge = rows[place].tolist()
        most.setdefault((number, valence), charge)
    return [[*key, charge] for key, charge in sorted(most.items())]


def kekulised(library: Library, i: int, generator: torch.Generator) -> Molecule:
    """Return a molecule of a library in a Kekule form drawn from a random stream (`chemistry.kekule`)."""
    table, molecule = library.table(i), library[i]
    if table is None:
        return molecule
    return molecule._replace(bonds=orders(drawn(table, generator), len(molecule.numbers)))


def written(number: int, charge: int) -> str:
    """Return an atom as text, such as N, N+ or O-."""
    (symbol,) = symbols([number])
    sign = "+" if charge > 0 else "-"
    return symbol + (sign + (str(abs(charge)) if abs(charge) > 1 else "") if charge else "")


def graph_codec_of(data: MoleculeData, statistics: Mapping[str, Any]) -> GraphCodec:
    """Return the codec of a configuration and the statistics of its training data."""
    own = statistics[ATOMS]
    letters = tuple((int(number), int(charge)) for number, charge in own["letters"])
    if data.types == "given":
        if own.get("valences") is None:
            raise ValueError("atoms.valences are missing, which data.types=given needs; start a new run")
        charges = {(number, valence): charge for number, valence, charge in own["valences"]}
        return GraphCodec(letters, statistics["scale"], data.positions, data.pad_to, True, charges)
    return GraphCodec(letters, statistics["scale"], data.positions, data.pad_to)


def check_parts(config: Config) -> None:
    """Raise UserError unless the process and the conditions of a configuration suit molecules with bonds."""
    assert isinstance(config.data, MoleculeData)
    if config.process != "joint":
        raise UserError(f"process={config.process}: molecules with bonds need process=joint. Leave out process.")
    if not config.data.positions and (spatial := [name for name in config.data.conditions if name in SPATIAL]):
        raise UserError(f"data.conditions={list(config.data.conditions)}: {spatial[0]} needs data.positions=true.")
