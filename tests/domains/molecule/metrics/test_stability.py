"""Tests of `polydiff.domains.molecule.metrics.stability`."""

from __future__ import annotations

import math

import numpy as np
import pytest
from molecule_cases import molecule

from polydiff.domains.molecule.chemistry.geometry import Molecule
from polydiff.domains.molecule.chemistry.perceive import perceive
from polydiff.domains.molecule.metrics.examine import (
    Findings,
    PerceivedSample,
)
from polydiff.domains.molecule.metrics.sample_set import (
    table_metrics,
)
from polydiff.domains.molecule.metrics.shapes import bond_lengths
from polydiff.domains.molecule.metrics.stability import (
    DOUBLE,
    SINGLE,
    TRIPLE,
    VALENCES,
    bond_orders,
    stable_atoms,
    table_smiles,
)


@pytest.mark.parametrize(
    ("smiles", "stable", "atoms"),
    [
        ("c1ccccc1", 6, 12),  # benzene: each C-C bond is neither single nor double
        ("Cc1ccccc1", 9, 15),
        ("c1ccncc1", 9, 11),
        ("O=C=O", 0, 3),  # bonds that MMFF94s draws out to 1.40 Å, single ones to the table
        ("C[N+](=O)[O-]", 6, 7),  # nitromethane: no charges in the table
        ("[NH3+]CC(=O)[O-]", 8, 10),  # glycine, a zwitterion
        ("c1ccc2ccccc2c1", 8, 18),  # naphthalene
        ("CC(=O)Oc1ccccc1C(=O)O", 15, 21),  # aspirin
        ("C", 5, 5),
        ("c1ccoc1", 9, 9),
        ("c1cc[nH]c1", 10, 10),
        ("CCO", 9, 9),
        ("CC#N", 6, 6),
        ("C=O", 4, 4),
    ],
)
def test_the_table_of_bond_lengths_on_known_molecules(smiles: str, stable: int, atoms: int) -> None:
    found = stable_atoms(molecule(smiles))
    assert (int(found.sum()), len(found)) == (stable, atoms)


def test_bond_orders_of_the_table() -> None:
    def order(a: int, b: int, pm: float) -> int:
        pair = Molecule(np.array([a, b], np.uint8), np.array([[0, 0, 0], [0, 0, pm / 100]], np.float32))
        return int(bond_orders(pair)[0, 1])

    assert [order(6, 6, d) for d in (100, 122.9, 123.1, 138.9, 139.1, 163.9, 164.1)] == [3, 3, 2, 2, 1, 1, 0]
    assert [order(6, 7, d) for d in (118.9, 119.1, 134.1, 157.1)] == [3, 2, 1, 0]
    assert [order(1, 1, d) for d in (10, 83.9, 84.1)] == [1, 1, 0]  # no double bond, however close
    assert order(2, 6, 100) == 0  # helium is not in the table


def test_tables_shrink_with_the_bond_order_and_have_valences() -> None:
    for longer, shorter in ((SINGLE, DOUBLE), (DOUBLE, TRIPLE)):
        assert set(shorter) <= set(longer) | {"P-S", "S-P"}
        assert all(shorter[pair] < longer.get(pair, math.inf) for pair in shorter)
    assert {symbol for pair in SINGLE for symbol in pair.split("-")} <= set(VALENCES)


def test_carbon_dioxide_depends_on_picometres() -> None:
    def linear(pm: float) -> Molecule:
        return Molecule(np.array([8, 6, 8], np.uint8), np.array([[-pm, 0, 0], [0, 0, 0], [pm, 0, 0]], np.float32) / 100)

    assert [int(stable_atoms(linear(pm)).sum()) for pm in (114.0, 116.2, 126.0)] == [0, 3, 0]  # order 3, 2, 1
    assert [table_smiles(linear(pm)) for pm in (114.0, 116.2, 126.0)] == [None, "O=C=O", "OCO"]
    assert PerceivedSample.of(linear(116.2)).smiles == "O=C=O"


def test_far_atoms_count_as_missing_hydrogens() -> None:
    methane = molecule("C")
    torn = Molecule(methane.numbers, methane.positions * 9)
    assert table_smiles(torn) is not None
    assert not stable_atoms(torn).any()
    assert table_metrics([Findings.of(torn)])["edm_valid"].value == 1


def test_no_charge_makes_an_atom_stable_and_no_aromatic_bond_counts_as_single() -> None:
    """Tables of valence by charge fall back to charge 0 for unknown charges, and 1.5 cut to 1 makes C:[3, 4] right."""
    assert VALENCES["C"] == (4,)
    assert VALENCES["N"] == (3,)
    assert not stable_atoms(molecule(["[NH4+]", "[F-]"][0])).all()
    kinds = set(bond_lengths(perceive(molecule("c1ccccc1"))))
    assert kinds == {"C:C", "C-H"}
