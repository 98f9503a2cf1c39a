"""Tests of `polydiff.domains.molecule.data.qm9`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from molecule_files import blocks, qm9_folder, same_places
from molecule_sources_cases import read

from polydiff.domains.molecule.data.library import TEST, TRAIN, UNUSED
from polydiff.domains.molecule.data.qm9 import HARTREE, edm_splits
from polydiff.domains.molecule.splits import split
from polydiff.support.errors import UserError

pytestmark = pytest.mark.filterwarnings(
    "ignore:.*Molecules left out:UserWarning", "ignore:.*is unknown for all molecules"
)


def check_qm9(folder: Path, n: int, changed: list[int]) -> None:
    library = read(folder, conditions=("alpha", "logp"))
    assert (library.found, library.used) == (n, n - len(changed))
    assert dict(library.rejected) == {"uncharacterized.txt lists it": len(changed)}
    np.testing.assert_allclose(library.column("alpha"), 13.21 + library.places + 1)
    np.testing.assert_allclose(library.column("gap"), 0.5048 * HARTREE)
    assert np.isfinite(library.properties).all()
    parts = split(library, 0.2)
    included = [i for i in range(n) if i + 1 not in changed]  # from here on EDM's own code
    np.random.seed(0)
    permutation = np.random.permutation(len(included))
    train = round(len(included) * 100_000 / 130_831)
    held_out = int(0.1 * len(included))
    first, unused, last = np.split(permutation, [train, len(included) - held_out])
    assert sorted(parts["train"].places) == sorted(np.array(included)[first])
    assert sorted(parts["test"].places) == sorted(np.array(included)[last])
    assert len(unused) == len(included) - train - held_out


def test_a_folder_of_qm9(tmp_path: Path) -> None:
    check_qm9(qm9_folder(tmp_path / "raw", blocks(60), [2, 21, 22]), 60, [2, 21, 22])


@pytest.mark.slow
def test_a_folder_of_qm9_of_a_thousand(tmp_path: Path) -> None:
    check_qm9(qm9_folder(tmp_path / "raw", blocks(1000, 6), [21, 58, 999]), 1000, [21, 58, 999])


def test_the_folder_above_raw_is_accepted(tmp_path: Path) -> None:
    qm9_folder(tmp_path / "QM9" / "raw", blocks(20), [])
    assert read(tmp_path / "QM9", name="qm9").found == 20


def test_edm_divides_qm9_as_published() -> None:
    sides = edm_splits(130_831)
    assert [int((sides == side).sum()) for side in (TRAIN, UNUSED, TEST)] == [100_000, 17_748, 13_083]


def test_qm9_with_wrong_bonds_keeps_its_atoms(tmp_path: Path) -> None:
    records = blocks(20)
    records[10] = records[10].replace("  1  2  1", "  1  2  3").replace("  1  2  2", "  1  2  3")
    library = read(qm9_folder(tmp_path / "raw", records, []))
    assert library.used == 20
    assert same_places(library, 3, records[3])


def test_damaged_records_of_qm9_do_not_move_the_others(tmp_path: Path) -> None:
    records = blocks(40)
    whole = read(qm9_folder(tmp_path / "whole", records, [5]))
    folder = qm9_folder(tmp_path / "broken", records, [5])
    text = (folder / "gdb9.sdf").read_text().split("$$$$\n")
    text[11] = text[11][:90] + "\n"
    (folder / "gdb9.sdf").write_text("$$$$\n".join(text))
    broken = read(folder)
    assert broken.rejected["RDKit does not understand its record"] == 1
    sides = dict(zip(whole.places.tolist(), whole.sides.tolist(), strict=True))
    assert dict(zip(broken.places.tolist(), broken.sides.tolist(), strict=True)) == {
        place: side for place, side in sides.items() if place != 11
    }


@pytest.mark.parametrize("missing", ["gdb9.sdf.csv", "uncharacterized.txt"])
def test_qm9_without_one_of_its_files(tmp_path: Path, missing: str) -> None:
    folder = qm9_folder(tmp_path / "raw", blocks(3), [])
    (folder / missing).unlink()
    with pytest.raises(UserError, match=f"contains gdb9.sdf, but {missing} is missing"):
        read(folder)
    (other := tmp_path / "other").mkdir()
    with pytest.raises(
        UserError, match=r"is not a folder that contains gdb9\.sdf, gdb9\.sdf\.csv and uncharacterized\.txt"
    ):
        read(other, name="qm9")


@pytest.mark.parametrize("n", [1, 2, 5])
def test_a_tiny_folder_of_qm9(tmp_path: Path, n: int) -> None:
    folder = qm9_folder(tmp_path / "raw", [blocks(80)[60]] * n, [])
    library = read(folder)
    if n == 1:
        with pytest.raises(UserError, match="Of 1 molecule, none can be held out"):
            split(library, 0.2)
    else:
        assert min(len(part) for part in split(library, 0.2).values()) >= 1
    with pytest.raises(UserError, match=rf"contains no molecule that can be used. {n}: uncharacterized.txt lists it"):
        read(qm9_folder(tmp_path / "none", blocks(n), list(range(1, n + 1))))
