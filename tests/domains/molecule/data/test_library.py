"""Tests of `polydiff.domains.molecule.data.library`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from polydiff.domains.molecule.config import MoleculeData
from polydiff.domains.molecule.data.dataset import open_library
from polydiff.domains.molecule.data.library import Library
from polydiff.domains.molecule.data.source import enumerated_molecules
from polydiff.domains.molecule.splits import split
from polydiff.support.errors import UserError


@pytest.fixture(scope="module")
def library() -> Library:
    return open_library(MoleculeData(max_heavy=4))


def test_a_molecule_is_in_one_split_with_all_its_geometries(library: Library) -> None:
    parts = split(library, 0.2)
    train, test = (set(parts[name].smiles) for name in ("train", "test"))
    assert not train & test
    assert train | test == set(library.smiles)
    assert 0.1 < len(test) / len(train | test) < 0.3
    assert len(parts["train"]) + len(parts["test"]) == len(library)
    assert len(library) > len(train | test)


def test_added_molecules_do_not_move_others_to_the_other_split(library: Library) -> None:
    small = split(open_library(MoleculeData(max_heavy=3)), 0.2)
    assert set(small["test"].smiles) == set(split(library, 0.2)["test"].smiles) & set(enumerated_molecules(3))


def test_a_part_of_a_library_keeps_its_geometries(library: Library) -> None:
    part = library.take([7, 3])
    assert part.smiles == [library.smiles[7], library.smiles[3]]
    assert np.array_equal(part[1].positions, library[3].positions)
    assert np.array_equal(part[0].numbers, library[7].numbers)
    assert part.column("tpsa").tolist() == library.column("tpsa")[[7, 3]].tolist()


def test_one_molecule_cannot_be_split() -> None:
    library = open_library(MoleculeData(max_heavy=2))
    with pytest.raises(UserError, match="At least two different molecules"):
        split(library.take(np.flatnonzero(np.array(library.smiles) == "CC")), 0.2)


NOTATIONS = ("[H]/N=C/C", "[H]/N=C\\C", "CC=N", "CS(C)=O", "C[S+](C)[O-]", "C/C=C/C", "C/C=C\\C", "[2H]CCO", "OCC")


@pytest.mark.filterwarnings("ignore:.*Molecules left out:UserWarning")
def test_notations_of_a_molecule_are_in_one_split(tmp_path: Path) -> None:
    others = [smiles for smiles in enumerated_molecules(4) if smiles not in ("CC=N", "F")]
    (tmp_path / "own.smi").write_text("\n".join([*NOTATIONS, *others]))
    library = open_library(MoleculeData(path=tmp_path / "own.smi", conformers=1))
    assert len(set(library.smiles)) == len({*others, "CC=N", "C[S+](C)[O-]"})
    for share in (0.1, 0.3, 0.5, 0.7):
        parts = split(library, share)
        assert not set(parts["train"].smiles) & set(parts["test"].smiles)


def test_keys_of_geometries_are_kept_with_them(library: Library) -> None:
    assert len(library.perceived) == len(library)
    same = [key == perceived for key, perceived in zip(library.smiles, library.perceived, strict=True)]
    assert sum(same) > 0.97 * len(library)
    part = library.take([5, 2])
    assert part.perceived == [library.perceived[5], library.perceived[2]]


@pytest.mark.filterwarnings("ignore:.*Molecules left out:UserWarning")
def test_a_repeated_molecule_is_rejected_in_any_notation_but_stereoisomers_are_not(tmp_path: Path) -> None:
    lines = ["CS(C)=O", "C[S+](C)[O-]", "CC=N", "C(=N)C", "[2H]N=CC", "F/C=C/F", "F/C=C\\F", "F/C=C/F"]
    (tmp_path / "own.smi").write_text("\n".join(lines))
    library = open_library(MoleculeData(path=tmp_path / "own.smi", conformers=1))
    assert library.rejected == {"it repeats an earlier one": 4}
    assert library.places.tolist() == [0, 2, 5, 6]
