"""Tests of `polydiff.domains.molecule.data.inspect`."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from molecule_files import blocks, qm9_folder
from molecule_sources_cases import sodium
from rdkit import Chem

from polydiff.cli import main
from polydiff.domains.molecule.config import MoleculeData
from polydiff.domains.molecule.data.dataset import open_library, rejection_reasons

pytestmark = pytest.mark.filterwarnings(
    "ignore:.*Molecules left out:UserWarning", "ignore:.*is unknown for all molecules"
)


def check(capsys: pytest.CaptureFixture[str], path: Path, *words: str, code: int = 0) -> dict[str, Any]:
    assert main(["data", "check", str(path), *words, "--json"]) == code
    report: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert report["domain"] == "molecule"
    return report


def test_data_check_describes_a_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "own.csv"
    path.write_text(
        "smiles,pIC50,name,year,source\nCCO,5,a,2020,x\nCCN,,b,2020,x\nCC[Si](C)(C)C,7,c,2020,x\nCCCCCCCCC,1,d,2020,x\n"
        "nonsense,2,e,2020,x\nOCC,3,f,2020,x\nCCCO,6,g,2020,x\n"
    )
    report = check(capsys, path, "data.max_atoms=20")
    assert (report["found"], report["used"], report["left_out"], report["excluded"]) == (7, 4, 3, {})
    assert "1: RDKit does not understand its SMILES (line 6)" in report["notes"].values()
    facts = report["facts"]
    assert facts["files"] == {".csv": 1}
    assert facts["molecules with"] == {"H": 4, "C": 4, "N": 1, "O": 2, "Si": 1}
    assert facts["geometries"] == {"given or known": 0, "to be computed": 4}
    assert facts["column pIC50"] == {"least": 5, "half": 6, "greatest": 7, "missing": 1}
    assert sum(facts["sides"].values()) == 4
    assert facts["minutes to compute"] >= 0
    assert facts["conditions"] == "logp, gyration, composition"
    columns = (
        "pIC50, name:text; data.conditions=logp,gyration,composition,pIC50,name:text conditions the network on them"
    )
    assert facts["other columns"] == columns
    assert facts["largest principal standard deviation"] > 0.5
    assert facts["sigma_max"] == "20, as configured"
    named = check(capsys, path, "data.conditions=[pIC50, name:text]")["facts"]
    assert named["conditions"].startswith("pIC50, name (text of up to 1 token")
    assert "other columns" not in named
    report = check(capsys, path, "data.conditions=[pIC5]", code=2)
    assert "Unknown condition 'pIC5'. Did you mean 'pIC50'" in report["problems"][0]


def test_data_check_gives_advice(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bare = [Chem.RemoveHs(Chem.MolFromMolBlock(text, removeHs=False)) for text in blocks(80)[60:]]
    (tmp_path / "own.sdf").write_text("$$$$\n".join(map(Chem.MolToMolBlock, bare)))
    assert check(capsys, tmp_path / "own.sdf", code=2)["advice"] == {"data.add_hydrogens": True}
    assert check(capsys, tmp_path / "own.sdf", "data.add_hydrogens=true")["used"] == 20
    (tmp_path / "a.xyz").write_text(sodium(4) + sodium(3))
    assert check(capsys, tmp_path / "a.xyz")["advice"] == {"data.conditions": ["composition"]}


def test_data_check_of_qm9(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report = check(capsys, qm9_folder(tmp_path / "raw", blocks(40), [7]), "data.conditions=[alpha]")
    assert (report["found"], report["used"], report["problems"]) == (40, 39, [])
    assert report["facts"]["sides"] == {"train": 30, "test": 3, "neither": 6}


def test_data_check_lists_files_that_are_not_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.xyz").write_text(sodium(4) + sodium(3))
    (tmp_path / "b.smi").write_text("CCO\nCCN\n")
    (tmp_path / "c.csv.gz").write_bytes(gzip.compress(b"smiles\nCCO\n"))
    facts = check(capsys, tmp_path)["facts"]
    assert (facts["files"], facts["files not read"]) == ({".xyz": 1}, {".smi": 1, ".csv": 1})
    assert "files not read" not in check(capsys, tmp_path / "a.xyz")["facts"]


def test_data_check_counts_as_training_does(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "own.smi"
    path.write_text(
        "\n".join(["F", "[Fe]", "[H][H]", "CB(O)O", "C[Si](C)(C)C", "CCO", "CCN", "OCC", "C[CH2]", "CC=O", "x"])
    )
    report = check(capsys, path)
    with pytest.warns(UserWarning, match="left out"):
        library = open_library(MoleculeData(path=path, conformers=1))
    assert (report["found"], report["used"]) == (library.found, library.used)
    assert set(report["notes"].values()) == set(rejection_reasons(library))
    assert sum("MMFF94s has no parameters" in note for note in report["notes"].values()) == 1


def test_data_check_lists_files_of_other_kinds(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.xyz").write_text(sodium(4) + sodium(3))
    (tmp_path / "sub").mkdir()
    for name in ("b.pdb", "sub/c.pdb", "README", "labels.json", ".hidden"):
        (tmp_path / name).write_text("x")
    assert check(capsys, tmp_path)["facts"]["files not read"] == {".pdb": 2, "": 1, ".json": 1}


def test_data_check_reports_remarks(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "own.xyz").write_text(sodium(4) + sodium(3))
    notes = check(capsys, tmp_path / "own.xyz")["notes"].values()
    assert any(note.startswith("used, 2: RDKit perceives no bonds in it") for note in notes)


def test_data_check_lists_files_that_are_not_read_with_the_account(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.smi").write_text("CCO\nCCN\nCCC\nCCF\nCO\nCN\nCC\nCF\n")
    (tmp_path / "captions.json").write_text("{}")
    (tmp_path / "b.pdb").write_text("x")
    report = check(capsys, tmp_path)
    assert report["ignored"] == {".json": 1, ".pdb": 1}
    assert "captions" in report["notes"]
