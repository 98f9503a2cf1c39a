"""Opening a data set of molecules."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from polydiff.domains.molecule.config import MoleculeData
from polydiff.domains.molecule.data import dataset as module
from polydiff.domains.molecule.data.dataset import DataSet, open_library
from polydiff.domains.molecule.workers import pool as workers
from polydiff.domains.molecule.workers.worker import TimedOut
from polydiff.support.errors import UserError


@pytest.mark.parametrize("count", [1, 3])
def test_geometries_do_not_depend_on_the_number_of_workers(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, count: int
) -> None:
    library = open_library(MoleculeData(max_heavy=4))
    monkeypatch.setenv("POLYDIFF_CACHE", str(tmp_path))
    monkeypatch.setattr(workers, "cores", lambda: count)
    three = open_library(MoleculeData(max_heavy=3))
    first = library.take(range(len(three)))
    assert three.smiles == first.smiles
    assert np.array_equal(three.positions, first.positions)
    assert np.array_equal(three.properties, first.properties)


def test_a_data_set_without_usable_molecules_is_an_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("POLYDIFF_CACHE", str(tmp_path))
    monkeypatch.setattr(module, "in_processes", lambda _, items, *__, **___: (TimedOut("it is late") for _ in items))
    with pytest.raises(UserError, match=r"organic-2 contains no molecule that can be used. 12: it is late"):
        open_library(MoleculeData(max_heavy=2))


def test_files_that_are_not_read_are_counted_in_the_account_of_a_run(tmp_path: Path) -> None:
    for name in ("a.smi", "b.pdb", "c.pdb", "README", ".hidden", "a.txt"):
        (tmp_path / name).write_text("CCO\nCCN\n")
    data = DataSet(MoleculeData(path=tmp_path, conformers=1))
    with pytest.warns(UserWarning, match=r"Ignored in .*: 2 \.pdb, 1 "):
        account = data.quarantine
    assert account is not None
    assert account.ignored == {".pdb": 2, "without a suffix": 1, ".txt": 1}
    assert account.notes["captions"] == "captions and tables beside molecules are not read"
    account = DataSet(MoleculeData(path=tmp_path / "a.smi", conformers=1)).quarantine
    assert account is not None
    assert not account.notes


def folders(root: Path, **splits: str) -> MoleculeData:
    """Write a list of SMILES for each folder, and return the data of graphs alone."""
    for name, smiles in splits.items():
        (root / name).mkdir()
        (root / name / "a.csv").write_text("\n".join(["SMILES", *smiles.split()]))
    return MoleculeData(path=root, positions=False, layout="dense", conditions=())


def test_folders_are_the_splits_and_others_beside_them_are_left_out(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("about")
    data = DataSet(folders(tmp_path, train="CC CCO CCN CO", test="CN CCC CO", validation="OCO", other="C"))
    with pytest.warns(UserWarning, match=r"Ignored in .*: 1 \.csv"):
        account = data.quarantine
    assert account is not None
    assert account.ignored == {".csv": 1}
    assert {name: sorted(part.smiles) for name, part in data.splits.items()} == {
        "train": ["CC", "CCN", "CCO"],  # CO, which is held out too, is trained on by neither
        "test": ["CCC", "CN", "CO"],
    }


def test_validation_is_held_out_where_there_is_no_test(tmp_path: Path) -> None:
    data = DataSet(folders(tmp_path, train="CC CCO CCN CO", valid="CN CCC"))
    assert sorted(data.splits["test"].smiles) == ["CCC", "CN"]


def test_the_further_test_set_is_in_no_split_and_not_ignored(tmp_path: Path) -> None:
    data = DataSet(folders(tmp_path, train="CC CCO CCN", test="CN CCC", test_scaffolds="c1ccccc1"))
    assert data.quarantine is not None
    assert not data.quarantine.ignored
    assert len(data.library) == 5
