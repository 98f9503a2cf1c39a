"""Molecules with geometries, from SMILES, and a random change of their positions."""

from __future__ import annotations

import numpy as np

from polydiff.domains.molecule.chemistry.geometry import Molecule, atomic_numbers, embed, positions

SYMBOLS = ("H", "C", "N", "O", "F")


def molecule(smiles: str) -> Molecule:
    """Return a molecule with the positions of its first conformer."""
    mol = embed(smiles, 1)
    return Molecule(atomic_numbers(mol), positions(mol)[0])


def shaken(one: Molecule, size: float, seed: int = 0) -> Molecule:
    """Return a molecule with normal noise of this standard deviation, in Å, added to its positions."""
    noise = np.random.default_rng(seed).normal(size=one.positions.shape)
    return Molecule(one.numbers, (one.positions + size * noise).astype(np.float32))
