"""RDKit as the judge of SMILES."""

from __future__ import annotations

import builtins
from typing import Any

import pytest

from polydiff.domains.sequence.metrics.molecules import Universe, canonical, mols, smiles_metrics
from polydiff.support.errors import UserError

KNOWN = Universe.of(["CCO", "C", "CC"], ["CCC", "c1ccccc1"], True)


def test_all_notations_of_a_molecule_are_one() -> None:
    assert canonical(["OCC", "C(O)C", "C1=CC=CC=C1", "C(", "", "C(C)(C)(C)(C)C"]) == [
        "CCO",
        "CCO",
        "c1ccccc1",
        "",
        "",
        "",
    ]
    assert [mol is None for mol in mols(["C", "x", ""])] == [False, True, True]


def test_metrics_of_a_set() -> None:
    found = smiles_metrics(canonical(["OCC", "CCO", "CCC", "CN", "C(", ""]), KNOWN)
    assert {name: metric.value for name, metric in found.items()} == {
        "valid": pytest.approx(4 / 6),
        "unique_molecules": pytest.approx(3 / 6),
        "novel": pytest.approx(2 / 3),  # CCC and CN, of CCO, CCC and CN
        "in_universe": pytest.approx(3 / 6),
        "recall_held_out": pytest.approx(1 / 2),
    }


def test_without_a_complete_list_nothing_is_said_of_a_universe() -> None:
    assert {"in_universe", "recall_held_out"}.isdisjoint(smiles_metrics(["C"], Universe.of(["C"], ["CC"], False)))


def test_a_molecule_of_both_splits_counts_as_a_training_molecule() -> None:
    assert Universe.of(canonical(["OCC"]), ["CCO", "C"], True).test == {"C"}


def test_without_rdkit_the_error_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    usual = builtins.__import__

    def without(name: str, *rest: Any) -> Any:
        if name.partition(".")[0] == "rdkit":
            raise ImportError(name)
        return usual(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(UserError, match=r'pip install "polydiff\[molecule\]"'):
        mols(["C"])
