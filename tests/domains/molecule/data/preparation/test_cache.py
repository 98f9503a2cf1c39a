"""The cache of prepared molecules."""

from __future__ import annotations

import json
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from molecule_sources_cases import same

from polydiff.domains.molecule.config import MoleculeData
from polydiff.domains.molecule.data import dataset as dataset_module
from polydiff.domains.molecule.data.dataset import open_library
from polydiff.domains.molecule.data.preparation import cache


def test_the_cache_returns_the_prepared_library(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("POLYDIFF_CACHE", str(tmp_path))
    first = open_library(MoleculeData(max_heavy=2))
    (folder,) = (tmp_path / "molecule").iterdir()
    manifest = json.loads((folder / "manifest.json").read_text())
    assert {"rdkit", "seed", "molecules", "sha256", "conformers"} <= set(manifest)
    with monkeypatch.context() as patch:
        patch.setattr(dataset_module, "prepare_items", lambda *_: pytest.fail("prepared again"))
        assert same(open_library(MoleculeData(max_heavy=2)), first)


@pytest.mark.parametrize("file", ["geometries.npz", "manifest.json"])
@pytest.mark.parametrize("damage", ["truncated", "removed"])
def test_a_damaged_cache_is_prepared_again(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, file: str, damage: str
) -> None:
    monkeypatch.setenv("POLYDIFF_CACHE", str(tmp_path))
    first = open_library(MoleculeData(max_heavy=2))
    (folder,) = (tmp_path / "molecule").iterdir()
    path = folder / file
    if damage == "truncated":
        path.write_bytes(path.read_bytes()[:-40])
    else:
        path.unlink()
    assert same(open_library(MoleculeData(max_heavy=2)), first)
    assert cache.read_library(folder) is not None


def test_other_settings_have_their_own_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("POLYDIFF_CACHE", str(tmp_path))
    three, one = (open_library(MoleculeData(max_heavy=4, conformers=n)) for n in (3, 1))
    assert len(one) == len(set(one.smiles)) < len(three)


def test_two_preparations_at_the_same_time_do_not_interfere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("POLYDIFF_CACHE", str(tmp_path))
    both_ready, real = threading.Barrier(2, timeout=60), cache.write_library

    def write(*given: Any) -> None:
        both_ready.wait()
        real(*given)

    monkeypatch.setattr(cache, "write_library", write)
    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(open_library, [MoleculeData(max_heavy=2)] * 2)
    assert same(first, second)
    (folder,) = (tmp_path / "molecule").iterdir()
    kept = cache.read_library(folder)
    assert kept is not None
    assert same(kept, first)


def test_a_library_that_another_process_wrote_first_is_kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("POLYDIFF_CACHE", str(tmp_path))
    first, real = open_library(MoleculeData(max_heavy=2)), cache.read_library
    answers = [None]
    monkeypatch.setattr(cache, "read_library", lambda folder: answers.pop() if answers else real(folder))
    monkeypatch.setattr(cache, "write_library", fail_to_write)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert same(open_library(MoleculeData(max_heavy=2)), first)


def fail_to_write(*_: Any) -> None:
    raise OSError(39, "Directory not empty")


def test_a_cache_that_cannot_be_written_gives_a_warning(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("POLYDIFF_CACHE", str(tmp_path / "file"))
    with pytest.warns(UserWarning, match=r"cannot be written .*POLYDIFF_CACHE"):
        assert len(open_library(MoleculeData(max_heavy=2))) > 5
