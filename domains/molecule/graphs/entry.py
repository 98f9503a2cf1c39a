"""Graphs alone as entries of a library: heavy atoms and kekulised bonds, with the hydrogens that these imply."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from rdkit import Chem

from polydiff.domains.molecule.chemistry.bonds import bond_table, charges_of, molecule_of, sanitised
from polydiff.domains.molecule.chemistry.geometry import Rejected, atomic_numbers
from polydiff.domains.molecule.chemistry.identity import graph_smiles
from polydiff.domains.molecule.chemistry.properties import PROPERTIES, measure
from polydiff.domains.molecule.data.filters import Selection, check_molecule
from polydiff.domains.molecule.data.library import Entry


def graph_entry(mol: Any, selection: Selection) -> Entry:
    """Return an RDKit molecule without hydrogens as a graph alone: its atoms and bonds, without stereochemistry."""
    assert selection.graph is not None, "for graphs alone"
    check_molecule(mol, selection)
    smiles = graph_smiles(mol)
    plain = Chem.MolFromSmiles(smiles)
    table = bond_table(plain)
    if table is None or (back := sanitised(molecule_of(plain, implicit=True))) is None or graph_smiles(back) != smiles:
        raise Rejected("its hydrogens do not follow from its bonds")
    known = dict(zip(selection.graph, measure(plain, selection.graph), strict=True))
    properties = [known.get(name, math.nan) for name in PROPERTIES]
    numbers = atomic_numbers(plain)
    positions_of_none = [np.zeros((len(numbers), 3), np.float32)]
    return Entry(
        smiles, numbers, positions_of_none, [properties], smiles, bonds=table, charges=charges_of(plain), implicit=True
    )
