"""The rules by which molecules are selected, checked before any geometry is computed.

Each check raises `Rejected` with the reason.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from rdkit import Chem

from polydiff.domains.molecule.chemistry.geometry import SECONDS, Rejected, atomic_numbers, atoms_of

MIN_ATOM_DISTANCE = 0.1
"""Smallest distance of two atoms in Å."""
MIN_SPACING = 0.5
"""Smallest median over the atoms of the distance in Å to the nearest other atom."""
MAX_BOND_RATIO = 1.5
"""Largest length of a bond in units of the sum of the covalent radii of its atoms."""


class Selection(NamedTuple):
    """Which molecules are used, and how they are prepared.

    Attributes:
        elements: Symbols of the allowed elements; empty: all.
        max_atoms: Largest number of atoms, hydrogens included.
        conformers: Largest number of computed geometries of a molecule.
        add_hydrogens: Whether hydrogens that a .sdf record lacks are added.
        seconds: Time limit for one molecule.
        compute: Whether geometries are computed. If not, positions of 0 replace them, which is enough to inspect data.
        graph: Properties that are measured, of molecules that are graphs alone; None: molecules have positions.
    """

    elements: tuple[str, ...] = ()
    max_atoms: int = 60
    conformers: int = 3
    add_hydrogens: bool = False
    seconds: float = SECONDS
    compute: bool = True
    graph: tuple[str, ...] | None = None


def check_molecule(mol: Any, selection: Selection) -> None:
    """Reject an RDKit molecule with hydrogens if its atoms are not selected, or if it is charged or a radical."""
    atoms = atoms_of(mol)
    check_atoms([atom.GetAtomicNum() for atom in atoms], selection)
    if sum(atom.GetFormalCharge() for atom in atoms):
        raise Rejected("it is charged")
    if any(atom.GetNumRadicalElectrons() for atom in atoms):
        raise Rejected("it is a radical")


def check_atoms(numbers: Sequence[int], selection: Selection) -> None:
    """Reject atomic numbers that are none, too many, 0, or of elements that are not selected."""
    if not numbers:
        raise Rejected("it has no atoms")
    if len(numbers) > selection.max_atoms:
        raise Rejected(too_many(selection))
    if 0 in numbers:
        raise Rejected("one of its atoms has no element")
    symbols = map(Chem.GetPeriodicTable().GetElementSymbol, sorted(set(numbers)))
    if selection.elements and (others := [symbol for symbol in symbols if symbol not in selection.elements]):
        raise Rejected(f"it contains {others[0]}, which data.elements does not name")


def too_many(selection: Selection) -> str:
    """Return the reason that rejects molecules with too many atoms."""
    return f"it has more than data.max_atoms={selection.max_atoms} atoms"


def has_positions(mol: Any) -> bool:
    """Return whether an RDKit molecule has 3-D positions.

    Positions of a drawing are 2-D. Positions that are all equal mean that none are known.
    """
    places = mol.GetConformer().GetPositions()
    return bool(mol.GetConformer().Is3D()) and not (len(places) > 1 and (places == places[0]).all())


def check_coordinates(record: str, atoms: int) -> None:
    """Reject a .sdf record with a blank coordinate, which RDKit reads as 0."""
    _, _, _, counts, *lines = record.split("\n")
    if "V3000" not in counts and any(not line[i : i + 10].strip() for line in lines[:atoms] for i in (0, 10, 20)):
        raise Rejected("one of its positions is missing")


def check_positions(positions: np.ndarray) -> None:
    """Reject positions (N, 3) in Å that are not finite, with two atoms at one place, or with all atoms too near."""
    if not np.isfinite(positions).all():
        raise Rejected("one of its positions is not finite")
    gaps = np.linalg.norm(positions[:, None] - positions, axis=-1) + np.diag(np.full(len(positions), np.inf))
    if 0 < np.median(gaps.min(1)) < MIN_SPACING:
        raise Rejected("its atoms are too near to each other, if its positions are in Å")
    if not (gaps > MIN_ATOM_DISTANCE).all():
        raise Rejected("two of its atoms are at the same place")


def check_bond_lengths(mol: Any) -> None:
    """Reject an RDKit molecule with a bond that is too long for its elements."""
    numbers, r = atomic_numbers(mol), mol.GetConformer().GetPositions()
    ends = np.array([(bond.GetBeginAtomIdx(), bond.GetEndAtomIdx()) for bond in mol.GetBonds()], np.int64).reshape(
        -1, 2
    )
    longest = MAX_BOND_RATIO * covalent_radii(numbers)[ends].sum(1)
    if (np.linalg.norm(r[ends[:, 0]] - r[ends[:, 1]], axis=1) > longest).any():
        raise Rejected(f"one of its bonds is longer than {MAX_BOND_RATIO:g} times the sum of the covalent radii")


def check_one_piece(numbers: np.ndarray, positions: np.ndarray) -> None:
    """Reject atoms (N,) at positions (N, 3) in Å that are too far from each other to be one molecule."""
    radii = covalent_radii(numbers)
    near = np.linalg.norm(positions[:, None] - positions, axis=-1) <= MAX_BOND_RATIO * (radii[:, None] + radii)
    reached = near[0]
    while (further := near[reached].any(0)).sum() > reached.sum():
        reached = further
    if not reached.all():
        raise Rejected("its atoms are in several pieces, if its positions are in Å")


def covalent_radii(numbers: np.ndarray) -> np.ndarray:
    """Return RDKit's covalent radii of elements in Å, float64 (N,)."""
    table = Chem.GetPeriodicTable()
    return np.array([table.GetRcovalent(z) for z in numbers.tolist()], np.float64)
