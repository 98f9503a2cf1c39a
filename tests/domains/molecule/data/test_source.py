"""Geometries, the cache that keeps them, and which molecules are held out."""

from __future__ import annotations

import json
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from polydiff.domains.molecule.config import MoleculeData
from polydiff.domains.molecule.data import source as module
from polydiff.domains.molecule.data.library import Library
from polydiff.domains.molecule.data.source import open_library
from polydiff.domains.molecule.workers import pool as workers
from polydiff.domains.molecule.workers.worker import TimedOut
from polydiff.support.errors import UserError


@pytest.fixture(scope="module")
def library() -> Library:
    return open_library(MoleculeData(max_heavy=4))


def same(a: Library, b: Library) -> bool:
    arrays = all(np.array_equal(getattr(a, name), getattr(b, name)) for name in module.ARRAYS)
    return arrays and list(a.smiles) == list(b.smiles) and a.rejected == b.rejected


def test_the_cache_gives_what_was_computed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("POLYDIFF_CACHE", str(tmp_path))
    first = open_library(MoleculeData(max_heavy=2))
    (folder,) = (tmp_path / "molecule").iterdir()
    manifest = json.loads((folder / "manifest.json").read_text())
    assert {"rdkit", "seed", "molecules", "sha256", "conformers"} <= set(manifest)
    with monkeypatch.context() as patch:
        patch.setattr(module, "places", lambda *_: pytest.fail("computed again"))
        assert same(open_library(MoleculeData(max_heavy=2)), first)


@pytest.mark.parametrize("file", ["geometries.npz", "manifest.json"])
@pytest.mark.parametrize("damage", ["cut", "gone"])
def test_a_damaged_cache_is_computed_again(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, file: str, damage: str
) -> None:
    monkeypatch.setenv("POLYDIFF_CACHE", str(tmp_path))
    first = open_library(MoleculeData(max_heavy=2))
    (folder,) = (tmp_path / "molecule").iterdir()
    path = folder / file
    if damage == "cut":
        path.write_bytes(path.read_bytes()[:-40])
    else:
        path.unlink()
    assert same(open_library(MoleculeData(max_heavy=2)), first)
    assert module.recall(folder) is not None


def test_other_settings_are_kept_apart(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("POLYDIFF_CACHE", str(tmp_path))
    three, one = (open_library(MoleculeData(max_heavy=4, conformers=n)) for n in (3, 1))
    assert len(one) == len(set(one.smiles)) < len(three)


@pytest.mark.parametrize("count", [1, 3])
def test_geometries_do_not_depend_on_the_number_of_workers(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, library: Library, count: int
) -> None:
    monkeypatch.setenv("POLYDIFF_CACHE", str(tmp_path))
    monkeypatch.setattr(workers, "cores", lambda: count)
    three = open_library(MoleculeData(max_heavy=3))
    first = library.take(range(len(three)))
    assert three.smiles == first.smiles
    assert np.array_equal(three.positions, first.positions)
    assert np.array_equal(three.properties, first.properties)


def test_two_that_prepare_the_same_at_once_do_each_other_no_harm(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("POLYDIFF_CACHE", str(tmp_path))
    together, real = threading.Barrier(2, timeout=60), module.write

    def write(*given: Any) -> None:
        together.wait()
        real(*given)

    monkeypatch.setattr(module, "write", write)
    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(open_library, [MoleculeData(max_heavy=2)] * 2)
    assert same(first, second)
    (folder,) = (tmp_path / "molecule").iterdir()
    kept = module.recall(folder)
    assert kept is not None
    assert same(kept, first)


def test_one_that_is_beaten_to_it_keeps_what_the_other_wrote(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("POLYDIFF_CACHE", str(tmp_path))
    first, real = open_library(MoleculeData(max_heavy=2)), module.recall
    answers = [None]
    monkeypatch.setattr(module, "recall", lambda folder: answers.pop() if answers else real(folder))
    monkeypatch.setattr(module, "write", refused)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert same(open_library(MoleculeData(max_heavy=2)), first)


def refused(*_: Any) -> None:
    raise OSError(39, "Directory not empty")


def test_a_cache_that_cannot_be_written_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("POLYDIFF_CACHE", str(tmp_path / "file"))
    with pytest.warns(UserWarning, match=r"cannot be written .*POLYDIFF_CACHE"):
        assert len(open_library(MoleculeData(max_heavy=2))) > 5


def test_molecules_of_which_none_is_made_are_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("POLYDIFF_CACHE", str(tmp_path))
    monkeypatch.setattr(module, "in_processes", lambda _, items, *__, **___: (TimedOut("it is late") for _ in items))
    with pytest.raises(UserError, match=r"organic-2 holds no molecule that can be used. 12: it is late"):
        open_library(MoleculeData(max_heavy=2))
