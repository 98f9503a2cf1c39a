"""Geometries, the cache that keeps them, and which molecules are held out."""

from __future__ import annotations

import json
import threading
import warnings
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rdkit import Chem

from polydiff.domains.molecule import data as module
from polydiff.domains.molecule import halfway, workers
from polydiff.domains.molecule.config import MoleculeData
from polydiff.domains.molecule.data import Library, open_library, universe
from polydiff.domains.molecule.geometry import APART, Rejected, apart, embedded
from polydiff.domains.molecule.library import split
from polydiff.domains.molecule.prepare import Item
from polydiff.domains.molecule.serving import TimedOut
from polydiff.errors import UserError


@pytest.fixture(scope="module")
def library() -> Library:
    return open_library(MoleculeData(max_heavy=4))


def same(a: Library, b: Library) -> bool:
    arrays = all(np.array_equal(getattr(a, name), getattr(b, name)) for name in module.ARRAYS)
    return arrays and list(a.smiles) == list(b.smiles) and a.rejected == b.rejected


def test_every_molecule_has_a_geometry_but_hydrogen_fluoride(library: Library) -> None:
    assert set(library.smiles) == set(universe(4)) - {"F"}
    assert dict(library.rejected) == {"MMFF94s has no parameters for it": 1}


def test_geometries_hold_the_atoms_of_their_molecule(library: Library) -> None:
    for i, smiles in enumerate(library.smiles):
        mol = Chem.AddHs(Chem.MolFromSmiles(smiles))
        assert sorted(library[i].numbers) == sorted(atom.GetAtomicNum() for atom in mol.GetAtoms())
        assert library[i].positions.shape == (mol.GetNumAtoms(), 3)


def test_water_has_its_shape(library: Library) -> None:
    water = library[list(library.smiles).index("O")]
    oxygen, *hydrogens = (water.positions[water.numbers == z] for z in (8, 1))
    bonds = hydrogens[0] - oxygen
    lengths = np.linalg.norm(bonds, axis=1)
    angle = np.degrees(np.arccos(bonds[0] @ bonds[1] / lengths.prod()))
    assert lengths == pytest.approx([0.969, 0.969], abs=0.01)
    assert angle == pytest.approx(104, abs=2)


def test_conformers_are_lowest_first_distinct_and_repeatable() -> None:
    mol, again = embedded("CCCC", 3), embedded("CCCC", 3)
    places = [conformer.GetPositions() for conformer in mol.GetConformers()]
    assert len(places) == 3
    assert all(apart(mol, i, j) for i in range(3) for j in range(i))
    assert all(np.array_equal(a, c.GetPositions()) for a, c in zip(places, again.GetConformers(), strict=True))
    assert embedded("CCCC", 1).GetNumConformers() == 1


def test_a_conformer_is_not_apart_from_itself_with_equivalent_atoms_exchanged() -> None:
    mol = embedded("CC", 1)
    order = list(range(mol.GetNumAtoms()))
    order[2:5] = order[3:5] + order[2:3]  # the hydrogens of a methyl group
    turned = Chem.Mol(mol)
    turned.GetConformer().SetPositions(mol.GetConformer().GetPositions()[order])
    assert APART > 0
    mol.AddConformer(turned.GetConformer(), assignId=True)
    assert not apart(mol, 0, 1)


@pytest.mark.parametrize(("smiles", "reason"), [("F", "MMFF94s"), ("C(", "SMILES")])
def test_what_has_no_geometry_says_why(smiles: str, reason: str) -> None:
    with pytest.raises(Rejected, match=reason):
        embedded(smiles, 1)


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


def test_a_molecule_is_on_one_side_with_all_its_geometries(library: Library) -> None:
    parts = split(library, 0.2)
    train, test = (set(parts[name].smiles) for name in ("train", "test"))
    assert not train & test
    assert train | test == set(library.smiles)
    assert 0.1 < len(test) / len(train | test) < 0.3
    assert len(parts["train"]) + len(parts["test"]) == len(library)
    assert len(library) > len(train | test)


def test_more_molecules_move_none_to_the_other_side(library: Library) -> None:
    small = split(open_library(MoleculeData(max_heavy=3)), 0.2)
    assert set(small["test"].smiles) == set(split(library, 0.2)["test"].smiles) & set(universe(3))


def test_a_part_of_a_library_is_what_it_was(library: Library) -> None:
    part = library.take([7, 3])
    assert part.smiles == [library.smiles[7], library.smiles[3]]
    assert np.array_equal(part[1].positions, library[3].positions)
    assert np.array_equal(part[0].numbers, library[7].numbers)
    assert part.column("tpsa").tolist() == library.column("tpsa")[[7, 3]].tolist()


def test_one_molecule_cannot_be_split() -> None:
    library = open_library(MoleculeData(max_heavy=2))
    with pytest.raises(UserError, match="Two different molecules"):
        split(library.take(np.flatnonzero(np.array(library.smiles) == "CC")), 0.2)


def test_a_preparation_that_is_stopped_goes_on_where_it_was(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = tmp_path / "own.csv"
    rows = [f"{smiles},{i}" for i, smiles in enumerate([*universe(3), "nonsense", "C[Na]", "OCC", *universe(4)[-9:]])]
    path.write_text("smiles,number\n" + "\n".join(rows) + "\n")
    data = MoleculeData(path=path, conformers=2, conditions=("number",))  # type: ignore[arg-type]
    monkeypatch.setenv("POLYDIFF_CACHE", str(tmp_path / "one"))
    with pytest.warns(UserWarning, match="left out"):
        whole = open_library(data)
    monkeypatch.setenv("POLYDIFF_CACHE", str(tmp_path / "two"))
    monkeypatch.setattr(halfway, "EVERY", 0.0)
    real, given = module.in_processes, list[str]()

    def until_noon(work: Any, items: Any, *rest: Any, **options: Any) -> Iterator[Any]:
        for number, result in enumerate(real(work, noted(items), *rest, **options)):
            yield result
            if number == 35:
                raise KeyboardInterrupt

    def noted(items: Iterable[Item]) -> Iterator[Item]:
        for item in items:
            given.append(item.name)
            yield item

    monkeypatch.setattr(module, "in_processes", until_noon)
    with pytest.raises(KeyboardInterrupt):
        open_library(data)
    (part,) = (tmp_path / "two" / "molecule").iterdir()
    part.write_bytes(part.read_bytes()[:-10])  # as a kill may leave it
    given.clear()
    monkeypatch.setattr(
        module, "in_processes", lambda work, items, *rest, **more: real(work, noted(items), *rest, **more)
    )
    with pytest.warns(UserWarning, match="left out"):
        assert same(open_library(data), whole)
    assert given[0] == "line 37"
    (folder,) = (tmp_path / "two" / "molecule").iterdir()
    kept = module.recall(folder)
    assert kept is not None
    assert same(kept, whole)


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


def test_what_does_not_stand_in_its_place_is_not_gone_on_from(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(halfway, "EVERY", 0.0)
    entries = [Rejected(f"reason {i}") for i in range(6)]
    draft = halfway.Draft(tmp_path / "one")
    for entry in entries[:4]:
        draft.add(entry)
    halfway.forget(tmp_path / "one")  # as another preparation does that is done
    for entry in entries[4:]:
        draft.add(entry)
    assert halfway.written(tmp_path / "one")
    assert halfway.recalled(tmp_path / "one") == []
    (path,) = halfway.written(tmp_path / "one")
    lines = [halfway.as_json(entry, number) for number, entry in enumerate(entries)]
    path.write_text("".join([*lines[:3], *lines]))  # as a disk that is full for a while leaves it
    assert [str(entry) for entry in halfway.recalled(tmp_path / "one")] == [str(entry) for entry in entries[:3]]


def test_molecules_of_which_none_is_made_are_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("POLYDIFF_CACHE", str(tmp_path))
    monkeypatch.setattr(module, "in_processes", lambda _, items, *__, **___: (TimedOut("it is late") for _ in items))
    with pytest.raises(UserError, match=r"organic-2 holds no molecule that can be used. 12: it is late"):
        open_library(MoleculeData(max_heavy=2))
