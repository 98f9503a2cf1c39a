"""Geometries of molecules, computed by distance geometry and a force field.

ETKDGv3 proposes geometries (Riniker & Landrum, 2015, https://doi.org/10.1021/acs.jcim.5b00654). MMFF94s minimises the
energy of each (Halgren, 1999). Conformers in an energy window above the lowest that differ from each other are kept.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple, Self

import numpy as np
from rdkit import Chem
from rdkit.Chem import rdDistGeom, rdForceFieldHelpers, rdMolAlign

SEED = 42
MIN_PROPOSALS = 5
"""Smallest number of geometries proposed for a molecule."""
ENERGY_WINDOW = 10.0
"""Largest energy above the lowest conformer, in kcal/mol, of a conformer that is kept."""
MIN_RMSD = 0.25
"""Smallest root mean square distance between two conformers, in Å."""
SECONDS = 30.0
"""Default time limit for a molecule."""
MAX_MINIMISER_STEPS = 2000
"""Number of steps after which a minimisation counts as not converged."""


class Rejected(Exception):
    """A molecule cannot be used; the message is the reason."""


class Atoms(NamedTuple):
    """Elements and positions."""

    numbers: np.ndarray
    positions: np.ndarray


class Molecule(Atoms):
    """A molecule as atoms in space, with bonds if they are known: one decoded example, and a pair (numbers, positions).

    Attributes:
        numbers: Atomic numbers, integers (N,).
        positions: Positions in Å, float32 (N, 3); 0 if there are none.
        charges: Formal charges, integers (N,); None if bonds are unknown.
        bonds: Orders of bonds, 0 for none, 1, 2 or 3, integers (N, N), symmetric; None if bonds are unknown.
        implicit: Whether it is a graph alone: without positions, and with the hydrogens that its bonds leave out.
    """

    charges: np.ndarray | None
    bonds: np.ndarray | None
    implicit: bool

    def __new__(
        cls,
        numbers: np.ndarray,
        positions: np.ndarray,
        charges: np.ndarray | None = None,
        bonds: np.ndarray | None = None,
        implicit: bool = False,
    ) -> Self:
        """Return a molecule; arguments as the attributes."""
        molecule = super().__new__(cls, numbers, positions)
        molecule.charges, molecule.bonds, molecule.implicit = charges, bonds, implicit
        return molecule

    def _replace(self, **changes: Any) -> Molecule:
        """Return the molecule with other values of some attributes."""
        return Molecule(**{**self._asdict(), **vars(self), **changes})


def embed(smiles: str, most: int, seconds: float = SECONDS) -> Any:
    """Return an RDKit molecule with hydrogens and up to `most` conformers in order of energy; deterministic.

    Arguments:
        smiles: The molecule.
        most: Largest number of conformers.
        seconds: Time limit; at most two thirds of it are spent on proposals.

    Raises:
        Rejected: RDKit cannot parse the SMILES, finds no geometry, or has no force field for the molecule.
    """
    plain = Chem.MolFromSmiles(smiles)
    if plain is None:
        raise Rejected("RDKit does not understand its SMILES")
    mol = Chem.AddHs(plain)
    check_parameters(mol)
    parameters = rdDistGeom.ETKDGv3()
    parameters.randomSeed, parameters.pruneRmsThresh, parameters.timeout = SEED, 0.3, math.ceil(seconds * 2 / 3)
    rdDistGeom.EmbedMultipleConfs(mol, max(MIN_PROPOSALS, 2 * most), parameters)
    if mol.GetNumConformers() == 0:  # the returned ids are not reliable after a timeout
        raise Rejected("ETKDG finds no geometry")
    results = rdForceFieldHelpers.MMFFOptimizeMoleculeConfs(mol, mmffVariant="MMFF94s", maxIters=MAX_MINIMISER_STEPS)
    ids = [conformer.GetId() for conformer in mol.GetConformers()]
    energies = {i: energy for i, (failed, energy) in zip(ids, results, strict=True) if not failed}
    if not energies:
        raise Rejected("MMFF94s does not converge")
    return with_conformers(mol, distinct_conformers(mol, energies, most))


def check_parameters(mol: Any) -> None:
    """Reject an RDKit molecule with hydrogens for which MMFF94s has no parameters."""
    if not rdForceFieldHelpers.MMFFHasAllMoleculeParams(mol):
        raise Rejected("MMFF94s has no parameters for it")


def distinct_conformers(mol: Any, energies: dict[int, float], most: int) -> list[int]:
    """Return the ids of up to `most` conformers of lowest energy that lie in the window and differ from each other."""
    lowest, kept = min(energies.values()), list[int]()
    for i in sorted(energies, key=lambda i: (energies[i], i)):
        if len(kept) < most and energies[i] <= lowest + ENERGY_WINDOW and all(differ(mol, i, j) for j in kept):
            kept.append(i)
    return kept


def differ(mol: Any, i: int, j: int) -> bool:
    """Return whether two conformers differ under every matching of equivalent atoms."""
    return bool(rdMolAlign.GetBestRMS(mol, Chem.Mol(mol), i, j, maxMatches=1000) > MIN_RMSD)


def with_conformers(mol: Any, ids: Sequence[int]) -> Any:
    """Return a copy of a molecule with the conformers `ids` only, in this order, numbered from 0."""
    chosen = Chem.Mol(mol)
    chosen.RemoveAllConformers()
    for i in ids:
        chosen.AddConformer(mol.GetConformer(i), assignId=True)
    return chosen


def atoms_of(mol: Any) -> list[Any]:
    """Return the atoms of an RDKit molecule; `GetAtoms` reads their number at each step, which takes longer."""
    return [mol.GetAtomWithIdx(i) for i in range(mol.GetNumAtoms())]


def atomic_numbers(mol: Any) -> np.ndarray:
    """Return the atomic numbers of an RDKit molecule, uint8 (N,)."""
    return np.array([atom.GetAtomicNum() for atom in atoms_of(mol)], np.uint8)


def positions(mol: Any) -> list[np.ndarray]:
    """Return the positions of each conformer in Å, float32 (N, 3)."""
    return [conformer.GetPositions().astype(np.float32) for conformer in mol.GetConformers()]
