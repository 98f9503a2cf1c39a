"""The judges, on molecules that are known to break such judges."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import worker_jobs
from rdkit import Chem

from polydiff.domains.molecule import judge as judging
from polydiff.domains.molecule.geometry import Molecule, atomic_numbers, embedded, positions
from polydiff.domains.molecule.judge import Findings, Judged, busts, each, examine, looked_at, passes, strain
from polydiff.domains.molecule.metrics import (
    Reference,
    graph_metrics,
    judge,
    pose_metrics,
    property_metrics,
    space_metrics,
    table_metrics,
)
from polydiff.domains.molecule.perceive import formula, look, perceive
from polydiff.domains.molecule.properties import measure
from polydiff.domains.molecule.shapes import bond_angles, bond_lengths, distance, together
from polydiff.domains.molecule.stability import (
    DOUBLE,
    SINGLE,
    TRIPLE,
    VALENCES,
    bond_orders,
    stable_atoms,
    table_smiles,
)
from polydiff.domains.molecule.workers import TimedOut


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


def test_the_tables_shrink_with_the_order_and_know_their_elements() -> None:
    for longer, shorter in ((SINGLE, DOUBLE), (DOUBLE, TRIPLE)):
        assert set(shorter) <= set(longer) | {"P-S", "S-P"}
        assert all(shorter[pair] < longer.get(pair, math.inf) for pair in shorter)
    assert {symbol for pair in SINGLE for symbol in pair.split("-")} <= set(VALENCES)


@pytest.mark.parametrize(
    "smiles",
    [
        *(
            "C",
            "O",
            "c1ccccc1",
            "O=C=O",
            "C[N+](=O)[O-]",
            "CC#N",
            "CC(=O)O",
            "c1cc[nH]c1",
            "FC(F)F",
            "C1CC1",
            "c1ccncc1",
        ),
        *("Cc1ccccc1", "c1ccc2ccccc2c1", "CC(=O)Oc1ccccc1C(=O)O", "[NH3+]CC(=O)[O-]", "c1ccoc1", "C[N+]#[C-]"),
    ],
)
def test_rdkit_sees_the_molecule_again(smiles: str) -> None:
    assert Judged.of(molecule(smiles)).smiles == Chem.CanonSmiles(smiles)


def test_rdkit_sees_no_molecule_in_pieces_radicals_and_clouds() -> None:
    water, methane = molecule("O"), molecule("C")
    apart = Molecule(
        np.concatenate([water.numbers, methane.numbers]), np.concatenate([water.positions, methane.positions + 20])
    )
    assert perceive(apart) is None
    assert look(apart).mol is not None
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


def test_two_wrong_valences_are_no_neutral_molecule() -> None:
    propane, nitromethane = molecule("CCC"), molecule("C[N+](=O)[O-]")
    ends = [4, 8]  # a hydrogen of each outer carbon: one is left with too few, and so is the other
    torn = Molecule(np.delete(propane.numbers, ends), np.delete(propane.positions, ends, 0))
    judged = [Judged.of(one) for one in (propane, torn, nitromethane, molecule("[NH3+]CC(=O)[O-]"))]
    assert [one.mol is not None for one in judged] == [True] * 4
    assert [one.neutral for one in judged] == [True, False, False, False]


def test_uniqueness_counts_failures_and_novelty_does_not() -> None:
    cloud = Molecule(np.full(5, 6, np.uint8), np.zeros((5, 3), np.float32))
    judged = [Judged.of(one) for one in [*map(molecule, ("C", "C", "CC", "CCO")), cloud]]
    found = graph_metrics(judged, Reference({"C"}, {"CC", "CN"}, {"C", "CC", "CN"}))
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
    assert "precision" not in graph_metrics(judged, Reference({"C"}, {"CC"}))


def test_no_valid_sample_gives_numbers_without_meaning_and_no_error() -> None:
    found = [Findings.of(Molecule(np.full(5, 6, np.uint8), np.zeros((5, 3), np.float32)))]
    known = [Findings.of(molecule("CC"))]
    lengths, angles = together(one.lengths for one in known), together(one.angles for one in known)
    told = judge(found, Reference({"C"}, {"CC"}, {"C"}, lengths, angles), {"logp": [1.0]})
    assert {name for name, metric in told.items() if math.isnan(metric.value)} == {
        *("novel", "precision", "strain_mmff", "bond_lengths", "bond_angles", "error_logp")
    }
    none = ("valid_connected_rdkit", "valid_rdkit", "unique", "edm_molecule_stable", "strain_known")
    assert {told[name].value for name in none} == {0}
    assert judge([], Reference(set(), set()), {})  # of nothing


def test_numbers_that_are_not_finite_are_failures_of_every_judge() -> None:
    methane = molecule("C")
    broken = Molecule(methane.numbers, methane.positions * np.float32("inf"))
    told = judge([Findings.of(methane), Findings.of(broken)], Reference({"C"}, {"C"}, {"C"}), {})
    halves = ("valid_connected_rdkit", "valid_rdkit", "connected", "unique", "edm_atom_stable", "edm_molecule_stable")
    assert {told[name].value for name in (*halves, "strain_known")} == {0.5}


def test_validity_and_connectivity_are_told_apart() -> None:
    water, methane, hydrogens = molecule("O"), molecule("C"), [molecule("C")]
    hydrogens[0] = Molecule(methane.numbers[:-1], methane.positions[:-1])  # a radical, in one piece
    apart = Molecule(
        np.concatenate([water.numbers, methane.numbers]), np.concatenate([water.positions, methane.positions + 20])
    )
    judged = [Judged.of(one) for one in (water, apart, hydrogens[0])]
    assert [(one.valid, one.connected, one.smiles) for one in judged] == [
        (True, True, "O"),
        (True, False, None),
        (False, True, None),
    ]
    found = graph_metrics(judged, Reference(set(), set()))
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
        ("c1ccccc1", "C1CCCCC1"),  # what its carbons lack is taken for hydrogens
        ("[NH3+]CC(=O)[O-]", None),  # four bonds of nitrogen, and no charges
    ],
)
def test_validity_by_the_table(smiles: str, seen: str | None) -> None:
    found = table_smiles(molecule(smiles))
    assert (found and Chem.MolToSmiles(Chem.RemoveHs(Chem.MolFromSmiles(found)))) == (seen and Chem.CanonSmiles(seen))


def test_the_table_on_carbon_dioxide_is_a_matter_of_picometres() -> None:
    def linear(pm: float) -> Molecule:
        return Molecule(np.array([8, 6, 8], np.uint8), np.array([[-pm, 0, 0], [0, 0, 0], [pm, 0, 0]], np.float32) / 100)

    assert [int(stable_atoms(linear(pm)).sum()) for pm in (114.0, 116.2, 126.0)] == [0, 3, 0]  # order 3, 2, 1
    assert [table_smiles(linear(pm)) for pm in (114.0, 116.2, 126.0)] == [None, "O=C=O", "OCO"]
    assert Judged.of(linear(116.2)).smiles == "O=C=O"


def test_the_table_takes_what_is_far_apart_for_hydrogens_that_are_missing() -> None:
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


def test_lengths_and_angles_are_those_of_textbooks() -> None:
    methane = perceive(molecule("C"))
    assert bond_lengths(methane)["C-H"] == pytest.approx([1.09] * 4, abs=0.01)
    assert bond_angles(methane)["H-C(SP3)-H"] == pytest.approx([109.47] * 6, abs=0.1)
    carbon_dioxide = perceive(molecule("O=C=O"))
    assert bond_angles(carbon_dioxide)["O-C(SP)-O"] == pytest.approx([180], abs=0.1)
    assert set(bond_lengths(perceive(molecule("C[N+](=O)[O-]")))) == {"C-H", "C-N", "N-O", "N=O"}


def test_distance_of_distributions_is_what_moves_one_onto_the_other() -> None:
    ones = [{"C-C": [1.5, 1.6], "C-H": [1.1] * 2} for _ in range(20)]
    same, moved = together(ones), together({"C-C": [1.6, 1.7], "C-H": [1.1] * 2} for _ in range(20))
    assert distance(ones, same).value == pytest.approx(0, abs=1e-12)
    far = distance(ones, moved)
    assert far.value == pytest.approx(0.05)  # half of all values move by 0.1
    assert far.error == pytest.approx(0, abs=1e-9)
    assert distance(ones, {"C-C": moved["C-C"]}).value == pytest.approx(0.1)  # what the reference lacks is left out
    assert math.isnan(distance(ones, {}).value)


def test_noise_is_seen_in_lengths_and_angles() -> None:
    names = ("CCO", "CCC", "CC(=O)O", "CCN", "COC")
    known = [Findings.of(molecule(s)) for s in names * 4]
    lengths, angles = together(one.lengths for one in known), together(one.angles for one in known)
    reference = Reference(set(), set(), lengths=lengths, angles=angles)
    told = []
    for size in (0.0, 0.02, 0.05):
        found = [Findings.of(shaken(molecule(s), size, i)) for i, s in enumerate(names * 4)]
        metrics = space_metrics(found, reference)
        told.append((metrics["bond_lengths"].value, metrics["bond_angles"].value))
    assert told[0] == pytest.approx((0, 0), abs=1e-4)
    assert told[0] < told[1] < told[2]
    assert 0.01 < told[1][0] < 0.03


def test_what_judges_give_up_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    examples = [molecule("C"), molecule("CC"), molecule("CCO")]
    found = examine(examples)
    assert [one.judged.smiles for one in found] == ["C", "CC", "CCO"]
    assert found[0].lengths == Findings.of(examples[0]).lengths

    def hang(work: Callable[[Molecule], object], items: list[Molecule], what: str, **_: object) -> list[object]:
        return [work(items[0]), TimedOut("it takes longer than 10 s"), work(items[2])]

    monkeypatch.setattr(judging, "in_processes", hang)
    with pytest.warns(UserWarning, match=r"samples judged: 1 of 3 were given up \(1: it takes longer than 10 s\)"):
        given_up = examine(examples)
    with pytest.warns(UserWarning, match="samples looked at: 1 of 3"):
        assert [one.smiles for one in looked_at(examples)] == ["C", None, "CCO"]
    monkeypatch.undo()
    told = judge(given_up, Reference(set(), set()), {"logp": [0.5] * 3})
    assert told["valid_connected_rdkit"].value == told["strain_known"].value == pytest.approx(2 / 3)
    assert told["edm_molecule_stable"].value == 1  # the table is not RDKit's


def test_what_fails_in_a_judge_costs_itself_and_the_reason_is_told() -> None:
    with pytest.warns(UserWarning, match=r"jobs: 2 of 4 were given up \(2: ValueError: a bad item\)"):
        assert list(each(worker_jobs.job, [2, "error", "error", 3], "jobs")) == [4, None, None, 9]


def test_posebusters_counts_what_is_invalid_and_what_cannot_be_tested() -> None:
    if not busts():
        pytest.skip("posebusters is not installed")
    good, bent = molecule("c1ccccc1O"), molecule("c1ccccc1O")
    puckered = Molecule(bent.numbers, bent.positions + np.float32(0.6) * (np.arange(13)[:, None] % 2) * [[0, 0, 1]])
    judged = [Judged.of(good), Judged.of(Molecule(good.numbers, good.positions * 0)), Judged.of(puckered)]
    assert passes([judged[0].mol]) == [True]
    assert pose_metrics(judged)["posebusters"].value == pytest.approx(1 / 3)
    with pytest.warns(UserWarning, match="PoseBusters: 1 of 2 were given up .*TypeError"):
        assert passes([None, judged[0].mol]) == [False, True]  # PoseBusters itself fails in what it cannot read


def test_strain_is_zero_at_a_minimum_and_grows_with_noise() -> None:
    ethanol = molecule("CCO")
    energies = [strain(Judged.of(shaken(ethanol, size)).mol) for size in (0.0, 0.02, 0.05)]
    assert energies[0] == pytest.approx(0, abs=1e-3)
    assert 0 < energies[1] < energies[2]  # type: ignore[operator]


def test_noise_breaks_the_table_long_before_the_graph() -> None:
    examples = [shaken(molecule(s), 0.05, i) for s in ("CCO", "CCC", "CC(=O)O", "CCN", "COC") for i in range(8)]
    found = [Findings.of(one) for one in examples]
    assert sum(one.judged.mol is not None for one in found) >= 36
    assert table_metrics(found)["edm_molecule_stable"].value < 0.5


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
    found = [Findings.of(molecule(s)) for s in ("C", "CC", "CCC")]
    found.append(Findings.of(Molecule(np.full(5, 6, np.uint8), np.zeros((5, 3), np.float32))))
    told = property_metrics(found, {"heavy_atoms": [1.0, 4.0, math.nan, 9.0]})["error_heavy_atoms"]
    assert told.value == pytest.approx(1.0)  # |1 - 1| and |4 - 2|
    assert told.error == pytest.approx(1.0)  # standard deviation sqrt(2), over sqrt(2)
    assert "1.5" in told.meaning  # chance: |1 - 1|, |1 - 2|, |4 - 1|, |4 - 2|


def test_formulas() -> None:
    assert [formula(molecule(s)) for s in ("O", "C", "CC(=O)O", "FC(F)F")] == ["H2O", "CH4", "C2H4O2", "CHF3"]
