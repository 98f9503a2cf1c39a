"""Splits that a user's molecules state, in every kind of file, and molecules that state none beside them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from rdkit import Chem

from polydiff.domains.molecule.chemistry.geometry import embed
from polydiff.domains.molecule.config import MoleculeData
from polydiff.domains.molecule.data.dataset import DataSet
from polydiff.domains.molecule.data.library import digest

STATED = {
    "CCC": "train", "CCO": "Training", "CCN": "train", "CC=O": "TEST", "CC#N": "test", "COC": "validation", "CC": "val",
}  # fmt: skip
"""SMILES -> split that the data state."""
EXPECTED = {"train": {"CCC", "CCO", "CCN"}, "test": {"CC=O", "CC#N"}}


def record(smiles: str, split: str) -> str:
    return f"{Chem.MolToMolBlock(embed(smiles, 1))}> <Split>\n{split}\n\n$$$$\n"


def frame(smiles: str, comment: str) -> str:
    lines = Chem.MolToXYZBlock(embed(smiles, 1)).split("\n")
    return "\n".join([lines[0], comment, *lines[2:]])


def table(mark: str, heading: str) -> str:
    return "\n".join([mark.join(["smiles", heading]), *(mark.join(row) for row in STATED.items())])


FILES: dict[str, Callable[[], str]] = {
    "a.csv": lambda: table(",", "split"),
    "moses.csv": lambda: table(",", "SPLIT"),
    "a.tsv": lambda: table("\t", "split"),
    "a.smi": lambda: table(" ", "split"),
    "a.jsonl": lambda: "\n".join(json.dumps({"smiles": one, "split": side}) for one, side in STATED.items()),
    "a.sdf": lambda: "".join(record(*row) for row in STATED.items()),
    "a.xyz": lambda: "".join(frame(one, f"energy=1.5 split={side}") for one, side in STATED.items()),
    "quoted.xyz": lambda: "".join(frame(one, f'split="{side}" energy=1.5') for one, side in STATED.items()),
}
"""Name of a file -> its text."""


def opened(path: Path, **keys: object) -> DataSet:
    return DataSet(MoleculeData(path=path, conformers=1, conditions=(), **keys))  # type: ignore[arg-type]


def smiles_of(data: DataSet) -> dict[str, set[str]]:
    return {name: set(part.smiles) for name, part in data.splits.items()}


@pytest.mark.parametrize("name", FILES)
def test_the_column_split_is_obeyed_in_every_kind_of_file(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text(FILES[name]())
    data = opened(tmp_path / name)
    assert smiles_of(data) == EXPECTED
    assert not {"split", "Split", "SPLIT"} & {*data.library.texts, *data.library.names}  # it is no condition


def test_the_column_precedes_folders_and_other_names_of_splits_reject_a_molecule(tmp_path: Path) -> None:
    for folder, rows in {"train": "CCC,\nCCO,train\nCC,test", "test": "CC=O,\nCOC,train\nC#N,fold 3"}.items():
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "a.csv").write_text(f"smiles,split\n{rows}\n")
    data = opened(tmp_path)
    with pytest.warns(UserWarning, match=r"1: split=fold 3 is not one of train.* \(test/a.csv, line 4\)"):
        assert smiles_of(data) == {"train": {"CCC", "CCO", "COC"}, "test": {"CC=O", "CC"}}


def test_molecules_without_a_stated_split_follow_their_other_geometries_or_their_hash(tmp_path: Path) -> None:
    alone = ["CCCC", "CCCO", "CCCN", "CC(C)C", "CC(C)O", "CC(C)N", "COCC", "CNCC"]
    rows = [*STATED.items(), *((one, "") for one in [*alone, "CCC", "CC#N", "COC"])]
    (tmp_path / "a.sdf").write_text("".join(record(*row) for row in rows))
    data = opened(tmp_path / "a.sdf", test_share=0.5)
    keys = {one: Chem.MolToSmiles(Chem.MolFromSmiles(one)) for one in alone}
    low = {one for one in keys.values() if int(digest(one.encode())[:13], 16) / 16**13 < 0.5}
    assert 0 < len(low) < len(alone)
    assert smiles_of(data) == {"train": EXPECTED["train"] | ({*keys.values()} - low), "test": EXPECTED["test"] | low}
    counts = {one: list(part.smiles).count(one) for part in data.splits.values() for one in part.smiles}
    assert (counts["CCC"], counts["CC#N"], counts.get("COC")) == (2, 2, None)


def test_an_element_without_training_moves_a_molecule_only_if_its_split_is_not_stated(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("smiles,split\nCCC,train\nCCO,train\nCCCO,test\nCCS,test\n")
    assert smiles_of(opened(tmp_path / "a.csv")) == {"train": {"CCC", "CCO"}, "test": {"CCCO"}}
    (tmp_path / "b.csv").write_text("smiles\nCCC\nCCO\nCCCO\nCCS\n")
    assert "CCS" in smiles_of(opened(tmp_path / "b.csv", test_share=0.9))["train"]
