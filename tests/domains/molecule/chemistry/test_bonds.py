"""Bonds as numbers: round trips with RDKit, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
from rdkit import Chem

from polydiff.domains.molecule.chemistry.bonds import bond_table, charges_of, molecule_of, orders, sanitised

SMILES = ["CCO", "c1ccncc1", "C[N+](=O)[O-]", "C#N", "O=C1NC=CC1", "[NH3+]CC(=O)[O-]", "FC(F)F"]


@pytest.mark.parametrize("smiles", SMILES)
@pytest.mark.parametrize("implicit", [False, True])
def test_a_molecule_survives_as_atoms_charges_and_bonds(smiles: str, implicit: bool) -> None:
    plain = Chem.MolFromSmiles(smiles)
    back = sanitised(molecule_of(plain if implicit else Chem.AddHs(plain), implicit))
    assert Chem.MolToSmiles(Chem.RemoveHs(back)) == Chem.MolToSmiles(plain)


def test_a_table_is_kekulised_and_says_what_is_aromatic() -> None:
    table = bond_table(Chem.MolFromSmiles("Cc1ccccc1"))
    assert table is not None
    assert sorted(table[:, 2].tolist()) == [1, 1, 1, 1, 2, 2, 2]
    assert table[:, 3].sum() == 6
    assert (table[:, 0] < table[:, 1]).all()
    matrix = orders(table, 7)
    assert np.array_equal(matrix, matrix.T)
    assert matrix.sum() == 2 * table[:, 2].sum()


def test_charges_are_those_of_the_atoms() -> None:
    assert charges_of(Chem.MolFromSmiles("C[N+](=O)[O-]")).tolist() == [0, 1, 0, -1]


def test_a_bond_of_another_order_is_unknown() -> None:
    assert bond_table(Chem.MolFromSmiles("[NH3]->[Cu]", sanitize=False)) is None


def test_a_wrong_valence_and_a_radical_are_refused() -> None:
    ethane = molecule_of(Chem.AddHs(Chem.MolFromSmiles("CC")))
    double = ethane.bonds.copy()
    double[0, 1] = double[1, 0] = 2  # five bonds at carbon
    assert sanitised(ethane._replace(bonds=double)) is None
    broken = ethane.bonds.copy()
    broken[0, 2] = broken[2, 0] = 0  # a hydrogen leaves two radicals
    assert sanitised(ethane._replace(bonds=broken)) is None
    assert sanitised(ethane) is not None
