"""The metrics of a set of texts, by data set."""

from __future__ import annotations

import pytest

from polydiff.domains.sequence.domain import SequenceDomain


def test_the_training_texts_themselves_have_no_distance(names: SequenceDomain) -> None:
    train = names.examples("train", 100)
    found = names.evaluate(train)
    assert [found[f"ngrams_{n}"].value for n in (1, 2, 3)] == pytest.approx([0, 0, 0])
    assert found["length_error"].value == 0
    assert found["copied"].value == 1
    assert found["unique"].value == 1


def test_other_texts_are_no_copies(names: SequenceDomain) -> None:
    found = names.evaluate(names.examples("test", 10))
    assert found["copied"].value == 0
    assert names.evaluate(type(names.examples("test", 1))(["Anna", "Anna", "ZZZ", ""]))["unique"].value == 0.75


def test_real_data_have_the_best_values(sums: SequenceDomain, smiles: SequenceDomain) -> None:
    real = sums.evaluate(sums.examples("test", 1000))
    assert real["true"].value == real["parses"].value == 1
    assert real["ngrams_1"].value < 0.02
    assert "copied" not in real  # each true sum is a training text
    found = smiles.evaluate(smiles.examples("test", 100))
    assert {found[name].value for name in ("valid", "unique_molecules", "novel", "in_universe")} == {1.0}
    assert found["recall_held_out"].value == pytest.approx(100 / smiles.size("test"))


def test_all_embedded_smiles_are_different_molecules_with_these_heavy_atoms(smiles: SequenceDomain) -> None:
    from polydiff.domains.sequence.metrics.molecules import mols

    universe = smiles.evaluation.universe
    assert (len(universe.train), len(universe.test)) == (smiles.size("train"), smiles.size("test"))
    assert len(universe.train | universe.test) == 11_762
    test = smiles.examples("test", 200)
    heavy = [mol.GetNumHeavyAtoms() for mol in mols(test.examples)]
    assert [row["heavy_atoms"] for row in smiles.describe(test.cond or {})] == heavy
