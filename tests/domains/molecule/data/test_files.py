"""Reading a user's own files: records, rejected molecules and messages."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError
from rdkit import Chem

from polydiff.domains.molecule.chemistry.geometry import atomic_numbers, embed, positions
from polydiff.domains.molecule.config import MoleculeData
from polydiff.domains.molecule.data import dataset as dataset_module
from polydiff.domains.molecule.data.dataset import open_library
from polydiff.domains.molecule.data.files import frame, items
from polydiff.domains.molecule.data.formats import text_files
from polydiff.domains.molecule.data.library import Library
from polydiff.support.errors import UserError

SMILES = ("CCO", "CC#N", "c1ccccc1")


def block(smiles: str, name: str = "") -> str:
    mol = embed(smiles, 1)
    mol.SetProp("_Name", name)
    return Chem.MolToMolBlock(mol)


def read(path: Path, **options: object) -> Library:
    return open_library(MoleculeData(name="file", path=path, **options))  # type: ignore[arg-type]


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def test_a_sdf_keeps_its_positions(tmp_path: Path) -> None:
    library = read(write(tmp_path / "own.sdf", "".join(f"{block(s)}$$$$\n" for s in SMILES)))
    assert library.smiles == list(SMILES)
    for i, smiles in enumerate(SMILES):
        mol = embed(smiles, 1)
        assert np.array_equal(library[i].numbers, atomic_numbers(mol))
        np.testing.assert_allclose(library[i].positions, positions(mol)[0], atol=1e-4)


@pytest.mark.parametrize("cut", [3, 6, 9, 14, 18])
@pytest.mark.parametrize("separator", ["$$$$\n", ""])
def test_a_truncated_record_does_not_affect_its_neighbours(tmp_path: Path, cut: int, separator: str) -> None:
    torn = "\n".join(block("CC(=O)O").splitlines()[:cut]) + "\n" + separator
    text = f"{block('CCO')}$$$$\n{torn}{block('CC#N')}$$$$\n"
    path = write(tmp_path / "own.sdf", text)
    with pytest.warns(UserWarning, match="2 of 3 .* 1: RDKit does not understand its record .record 2"):
        library = read(path)
    assert library.smiles == ["CCO", "CC#N"]


def test_line_endings_of_another_system_and_no_last_separator(tmp_path: Path) -> None:
    text = "$$$$\n".join(block(s, name=s) for s in SMILES)
    path = tmp_path / "own.sdf"
    path.write_bytes(text.replace("\n", "\r\n").encode())
    assert read(path).smiles == list(SMILES)


def test_a_flat_sdf_gets_positions(tmp_path: Path) -> None:
    mols = [Chem.MolFromSmiles(s) for s in SMILES]
    library = read(write(tmp_path / "own.sdf", "".join(f"{Chem.MolToMolBlock(mol)}$$$$\n" for mol in mols)))
    assert set(library.smiles) == set(SMILES)
    assert library.sizes[0] == 9
    assert np.linalg.matrix_rank(library[0].positions - library[0].positions.mean(0), tol=0.1) == 3


def test_records_without_hydrogens_are_rejected_or_completed(tmp_path: Path) -> None:
    bare = [Chem.MolToMolBlock(Chem.RemoveHs(embed(s, 1))) for s in ("CCCO", "CC(C)O")]
    path = write(tmp_path / "own.sdf", "$$$$\n".join([*bare, block("C"), block("CC")]))
    with pytest.warns(UserWarning, match="2: it lacks hydrogens, which data.add_hydrogens=true adds"):
        assert read(path).smiles == ["C", "CC"]
    added = read(path, add_hydrogens=True)
    assert added.smiles == ["CCCO", "CC(C)O", "C", "CC"]
    assert added.sizes.tolist() == [12, 12, 5, 8]


def test_lines_of_smiles(tmp_path: Path) -> None:
    text = "SMILES name\nCCO ethanol\n\nOCC again\n[Na+].CC(=O)[O-] salt\nnonsense x\n[CH3] radical\nC[N+](C)(C)C ion\n"
    with pytest.warns(UserWarning, match="left out") as caught:
        library = read(write(tmp_path / "own.smi", text))
    assert set(library.smiles) == {"CCO", "CC(=O)O"}
    (message,) = {str(warning.message) for warning in caught}
    assert "2 of 6 molecules are used" in message
    reasons = {
        "RDKit does not understand its SMILES (line 6)", "it is a radical (line 7)", "it is charged (line 8)",
        "it repeats an earlier one (line 4)",
    }  # fmt: skip
    assert all(f"1: {reason}" in message for reason in reasons)


def test_a_table_with_a_column_of_smiles(tmp_path: Path) -> None:
    path = write(tmp_path / "own.csv", 'id,"SMILES",note\n1,CCO,"a, b"\n2,CCN,\n')
    assert set(read(path).smiles) == {"CCO", "CCN"}
    assert set(read(write(tmp_path / "other.csv", "mol\nCCO\nCCN\n"), column="mol").smiles) == {"CCO", "CCN"}
    with pytest.raises(UserError, match=r"Unknown column 'smile'.*Did you mean 'smiles'"):
        read(path, column="smile")


def test_molecules_outside_the_selection_are_rejected(tmp_path: Path) -> None:
    path = write(tmp_path / "own.smi", "CCO\nCCS\nCCN\nCCCCCCCC\n")
    with pytest.warns(UserWarning, match=r"1: it contains S, .*data.elements.*; 1: .*data.max_atoms=12 atoms"):
        library = read(path, elements=("H", "C", "N", "O"), max_atoms=12)
    assert set(library.smiles) == {"CCO", "CCN"}


def test_a_file_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "own.smi", "CCO\nCCN\n")
    read(path)
    with monkeypatch.context() as patch:
        patch.setattr(dataset_module, "prepare_items", lambda *_: pytest.fail("prepared again"))
        assert set(read(path).smiles) == {"CCO", "CCN"}
    write(path, "CCO\nCCF\n")
    assert set(read(path).smiles) == {"CCO", "CCF"}


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("own.smi", "", "contains no molecule that can be used. It is empty"),
        ("own.smi", "nonsense\n", "contains no molecule that can be used. 1: RDKit does not understand its SMILES"),
        ("own.pdb", "", "Unknown kind of molecule file '.pdb'"),
        ("own.csv", "", "Unknown column 'smiles'"),
    ],
)
def test_files_that_cannot_be_used(tmp_path: Path, name: str, text: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        read(write(tmp_path / name, text))


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"data.path=.*gone\.sdf does not exist"):
        read(tmp_path / "gone.sdf")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"name": "file"}, "needs data.path"),
        ({"elements": ("C",)}, "data.elements does not apply to data.name=organic"),
        ({"conditions": ("logp", "logp")}, "twice"),
        ({"conditions": ("log",)}, "logp"),
        ({"max_heavy": 8}, "less than or equal to 7"),
    ],
)
def test_settings_that_contradict_each_other(options: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        MoleculeData(**options)  # type: ignore[arg-type]


def test_a_path_means_a_file() -> None:
    assert MoleculeData(path="own.sdf").name == "file"  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("comment", "columns"),
    [
        ("energy=-1.5 x=3", {"energy": "-1.5", "x": "3"}),
        ("a=-0,5 b=.5 c=5. d=+1e-3", {"a": "-0,5", "b": ".5", "c": "5.", "d": "+1e-3"}),
        ("a=1, b=2; c=3", {"a": "1", "b": "2", "c": "3"}),
        ("a=1,2,3 b=1.2.3 c=2x d=x2 e=", {}),
        ('Lattice="1 0 0" name=C3', {}),
    ],
)
def test_numbers_in_the_comment_of_a_frame_are_columns(comment: str, columns: dict[str, str]) -> None:
    assert frame(1, ["1\n", comment + "\n", "He 0 0 0\n"]).columns == columns


@pytest.mark.parametrize(
    ("name", "text", "what"),
    [
        ("a.smi", "CCO\n" + "C" * 2000 + "\nCCN\n", "a line"),
        ("a.csv", "smiles,note\nCCO," + "x" * 2000 + "\n", "a line"),
        ("a.jsonl", '{"smiles": "' + "C" * 2000 + '"}\n', "a line"),
        ("a.sdf", "\0" * 5000, "a line"),
        ("a.sdf", "line\n" * 500, "a record"),
        ("a.xyz", "3\n\n" + "O 0 0 0\n" * 500, "a frame"),
    ],
)
def test_what_is_too_long_for_a_molecule_is_refused_before_it_fills_the_memory(
    name: str, text: str, what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(text_files, "LONGEST", 1000)
    (tmp_path / name).write_text(text)
    with pytest.raises(UserError, match=rf"{name} holds {what} of more than 1,000 characters"):
        list(items([tmp_path / name], tmp_path, MoleculeData()))
