"""The metrics of MOSES: against values that its package molsets computed on the same lists, and their laws."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from polydiff.domains.molecule.moses.features import Features, features
from polydiff.domains.molecule.moses.metrics import Compared, cosine, distances, likeness, set_metrics
from polydiff.domains.molecule.moses.reference import MoleculeSet
from polydiff.domains.sequence.metrics.molecules import Universe, canonical, smiles_metrics

RECORDED = json.loads(Path(__file__).with_name("molsets.json").read_text(encoding="utf-8"))
"""Lists of SMILES, and what molsets computed on them ("how")."""
NAMES = {
    "valid": "valid", "unique@1000": "unique_1000", "Novelty": "novel", "IntDiv": "internal_diversity",
    "IntDiv2": "internal_diversity_2", "Filters": "filters", "SNN/Test": "snn_test", "Frag/Test": "fragments_test",
    "Scaf/Test": "scaffolds_test", "SNN/TestSF": "snn_scaffolds", "Frag/TestSF": "fragments_scaffolds",
    "Scaf/TestSF": "scaffolds_scaffolds", "logP": "logp_distance", "SA": "sa_distance", "QED": "qed_distance",
    "weight": "weight_distance",
}  # fmt: skip
"""Name in molsets -> ours."""
MADE = ["CCO", "c1ccc2ccccc2c1", "CCOc1ccccc1", "CCO"]


@pytest.fixture(scope="module")
def ours() -> dict[str, float]:
    gen, train, test, further = (RECORDED[name].split() for name in ("gen", "train", "test", "test_scaffolds"))
    seen = canonical(gen)
    valid = [one for one in seen if one]
    made = features(valid)
    known = MoleculeSet.of(features(test))
    found = (
        smiles_metrics(seen, Universe.of(train, test, False))
        | set_metrics(valid, made)
        | likeness(made, known, "test")
        | likeness(made, MoleculeSet.of(features(further)), "scaffolds")
        | distances(made, known)
    )
    return {name: metric.value for name, metric in found.items()}


@pytest.mark.parametrize("name", NAMES)
def test_metrics_are_those_of_molsets(ours: dict[str, float], name: str) -> None:
    assert ours[NAMES[name]] == pytest.approx(RECORDED["values"][name], abs=1e-6)


def test_every_recorded_value_is_compared() -> None:
    assert RECORDED["values"].keys() - NAMES.keys() == {"unique@100", "FCD/Test", "FCD/TestSF"}


def test_held_out_molecules_are_compared_with_the_others(tmp_path: Path) -> None:
    test = ["CCO", "CCOc1ccccc1", "CCN", "c1ccc2ccccc2c1", "c1ccc2ccccc2c1C"]
    sets = Compared(["CC"], test, None, 100)
    real, rest = sets.metrics(test[:2], True), Compared(["CC"], test[2:], None, 100).metrics(test[:2], False)
    for name in ("snn_test", "fragments_test", "scaffolds_test", "logp_distance", "weight_distance"):
        assert real[name].value == pytest.approx(rest[name].value, nan_ok=True), name
    assert sets.metrics(test[:2], False)["snn_test"].value == pytest.approx(1)


def test_without_other_held_out_molecules_nothing_is_said() -> None:
    found = Compared(["CC"], MADE, None, 100).metrics(MADE, True)
    assert all(math.isnan(found[name].value) for name in ("snn_test", "fragments_test", "qed_distance"))
    assert found["snn_train"].value < 1


def test_without_valid_samples_nothing_is_said() -> None:
    found = Compared(["CC"], MADE, None, 100).metrics([], False)
    assert all(math.isnan(metric.value) for metric in found.values())


def test_the_further_test_set_is_compared_with(tmp_path: Path) -> None:
    for name, smiles in {"train": "CC", "test_scaffolds": "c1ccc2ccccc2c1"}.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.csv").write_text(f"SMILES\n{smiles}\n")
    found = Compared(["CC"], ["CCO"], tmp_path, 100).metrics(["c1ccc2ccccc2c1"], False)
    assert found["snn_scaffolds"].value == found["scaffolds_scaffolds"].value == pytest.approx(1)
    assert "snn_scaffolds" not in Compared(["CC"], ["CCO"], None, 100).metrics(["C"], False)


def test_no_more_molecules_than_allowed_are_compared_with() -> None:
    test = ["C" * n for n in range(1, 21)]
    sets = Compared(["CC"], test, None, 4).sets
    assert list(sets["test"].smiles) == ["C", "C" * 6, "C" * 11, "C" * 16]


def test_distinct_molecules_are_counted_among_the_first() -> None:
    many = ["C"] * 500 + ["C" * n for n in range(1, 501)] + ["CO"] * 10
    found = set_metrics(many, [Features.of("CC")])
    assert found["unique_1000"].value == pytest.approx(0.5)
    assert found["unique_10000"].value == pytest.approx(501 / 1010)
    assert "unique_10000" not in set_metrics(many[:1000], [Features.of("CC")])


def test_fragments_are_those_of_brics_and_chains_have_no_scaffold() -> None:
    ether = Features.of("CCOc1ccccc1", measured=False)
    assert (len(ether.fragments), ether.scaffold, ether.rings, ether.properties) == (3, "c1ccccc1", 1, ())
    assert Features.of("CCO").scaffold == ""


def test_the_cosine_of_counts() -> None:
    assert cosine({"a": 3, "b": 4}, {"a": 4, "b": 3}).value == pytest.approx(24 / 25)
    assert math.isnan(cosine({}, {"a": 1}).value)
