"""Graphs alone as entries of a library: heavy atoms and kekulised bonds, with the hydrogens that these imply."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from rdkit import Chem

from polydiff.domains.molecule.chemistry.bonds import bond_table, charges_of, molecule_of, sanitised
from polydiff.domains.molecule.chemistry.geometry import Rejected, atomic_numbers, atoms_of
from polydiff.domains.molecule.chemistry.identity import graph_smiles
from polydiff.domains.molecule.chemistry.properties import PROPERTIES, measure
from polydiff.domains.molecule.data.filters import Selection, check_molecule
from polydiff.domains.molecule.data.library import Entry

USUAL = frozenset({6, 7, 8, 9, 16, 17, 35})
"""Atomic numbers of elements whose hydrogens SMILES leaves out by the rules by which bonds imply them."""


def all_hydrogens_follow(plain: Any, smiles: str) -> bool:
    """Return whether a SMILES that writes no atom in brackets shows that the hydrogens of its molecule follow."""
    return "[" not in smiles and all(atom.GetAtomicNum() in USUAL for atom in atoms_of(plain))


def written_again(plain: Any) -> str | None:
    """Return the SMILES of the atoms, charges and bonds of a molecule alone; None if RDKit refuses them."""
    back = sanitised(molecule_of(plain, implicit=True))
    return None if back is None else graph_smiles(back)


def graph_entry(mol: Any, selection: Selection) -> Entry:
    """Return an RDKit molecule without hydrogens as a graph alone: its atoms and bonds, without stereochemistry."""
    assert selection.graph is not None, "for graphs alone"
    check_molecule(mol, selection)
    smiles = graph_smiles(mol)
    plain = Chem.MolFromSmiles(smiles)
    table = bond_table(plain)
    if table is None or not (all_hydrogens_follow(plain, smiles) or written_again(plain) == smiles):
        raise Rejected("its hydrogens do not follow from its bonds")
    known = dict(zip(selection.graph, measure(plain, selection.graph), strict=True))
    properties = [known.get(name, math.nan) for name in PROPERTIES]
    numbers = atomic_numbers(plain)
    positions_of_none = [np.zeros((len(numbers), 3), np.float32)]
    return Entry(
        smiles, numbers, positions_of_none, [properties], smiles, bonds=table, charges=charges_of(plain), implicit=True
    )
