"""Which columns of a user's molecules become captions and classes, for each kind of file."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from molecule_cases import molecule
from rdkit import Chem

from polydiff.config.saved import section_defaults
from polydiff.domains.molecule.config import MoleculeConfig, MoleculeData
from polydiff.domains.molecule.data.dataset import open_library, quarantine_of
from polydiff.domains.molecule.data.described import described_columns, rows_of
from polydiff.domains.molecule.data.inspect import inspect_molecules
from polydiff.support.errors import UserError

TEXTS = {"CCO": "an alcohol", "CCN": "an amine", "CCC": ""}


def csv(path: Path) -> Path:
    rows = [f'{smiles},"{text}",{i}' for i, (smiles, text) in enumerate(TEXTS.items())]
    path.write_text("smiles,caption,number\n" + "\n".join(rows) + "\n")
    return path


def jsonl(path: Path) -> Path:
    rows = [json.dumps({"SMILES": smiles, "text": text or None}) for smiles, text in TEXTS.items()]
    path.write_text("\n".join([*rows, "not JSON"]) + "\n")
    return path


def smi(path: Path) -> Path:
    path.write_text("smiles text\n" + "".join(f"{smiles}\t{text}\n" for smiles, text in TEXTS.items()))
    return path


def sdf(path: Path) -> Path:
    text = ""
    for smiles, caption in TEXTS.items():
        block = Chem.MolToMolBlock(Chem.MolFromSmiles(smiles))
        lines = caption.replace(" ", "\n")  # a value of several lines
        text += f"{block}>  <text>\n{lines}\n\n>  <other>\n3\n\n$$$$\n"
    path.write_text(text)
    return path


def xyz(path: Path) -> Path:
    text = ""
    for smiles, caption in TEXTS.items():
        one = molecule(smiles)
        atoms = [f"{z} {x} {y} {w}" for z, (x, y, w) in zip(one.numbers, one.positions, strict=True)]
        text += f'{len(atoms)}\nenergy=1.5 text="{caption}" Properties=species:S:1:pos:R:3\n' + "\n".join(atoms) + "\n"
    path.write_text(text)
    return path


FILES: dict[str, Callable[[Path], Path]] = {"csv": csv, "jsonl": jsonl, "smi": smi, "sdf": sdf, "xyz": xyz}


@pytest.mark.filterwarnings("ignore:.*left out")
@pytest.mark.parametrize("kind", FILES)
def test_each_kind_of_file_has_captions_also_from_the_cache(kind: str, tmp_path: Path) -> None:
    data = MoleculeData(path=FILES[kind](tmp_path / f"own.{kind}"), conditions=(), conformers=1)
    for _ in range(2):  # prepared, then from the cache
        library = open_library(data)
        rows = rows_of(described_columns(data, library), library)
        found = {one: row.get("text", "") for one, row in zip(library.smiles, rows, strict=True)}
        assert found == TEXTS
        assert quarantine_of(library, data).notes["captioned"] == "2 have a caption, 1 have none"


def test_an_uncompressed_list_without_a_header_has_a_title(tmp_path: Path) -> None:
    (tmp_path / "own.smi").write_text("CCO an alcohol\nCCN  an amine\nCCC\n")
    data = MoleculeData(path=tmp_path / "own.smi", captions="title", conditions=(), conformers=1)
    library = open_library(data)
    assert library.cells("title", [0, 1, 2]) == ["an alcohol", "an amine", None]
    auto = data.model_copy(update={"captions": "auto"})
    assert described_columns(auto, library) == {}


@pytest.mark.parametrize(
    ("options", "found"),
    [
        ({}, {"text": ("caption", "text")}),
        ({"captions": "none"}, {}),
        ({"captions": "caption", "conditions": ("number",)}, {"text": ("caption", "text")}),
        (
            {"captions": "none", "conditions": ("caption:text", "number:class")},
            {"caption": ("caption", "text"), "number": ("number", "class")},
        ),
        ({"captions": "none", "conditions": ("caption",)}, {"caption": ("caption", "class")}),
    ],
)
def test_keys_decide_which_columns_are_conditions(
    options: dict[str, object], found: dict[str, object], tmp_path: Path
) -> None:
    data = MoleculeData(**{"path": csv(tmp_path / "own.csv"), "conditions": (), "conformers": 1, **options})  # type: ignore[arg-type]
    assert described_columns(data, open_library(data)) == found


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"captions": "captoin"}, "Unknown column 'captoin'.*'caption'"),
        ({"conditions": ("captoin:text",)}, "Unknown condition 'captoin'.*'caption'"),
        ({"conditions": ("caption:number",)}, "caption cannot have the type number: item 1 has 'an alcohol'"),
        ({"conditions": ("caption:embedding",)}, "type of column caption"),
        ({"conditions": ("logp:text",)}, "computed by RDKit"),
    ],
)
def test_columns_that_cannot_be_conditions_are_errors(options: dict[str, object], message: str, tmp_path: Path) -> None:
    data = {"path": csv(tmp_path / "own.csv"), "conditions": (), "conformers": 1, **options}
    with pytest.raises(UserError, match=message):
        open_library(MoleculeData(**data))  # type: ignore[arg-type]


def test_a_configuration_from_before_the_key_has_no_captions() -> None:
    assert section_defaults(MoleculeConfig)["data.captions"] == "none"
    assert MoleculeConfig().data.captions == "auto"


def test_the_inspection_names_captions_and_further_texts(tmp_path: Path) -> None:
    data = MoleculeData(path=csv(tmp_path / "own.csv"), conditions=("logp",), conformers=1)
    found = inspect_molecules(MoleculeConfig(data=data), ())
    assert found.problems == []
    assert found.facts["conditions"] == "logp, text (text of up to 2 tokens)"
    assert found.facts["other columns"].startswith("number; data.conditions=logp,number")
