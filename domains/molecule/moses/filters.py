"""The filters of MOSES: structures that medicinal chemists avoid.

A molecule passes if it has only atoms of C, N, S, O, F, Cl, Br and H without charges, no ring of 8 or more atoms, none
of the 22 patterns MCF of MOSES (below, from the package molsets, MIT licence, Copyright 2018 Insilico Medicine, Inc),
and none of the patterns PAINS (Baell & Holloway, 2010, https://doi.org/10.1021/jm901137j). PAINS are those of RDKit's
file wehi_pains.csv. The package molsets has an older copy of it, in which RDKit has since corrected some patterns.
"""

from __future__ import annotations

import csv
import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rdkit import Chem, RDConfig

ATOMS = frozenset({"C", "N", "S", "O", "F", "Cl", "Br", "H"})
"""Elements that pass."""
LARGEST_RING = 7
"""Largest number of atoms of a ring that passes."""
MCF = (
    "[#6]=&!@[#6]-[#6]#[#7]", "[#6]=&!@[#6]-[#16](=[#8])=[#8]", "[#6]=&!@[#6&!H0]-&!@[#6](=[#8])-&!@[#7]",
    "[H]C([H])([#6])[F,Cl,Br,I]", "[#6]1-[#8]-[#6]-1", "[#6]-[#7]=[#6]=[#8]", "[#6&!H0]=[#8]",
    "[#6](=&!@[#7&!H0])-&!@[#6,#7,#8,#16]", "[#6]1-[#7]-[#6]-1", "[#6]~&!@[#7]~&!@[#7]~&!@[#6]", "[#7]=&!@[#7]",
    "[H][#6]-1=[#6]([H])-[#6]=[#6](-*)-[#8]-1", "[H][#6]-1=[#6]([H])-[#6]=[#6](-*)-[#16]-1",
    "[#17,#35,#53]-c(:*):[!#1!#6]:*", "[H][#7]([H])-[#6]-1=[#6]-[#6]=[#6]-[#6]=[#6]-1", "[#16]~[#16]",
    "[#7]~&!@[#7]~&!@[#7]", "[#7]-&!@[#6&!H0&!H1]-&!@[#7]", "[#6&!H0](-&!@[#8])-&!@[#8]", "[#35].[#35].[#35]",
    "[#17].[#17].[#17].[#17]", "[#9].[#9].[#9].[#9].[#9].[#9].[#9]",
)  # fmt: skip
"""SMARTS of the medicinal chemistry filters, in the order of mcf.csv."""


@functools.cache
def patterns() -> Sequence[Any]:
    """Return RDKit's molecules of all patterns, for molecules with explicit hydrogens."""
    path = Path(RDConfig.RDDataDir, "Pains", "wehi_pains.csv")
    with path.open(encoding="utf-8", newline="") as file:
        pains = [row[0].strip() for row in csv.reader(file) if row]
    return [Chem.MolFromSmarts(smarts) for smarts in (*MCF, *pains)]


def passes_filters(smiles: str) -> bool:
    """Return whether a valid SMILES passes all filters."""
    mol = Chem.MolFromSmiles(smiles)
    if any(len(ring) > LARGEST_RING for ring in mol.GetRingInfo().AtomRings()):
        return False
    if any(atom.GetFormalCharge() or atom.GetSymbol() not in ATOMS for atom in mol.GetAtoms()):
        return False
    whole = Chem.AddHs(mol)
    return not any(whole.HasSubstructMatch(pattern) for pattern in patterns())
