"""Sets of molecules that samples are compared with: their cache, and sets without some of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from polydiff.domains.molecule.moses import reference
from polydiff.domains.molecule.moses.features import features
from polydiff.domains.molecule.moses.reference import MoleculeSet

LISTED = ["CCO", "c1ccc2ccccc2c1", "CCOc1ccccc1", "CCO", "c1ccc2ccccc2c1C"]


def same(a: MoleculeSet, b: MoleculeSet) -> bool:
    equal = (list(a.smiles), dict(a.fragments), dict(a.scaffolds)) == (
        list(b.smiles),
        dict(b.fragments),
        dict(b.scaffolds),
    )
    return equal and (a.fingerprints == b.fingerprints).all() and np.array_equal(a.properties, b.properties)


def test_a_set_without_molecules_is_the_set_of_the_others() -> None:
    found = MoleculeSet.of(features(LISTED)).without(features(["CCO", "CCO", "c1ccc2ccccc2c1", "CN"]))
    assert same(found, MoleculeSet.of(features(["CCOc1ccccc1", "c1ccc2ccccc2c1C"])))


@pytest.mark.parametrize("measured", [True, False])
def test_features_are_computed_once(measured: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POLYDIFF_CACHE", str(tmp_path))
    monkeypatch.setattr(reference, "LEAST_CACHED", 2)
    first = MoleculeSet.cached(LISTED, measured)
    assert first.properties.shape == ((5, 4) if measured else (5, 0))
    monkeypatch.setattr(reference, "features", lambda *_, **__: pytest.fail("computed again"))
    assert same(MoleculeSet.cached(LISTED, measured), first)


def test_a_damaged_file_of_the_cache_is_computed_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POLYDIFF_CACHE", str(tmp_path))
    monkeypatch.setattr(reference, "LEAST_CACHED", 2)
    first = MoleculeSet.cached(LISTED, False)
    (path,) = tmp_path.rglob("*.npz")
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    assert same(MoleculeSet.cached(LISTED, False), first)
    assert path.read_bytes() == whole
