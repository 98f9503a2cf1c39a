"""Where the atoms of a molecule are: by distance geometry and a force field, or as a file says.

ETKDGv3 proposes geometries (Riniker & Landrum, 2015, https://doi.org/10.1021/acs.jcim.5b00654), MMFF94s brings each to
its minimum (Halgren, 1999), and those within a window above the lowest that differ from each other are kept.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from rdkit import Chem
from rdkit.Chem import rdDistGeom, rdForceFieldHelpers, rdMolAlign

SEED = 42
PROPOSALS = 5
"""Geometries proposed for each molecule, at least."""
WINDOW = 10.0
"""kcal/mol above the lowest within which a conformer is kept."""
APART = 0.25
"""Least root mean square distance in Å between two conformers."""
SECONDS = 30.0
"""Time for a molecule, where nobody says another."""
ITERATIONS = 2000
"""Steps after which a minimisation is given up."""


class Rejected(Exception):
    """A molecule cannot be used, for the reason given."""


class Molecule(NamedTuple):
    """Atoms in space: an example as a person knows it.

    Attributes:
        numbers: Atomic numbers, integers (N,).
        positions: In Å, float32 (N, 3).
    """

    numbers: np.ndarray
    positions: np.ndarray


def embedded(smiles: str, most: int, seconds: float = SECONDS) -> Any:
    """Return a molecule with hydrogens and up to `most` conformers, lowest first; the same each time.

    Two thirds of the time may go into proposals.

    Raises:
        Rejected: It has no geometry, or no force field.
    """
    plain = Chem.MolFromSmiles(smiles)
    if plain is None:
        raise Rejected("RDKit does not understand its SMILES")
    mol = Chem.AddHs(plain)
    if not rdForceFieldHelpers.MMFFHasAllMoleculeParams(mol):
        raise Rejected("MMFF94s has no parameters for it")
    parameters = rdDistGeom.ETKDGv3()
    parameters.randomSeed, parameters.pruneRmsThresh, parameters.timeout = SEED, 0.3, math.ceil(seconds * 2 / 3)
    rdDistGeom.EmbedMultipleConfs(mol, max(PROPOSALS, 2 * most), parameters)
    if mol.GetNumConformers() == 0:  # which does not follow from what is returned when time is up
        raise Rejected("ETKDG finds no geometry")
    results = rdForceFieldHelpers.MMFFOptimizeMoleculeConfs(mol, mmffVariant="MMFF94s", maxIters=ITERATIONS)
    ids = [conformer.GetId() for conformer in mol.GetConformers()]
    energies = {i: energy for i, (failed, energy) in zip(ids, results, strict=True) if not failed}
    if not energies:
        raise Rejected("MMFF94s does not converge")
    return with_conformers(mol, distinct(mol, energies, most))


def distinct(mol: Any, energies: dict[int, float], most: int) -> list[int]:
    """Return the conformers of lowest energy, within the window, that differ from each other."""
    lowest, kept = min(energies.values()), list[int]()
    for i in sorted(energies, key=lambda i: (energies[i], i)):
        if len(kept) < most and energies[i] <= lowest + WINDOW and all(apart(mol, i, j) for j in kept):
            kept.append(i)
    return kept


def apart(mol: Any, i: int, j: int) -> bool:
    """Return whether two conformers differ, whichever equivalent atoms are taken for each other."""
    return bool(rdMolAlign.GetBestRMS(mol, Chem.Mol(mol), i, j, maxMatches=1000) > APART)


def with_conformers(mol: Any, ids: Sequence[int]) -> Any:
    """Return a molecule with these of its conformers, in this order, numbered from 0."""
    chosen = Chem.Mol(mol)
    chosen.RemoveAllConformers()
    for i in ids:
        chosen.AddConformer(mol.GetConformer(i), assignId=True)
    return chosen


def graph_smiles(mol: Any) -> str:
    """Return the canonical SMILES without hydrogens and stereochemistry."""
    smiles: str = Chem.MolToSmiles(Chem.RemoveHs(mol), isomericSmiles=False)
    return smiles


def atomic_numbers(mol: Any) -> np.ndarray:
    """Return atomic numbers (N,)."""
    return np.array([atom.GetAtomicNum() for atom in mol.GetAtoms()], np.uint8)


def positions(mol: Any) -> list[np.ndarray]:
    """Return each conformer's positions in Å, float32 (N, 3)."""
    return [conformer.GetPositions().astype(np.float32) for conformer in mol.GetConformers()]
