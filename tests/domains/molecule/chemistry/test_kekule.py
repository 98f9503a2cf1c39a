"""Kekule forms: how many there are, that each is the molecule, and that the draw is uniform."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch
from rdkit import Chem

from polydiff.domains.molecule.chemistry.bonds import bond_table, molecule_of, orders, sanitised
from polydiff.domains.molecule.chemistry.kekule import drawn, forms


def table_of(smiles: str) -> np.ndarray:
    table = bond_table(Chem.AddHs(Chem.MolFromSmiles(smiles)))
    assert table is not None
    return table


@pytest.mark.parametrize(
    ("smiles", "counts"),
    [
        ("c1ccccc1", [2]),
        ("n1ccccc1", [2]),
        ("[nH]1cccc1", [1]),
        ("c1ccc2ccccc2c1", [3]),
        ("c1ccc2cc3ccccc3cc2c1", [4]),
        ("c1ccc2c(c1)ccc1ccccc12", [5]),
        ("c1ccc(-c2ccccc2)cc1", [2, 2]),
        ("C=CC=C", []),
    ],
)
def test_ring_systems_have_their_known_numbers_of_forms(smiles: str, counts: list[int]) -> None:
    assert [len(system) for system in forms(table_of(smiles).tobytes())] == counts


@pytest.mark.parametrize("smiles", ["c1ccc2ccccc2c1", "Cc1ccncc1O", "O=c1cc[nH]cc1", "[O-][n+]1ccccc1", "c1ccoc1"])
def test_each_form_is_the_same_molecule(smiles: str) -> None:
    mol = Chem.AddHs(Chem.MolFromSmiles(smiles))
    table, wanted = table_of(smiles), Chem.MolToSmiles(Chem.MolFromSmiles(smiles))
    for seed in range(6):
        own = drawn(table, torch.Generator().manual_seed(seed))
        made = sanitised(molecule_of(mol)._replace(bonds=orders(own, mol.GetNumAtoms())))
        assert Chem.MolToSmiles(Chem.RemoveHs(made)) == wanted
        assert own[:, 2].sum() == table[:, 2].sum()


def test_the_forms_are_drawn_with_equal_shares() -> None:
    table, generator = table_of("c1ccc2ccccc2c1"), torch.Generator().manual_seed(0)
    counts = Counter(drawn(table, generator).tobytes() for _ in range(900))
    assert len(counts) == 3
    assert max(abs(n - 300) for n in counts.values()) < 60  # four standard deviations


def test_a_molecule_without_choice_draws_no_number() -> None:
    generator = torch.Generator().manual_seed(0)
    before = generator.get_state()
    assert np.array_equal(drawn(table_of("CC=O"), generator), table_of("CC=O"))
    assert torch.equal(generator.get_state(), before)
