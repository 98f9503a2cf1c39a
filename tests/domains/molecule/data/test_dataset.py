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
