"""Metrics of molecules by their own bonds, on molecules whose faults are known."""

from __future__ import annotations

import numpy as np
import pytest
from rdkit import Chem

from polydiff.domains.molecule.chemistry.bonds import bond_table, molecule_of
from polydiff.domains.molecule.chemistry.geometry import Molecule, embed
from polydiff.domains.molecule.metrics.examine import PerceivedSample
from polydiff.domains.molecule.metrics.own_bonds import BondReference, OwnBonds, bond_metrics, valences_of
from polydiff.domains.molecule.output.sdf import record


def placed(smiles: str) -> Molecule:
    return molecule_of(embed(smiles, 1))


def without(molecule: Molecule, i: int, j: int) -> Molecule:
    assert molecule.bonds is not None
    bonds = molecule.bonds.copy()
    bonds[i, j] = bonds[j, i] = 0
    return molecule._replace(bonds=bonds)


def test_a_true_molecule_passes_all() -> None:
    own = OwnBonds.of(placed("CC=O"))
    assert (own.key, own.pieces, own.neutral, own.agrees) == ("CC=O", 1, True, True)
    assert own.strain == pytest.approx(0, abs=0.01)
    assert own.valences == {(6, 0, (1, 1, 1, 1)), (6, 0, (1, 1, 2)), (8, 0, (2,)), (1, 0, (1,))}
    assert len(own.lengths["C=O"]) == 1


def test_bonds_of_another_molecule_do_not_agree_with_the_positions() -> None:
    ethanol, ether = placed("CCO"), placed("COC")
    order = np.argsort(ethanol.numbers, kind="stable")
    other = np.argsort(ether.numbers, kind="stable")
    positions = np.empty_like(ethanol.positions)
    positions[order] = ether.positions[other]
    own = OwnBonds.of(ethanol._replace(positions=positions))
    assert own.key == "CCO"
    assert not own.agrees


def test_a_missing_bond_is_a_radical_and_no_molecule() -> None:
    own = OwnBonds.of(without(placed("CC"), 0, 1))
    assert own.mol is None
    assert (6, 0, (1, 1, 1)) in own.valences


def test_metrics_count_failures_and_repetitions() -> None:
    ethanol = placed("CCO")
    reference = BondReference({"CC"}, {"CCO"}, frozenset({"CC", "CCO"}), valences_of(ethanol), {})
    found = [OwnBonds.of(one) for one in (ethanol, ethanol, without(ethanol, 0, 1), placed("CF"))]
    values = {name: metric.value for name, metric in bond_metrics(found, reference, placed=True).items()}
    assert values["own_valid"] == 0.75
    assert values["own_valences"] == 0.5  # fluorine does not occur in the reference, nor does carbon with three bonds
    assert values["own_unique"] == 0.5
    assert values["own_precision"] == 0.5
    assert values["own_recall_held_out"] == 1
    assert values["own_agreement"] == 1


def test_a_record_has_the_bonds_that_a_sample_has() -> None:
    ethanol = placed("CCO")
    block = record(PerceivedSample.of_own_bonds(ethanol))
    read = Chem.MolFromMolBlock(block, removeHs=False)
    assert np.array_equal(bond_table(read), bond_table(embed("CCO", 1)))
    wrong = without(ethanol, 0, 1)
    kept = Chem.MolFromMolBlock(record(PerceivedSample.of_own_bonds(wrong)), removeHs=False, sanitize=False)
    assert kept.GetNumBonds() == 7


def test_a_graph_alone_is_judged_without_hydrogens() -> None:
    own = OwnBonds.of(molecule_of(Chem.MolFromSmiles("c1ccncc1"), implicit=True))
    assert own.key == "c1ccncc1"
    assert own.neutral
    assert own.valences == {(6, 0, (1, 2)), (7, 0, (1, 2))}
