"""Entries of the library from molecules with positions: by their own bonds, or by those that RDKit perceives."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from rdkit.Chem import rdDetermineBonds

from polydiff.domains.molecule.chemistry.bonds import bond_table, charges_of
from polydiff.domains.molecule.chemistry.geometry import Molecule, atomic_numbers, positions
from polydiff.domains.molecule.chemistry.identity import molecule_key
from polydiff.domains.molecule.chemistry.perceive import has_charged_atoms, perceive, perceive_by_radii, without_bonds
from polydiff.domains.molecule.chemistry.properties import PROPERTIES, measure
from polydiff.domains.molecule.data.filters import check_one_piece
from polydiff.domains.molecule.data.library import Entry

UNKNOWN_BONDS = "RDKit perceives no bonds in it, so its properties are unknown"
BY_RADII = "RDKit perceives its bonds in the second attempt, by covalent radii"
"""Remarks on molecules that are used."""


def entry_of(mol: Any) -> Entry:
    """Return the entry of an RDKit molecule that has hydrogens and conformers."""
    ids = [conformer.GetId() for conformer in mol.GetConformers()]
    measured = [measure(mol, list(PROPERTIES), i) for i in ids]
    return with_bonds_of(Entry(molecule_key(mol), atomic_numbers(mol), positions(mol), measured), mol)


def with_bonds_of(entry: Entry, mol: Any) -> Entry:
    """Return an entry with the bonds and charges of its RDKit molecule."""
    return entry._replace(bonds=bond_table(mol), charges=charges_of(mol))


def unknown_properties() -> list[float]:
    """Return NaN for each property."""
    return [math.nan] * len(PROPERTIES)


def neutral_perception(mol: Any) -> Any:
    """Return the molecule that RDKit perceives in a geometry, if its atoms have no charges and those of `mol` do."""
    if not has_charged_atoms(mol):
        return None
    perceived = perceive(Molecule(atomic_numbers(mol), mol.GetConformer().GetPositions().astype(np.float32)))
    return None if perceived is None or has_charged_atoms(perceived) else perceived


def entry_by_perception(molecule: Molecule) -> Entry:
    """Return the entry of atoms with given positions and the bonds that RDKit perceives, if any."""
    check_one_piece(molecule.numbers, molecule.positions)
    molecule = Molecule(molecule.numbers, molecule.positions.astype(np.float32))
    mol = perceive(molecule)
    if mol is not None:
        return entry_with_bonds(molecule, mol)
    mol = perceive_by_radii(molecule)
    if mol is not None:
        return entry_with_bonds(molecule, mol)._replace(notes=[BY_RADII])
    unknown = [unknown_properties()]
    return Entry(connectivity_key(molecule), molecule.numbers, [molecule.positions], unknown, notes=[UNKNOWN_BONDS])


def entry_with_bonds(molecule: Molecule, mol: Any) -> Entry:
    """Return the entry of atoms with given positions and their RDKit molecule."""
    entry = Entry(molecule_key(mol), molecule.numbers, [molecule.positions], [measure(mol, list(PROPERTIES))])
    return with_bonds_of(entry, mol)


def connectivity_key(molecule: Molecule) -> str:
    """Return the key of a molecule with bonds by distance, which identifies one whose bond orders are unknown."""
    mol = without_bonds(molecule)
    rdDetermineBonds.DetermineConnectivity(mol)
    return molecule_key(mol)
