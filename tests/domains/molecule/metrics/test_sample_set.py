"""Metrics of samples, on molecules that are known to mislead such metrics."""

from __future__ import annotations

import math

import numpy as np
import pytest
from molecule_cases import molecule, shaken
from rdkit import Chem

from polydiff.domains.molecule.chemistry.geometry import Molecule
from polydiff.domains.molecule.chemistry.identity import molecule_key
from polydiff.domains.molecule.metrics.examine import (
    Findings,
    PerceivedSample,
)
from polydiff.domains.molecule.metrics.sample_set import (
    Reference,
    all_metrics,
    graph_metrics,
    property_metrics,
    space_metrics,
    table_metrics,
)
from polydiff.domains.molecule.metrics.shapes import merge_values
from polydiff.domains.molecule.metrics.stability import (
    table_smiles,
)


def test_uniqueness_counts_failures_and_novelty_does_not() -> None:
    collapsed = Molecule(np.full(5, 6, np.uint8), np.zeros((5, 3), np.float32))
    samples = [PerceivedSample.of(one) for one in [*map(molecule, ("C", "C", "CC", "CCO")), collapsed]]
    found = graph_metrics(samples, Reference({"C"}, {"CC", "CN"}, {"C", "CC", "CN"}))
    assert {name: metric.value for name, metric in found.items()} == {
        "valid_connected_rdkit": pytest.approx(4 / 5),
        "neutral_rdkit": pytest.approx(4 / 5),
        "valid_rdkit": pytest.approx(4 / 5),
        "connected": pytest.approx(4 / 5),
        "unique": pytest.approx(3 / 5),
        "novel": pytest.approx(2 / 3),
        "precision": pytest.approx(2 / 3),
        "recall_held_out": pytest.approx(1 / 2),
    }
    assert "precision" not in graph_metrics(samples, Reference({"C"}, {"CC"}))


def test_without_valid_samples_metrics_are_nan_or_0() -> None:
    found = [Findings.of(Molecule(np.full(5, 6, np.uint8), np.zeros((5, 3), np.float32)))]
    known = [Findings.of(molecule("CC"))]
    lengths, angles = merge_values(one.lengths for one in known), merge_values(one.angles for one in known)
    metrics = all_metrics(found, Reference({"C"}, {"CC"}, {"C"}, lengths, angles), {"logp": [1.0]})
    assert {name for name, metric in metrics.items() if math.isnan(metric.value)} == {
        *("novel", "precision", "strain_mmff", "bond_lengths", "bond_angles", "error_logp")
    }
    none = ("valid_connected_rdkit", "valid_rdkit", "unique", "edm_molecule_stable", "strain_known")
    assert {metrics[name].value for name in none} == {0}
    assert all_metrics([], Reference(set(), set()), {})  # of nothing


def test_positions_that_are_not_finite_are_failures_of_every_metric() -> None:
    methane = molecule("C")
    broken = Molecule(methane.numbers, methane.positions * np.float32("inf"))
    metrics = all_metrics([Findings.of(methane), Findings.of(broken)], Reference({"C"}, {"C"}, {"C"}), {})
    halves = ("valid_connected_rdkit", "valid_rdkit", "connected", "unique", "edm_atom_stable", "edm_molecule_stable")
    assert {metrics[name].value for name in (*halves, "strain_known")} == {0.5}


def test_validity_and_connectivity_are_distinguished() -> None:
    water, methane, hydrogens = molecule("O"), molecule("C"), [molecule("C")]
    hydrogens[0] = Molecule(methane.numbers[:-1], methane.positions[:-1])  # a radical, in one piece
    apart = Molecule(
        np.concatenate([water.numbers, methane.numbers]), np.concatenate([water.positions, methane.positions + 20])
    )
    samples = [PerceivedSample.of(one) for one in (water, apart, hydrogens[0])]
    assert [(one.valid, one.connected, one.smiles) for one in samples] == [
        (True, True, "O"),
        (True, False, None),
        (False, True, None),
    ]
    found = graph_metrics(samples, Reference(set(), set()))
    assert [found[name].value for name in ("valid_connected_rdkit", "valid_rdkit", "connected")] == pytest.approx(
        [1 / 3, 2 / 3, 2 / 3]
    )
    assert found["valid_rdkit"].error == pytest.approx(math.sqrt(2 / 27 + 1 / 36) / (4 / 3))  # Wilson's


@pytest.mark.parametrize(
    ("smiles", "seen"),
    [
        ("C", "C"),
        ("CCO", "CCO"),
        ("c1ccoc1", "C1=COC=C1"),
        ("c1ccccc1", "C1CCCCC1"),  # missing bonds count as hydrogens
        ("[NH3+]CC(=O)[O-]", None),  # four bonds of nitrogen, and no charges
    ],
)
def test_validity_by_the_table(smiles: str, seen: str | None) -> None:
    found = table_smiles(molecule(smiles))
    assert (found and Chem.MolToSmiles(Chem.RemoveHs(Chem.MolFromSmiles(found)))) == (seen and Chem.CanonSmiles(seen))


def test_noise_is_seen_in_lengths_and_angles() -> None:
    names = ("CCO", "CCC", "CC(=O)O", "CCN", "COC")
    known = [Findings.of(molecule(s)) for s in names * 4]
    lengths, angles = merge_values(one.lengths for one in known), merge_values(one.angles for one in known)
    reference = Reference(set(), set(), lengths=lengths, angles=angles)
    distances = []
    for size in (0.0, 0.02, 0.05):
        found = [Findings.of(shaken(molecule(s), size, i)) for i, s in enumerate(names * 4)]
        metrics = space_metrics(found, reference)
        distances.append((metrics["bond_lengths"].value, metrics["bond_angles"].value))
    assert distances[0] == pytest.approx((0, 0), abs=1e-4)
    assert distances[0] < distances[1] < distances[2]
    assert 0.01 < distances[1][0] < 0.03


def test_noise_breaks_the_table_long_before_the_graph() -> None:
    examples = [shaken(molecule(s), 0.05, i) for s in ("CCO", "CCC", "CC(=O)O", "CCN", "COC") for i in range(8)]
    found = [Findings.of(one) for one in examples]
    assert sum(one.perceived.mol is not None for one in found) >= 36
    assert table_metrics(found)["edm_molecule_stable"].value < 0.5


def test_property_errors_ignore_unconditioned_and_invalid_samples() -> None:
    found = [Findings.of(molecule(s)) for s in ("C", "CC", "CCC")]
    found.append(Findings.of(Molecule(np.full(5, 6, np.uint8), np.zeros((5, 3), np.float32))))
    metric = property_metrics(found, {"heavy_atoms": [1.0, 4.0, math.nan, 9.0]})["error_heavy_atoms"]
    assert metric.value == pytest.approx(1.0)  # |1 - 1| and |4 - 2|
    assert metric.error == pytest.approx(1.0)  # standard deviation sqrt(2), over sqrt(2)
    assert "1.5" in metric.meaning  # chance: |1 - 1|, |1 - 2|, |4 - 1|, |4 - 2|


def test_a_training_molecule_is_not_novel_in_any_notation() -> None:
    samples = [PerceivedSample.of(molecule(smiles)) for smiles in ("CS(C)=O", "[H]/N=C/C", "CO", "CCF")]
    train = {molecule_key(Chem.MolFromSmiles(smiles)) for smiles in ("C[S+](C)[O-]", "CC=N")}
    assert graph_metrics(samples, Reference(train, set()))["novel"].value == 0.5
    assert graph_metrics(samples, Reference(train, set(), perceived={"CO"}))["novel"].value == 0.25
    twice = [PerceivedSample.of(molecule(smiles)) for smiles in ("[H]/N=C/C", "[H]/N=C\\C")]
    assert graph_metrics(twice, Reference(set(), set()))["unique"].value == 0.5
