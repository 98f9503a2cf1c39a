"""Tanimoto similarities against RDKit's."""

from __future__ import annotations

import math

import numpy as np
import pytest
from rdkit import Chem, DataStructs
from rdkit.Chem import rdFingerprintGenerator

from polydiff.domains.molecule.moses import similarity
from polydiff.domains.molecule.moses.features import features

MADE, KNOWN = ["CCO", "c1ccccc1C", "CCN", "CCOc1ccccc1"], ["CCO", "c1ccccc1CC", "CCCN"]


def packed(smiles: list[str]) -> np.ndarray:
    return np.array([one.fingerprint for one in features(smiles)])


def theirs(a: list[str], b: list[str]) -> np.ndarray:
    generator = rdFingerprintGenerator.GetMorganGenerator(radius=2, fpSize=1024)
    x, y = ([generator.GetFingerprint(Chem.MolFromSmiles(one)) for one in part] for part in (a, b))
    return np.array([DataStructs.BulkTanimotoSimilarity(one, y) for one in x])


@pytest.fixture(params=[2, 2000], autouse=True)
def rows(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(similarity, "ROWS", request.param)


def test_the_nearest_is_that_of_rdkit() -> None:
    assert similarity.nearest(packed(MADE), packed(KNOWN)) == pytest.approx(theirs(MADE, KNOWN).max(1))


@pytest.mark.parametrize("p", [1, 2])
def test_the_diversity_is_its_formula(p: int) -> None:
    means = (theirs(MADE, MADE) ** p).mean(1) ** (1 / p)
    assert similarity.diversity(packed(MADE), p) == pytest.approx(1 - means.mean())


def test_nothing_is_similar_to_nothing() -> None:
    none = np.zeros((0, 128), np.uint8)
    assert math.isnan(similarity.diversity(none))
    assert np.isnan(similarity.nearest(packed(MADE), none)).all()
    assert len(similarity.nearest(none, packed(KNOWN))) == 0


def test_fingerprints_without_bits_are_equal() -> None:
    assert similarity.nearest(np.zeros((1, 128), np.uint8), np.zeros((1, 128), np.uint8)).tolist() == [1.0]
