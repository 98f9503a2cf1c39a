"""The judges, on molecules that are known to break such judges."""

from __future__ import annotations

import math

import numpy as np
import pytest
from rdkit import Chem

from polydiff.domains.molecule.geometry import Molecule, atomic_numbers, embedded, positions
from polydiff.domains.molecule.metrics import Judged, Reference, graph_metrics, property_metrics, space_metrics, strain
from polydiff.domains.molecule.perceive import formula, perceive
from polydiff.domains.molecule.properties import measure
from polydiff.domains.molecule.stability import DOUBLE, SINGLE, TRIPLE, VALENCES, bond_orders, stable_atoms


def molecule(smiles: str) -> Molecule:
    mol = embedded(smiles, 1)
    return Molecule(atomic_numbers(mol), positions(mol)[0])


def shaken(one: Molecule, size: float, seed: int = 0) -> Molecule:
    noise = np.random.default_rng(seed).normal(size=one.positions.shape)
    return Molecule(one.numbers, (one.positions + size * noise).astype(np.float32))


@pytest.mark.parametrize(
    ("smiles", "stable", "atoms"),
    [
        ("c1ccccc1", 6, 12),  # benzene: each C-C bond is neither single nor double
        ("Cc1ccccc1", 9, 15),
        ("c1ccncc1", 9, 11),
        ("O=C=O", 0, 3),  # C=O of 1.16 Å, read as a triple bond
        ("C[N+](=O)[O-]", 6, 7),  # nitromethane: no charges in the table
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


def test_the_tables_shrink_with_the_order_and_know_their_elements() -> None:
    for longer, shorter in ((SINGLE, DOUBLE), (DOUBLE, TRIPLE)):
        assert set(shorter) <= set(longer) | {"P-S", "S-P"}
        assert all(shorter[pair] < longer.get(pair, math.inf) for pair in shorter)
    assert {symbol for pair in SINGLE for symbol in pair.split("-")} <= set(VALENCES)


@pytest.mark.parametrize(
    "smiles", ["C", "O", "c1ccccc1", "O=C=O", "C[N+](=O)[O-]", "CC#N", "CC(=O)O", "c1cc[nH]c1", "FC(F)F", "C1CC1"]
)
def test_rdkit_sees_the_molecule_again(smiles: str) -> None:
    assert Judged.of(molecule(smiles)).smiles == Chem.CanonSmiles(smiles)


def test_rdkit_sees_no_molecule_in_pieces_radicals_and_clouds() -> None:
    water, methane = molecule("O"), molecule("C")
    apart = Molecule(
        np.concatenate([water.numbers, methane.numbers]), np.concatenate([water.positions, methane.positions + 20])
    )
    assert perceive(apart) is None
    assert perceive(Molecule(methane.numbers[:-1], methane.positions[:-1])) is None
    assert perceive(Molecule(water.numbers, water.positions * np.nan)) is None
    assert perceive(Molecule(water.numbers, water.positions * 0)) is None


@pytest.mark.timeout(60)
@pytest.mark.parametrize("size", [0.3, 1.0, 2.0])
def test_no_cloud_of_atoms_keeps_the_judges_busy(size: float) -> None:
    g = np.random.default_rng(0)
    for n in (1, 2, 20, 100):
        cloud = Molecule(g.choice([1, 6, 7, 8, 9], n).astype(np.uint8), size * g.normal(size=(n, 3)).astype(np.float32))
        one = Judged.of(cloud)
        assert (one.mol is None) == (one.smiles is None)
        assert len(stable_atoms(cloud)) == n


def test_uniqueness_counts_failures_and_novelty_does_not() -> None:
    cloud = Molecule(np.full(5, 6, np.uint8), np.zeros((5, 3), np.float32))
    examples = [molecule(s) for s in ("C", "C", "CC", "CCO")] + [cloud]
    judged = [Judged.of(one) for one in examples]
    found = graph_metrics(judged, Reference({"C"}, {"CC", "CN"}, {"C", "CC", "CN"}))
    assert {name: metric.value for name, metric in found.items()} == {
        "valid_connected_rdkit": pytest.approx(4 / 5),
        "unique": pytest.approx(3 / 5),
        "novel": pytest.approx(2 / 3),
        "precision": pytest.approx(2 / 3),
        "recall_held_out": pytest.approx(1 / 2),
    }
    assert "precision" not in graph_metrics(judged, Reference({"C"}, {"CC"}))


def test_no_valid_sample_gives_numbers_without_meaning_and_no_error() -> None:
    judged = [Judged.of(Molecule(np.full(5, 6, np.uint8), np.zeros((5, 3), np.float32)))]
    assert graph_metrics(judged, Reference({"C"}, {"CC"}))["valid_connected_rdkit"].value == 0
    assert math.isnan(graph_metrics(judged, Reference({"C"}, {"CC"}))["novel"].value)
    assert math.isnan(space_metrics(judged)["strain"].value)
    assert math.isnan(property_metrics(judged, {"logp": [1.0]})["error_logp"].value)


def test_strain_is_zero_at_a_minimum_and_grows_with_noise() -> None:
    ethanol = molecule("CCO")
    energies = [strain(Judged.of(shaken(ethanol, size)).mol) for size in (0.0, 0.02, 0.05)]
    assert energies[0] == pytest.approx(0, abs=1e-3)
    assert 0 < energies[1] < energies[2]  # type: ignore[operator]


def test_noise_breaks_the_table_long_before_the_graph() -> None:
    examples = [shaken(molecule(s), 0.05, i) for s in ("CCO", "CCC", "CC(=O)O", "CCN", "COC") for i in range(8)]
    judged = [Judged.of(one) for one in examples]
    assert sum(one.mol is not None for one in judged) >= 36
    assert space_metrics(judged)["edm_molecule_stable"].value < 0.5


def test_properties_are_measured_in_their_units() -> None:
    mol = embedded("CC(=O)O", 1)
    names = ["weight", "heavy_atoms", "rings", "donors", "tpsa", "logp"]
    assert measure(mol, names) == pytest.approx([60.05, 4, 0, 1, 37.3, 0.09], abs=0.01)
    atoms = np.array([[-1.0, 0, 0], [1, 0, 0]])
    pair = Chem.AddHs(Chem.MolFromSmiles("[H][H]"))
    pair.AddConformer(Chem.Conformer(2))
    pair.GetConformer().SetPositions(atoms)
    assert measure(pair, ["gyration"]) == pytest.approx([1.0])


def test_error_of_properties_leaves_out_what_was_not_asked_and_what_is_invalid() -> None:
    judged = [Judged.of(molecule(s)) for s in ("C", "CC", "CCC")]
    judged.append(Judged.of(Molecule(np.full(5, 6, np.uint8), np.zeros((5, 3), np.float32))))
    found = property_metrics(judged, {"heavy_atoms": [1.0, 4.0, math.nan, 9.0]})["error_heavy_atoms"]
    assert found.value == pytest.approx(1.0)  # |1 - 1| and |4 - 2|
    assert "1.5" in found.meaning  # chance: |1 - 1|, |1 - 2|, |4 - 1|, |4 - 2|


def test_formulas() -> None:
    assert [formula(molecule(s)) for s in ("O", "C", "CC(=O)O", "FC(F)F")] == ["H2O", "CH4", "C2H4O2", "CHF3"]
