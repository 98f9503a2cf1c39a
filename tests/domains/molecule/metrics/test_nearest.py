"""The search for the nearest training molecule."""

from __future__ import annotations

import math

import numpy as np
import pytest
from molecule_cases import molecule, shaken
from rdkit import Chem, DataStructs
from rdkit.Chem import rdFingerprintGenerator

from polydiff.contract.domain import Samples
from polydiff.contract.likeness import FindsNearest
from polydiff.domains.molecule.chemistry.geometry import Molecule
from polydiff.domains.molecule.domain import MoleculeDomain
from polydiff.domains.molecule.metrics.nearest import Search, fingerprint
from polydiff.support.protocols import provides


def test_a_training_molecule_finds_itself_also_permuted_and_in_another_geometry(domain: MoleculeDomain) -> None:
    assert provides(domain, FindsNearest)
    train = domain.dataset.splits["train"]
    real = domain.examples("train", 5)
    keys = [train.smiles[i] for i in np.linspace(0, len(train) - 1, 3).astype(int).tolist()]
    rng = np.random.default_rng(0)
    permuted = []
    for one in real.examples:
        order = rng.permutation(len(one.numbers))
        permuted.append(shaken(Molecule(one.numbers[order], one.positions[order]), 0.01))
    for examples in (list(real.examples), permuted):
        found = domain.nearest(Samples(examples))
        assert list(found.distances) == [0.0] * len(examples)
        for one, near in zip(examples, found.examples.examples, strict=True):
            assert sorted(one.numbers.tolist()) == sorted(near.numbers.tolist())
    assert all(domain.search.find(key)[1] == 0 for key in keys)


def test_another_molecule_is_at_one_minus_the_largest_similarity() -> None:
    search = Search.of(["CCO", "CCCC", "CCO", "c1ccccc1"], ["CCCO"])
    place, distance = search.find("CCCO")
    generator = rdFingerprintGenerator.GetMorganGenerator(radius=2, fpSize=2048)
    prints = {key: generator.GetFingerprint(Chem.MolFromSmiles(key)) for key in ("CCO", "CCCC", "c1ccccc1", "CCCO")}
    similar = {key: DataStructs.TanimotoSimilarity(prints["CCCO"], prints[key]) for key in ("CCO", "CCCC", "c1ccccc1")}
    nearest = max(similar, key=similar.__getitem__)
    assert (place, distance) == ({"CCO": 0, "CCCC": 1, "c1ccccc1": 3}[nearest], pytest.approx(1 - similar[nearest]))
    assert search.typical == distance
    assert search.find("CCO") == (0, 0.0)
    assert math.isnan(search.find(None)[1])


def test_what_is_no_molecule_cannot_be_compared(domain: MoleculeDomain) -> None:
    apart = Molecule(np.array([6, 6], np.uint8), np.array([[0, 0, 0], [9, 0, 0]], np.float32))
    found = domain.nearest(Samples([apart, molecule("C")]))
    assert [math.isnan(distance) for distance in found.distances] == [True, False]
    assert len(found.examples) == 2


def test_a_key_without_valences_that_fit_has_a_fingerprint() -> None:
    assert fingerprint("[H]C([H])([H])([H])[H]").GetNumOnBits() > 0
