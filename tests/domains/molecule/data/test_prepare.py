"""Preparing molecules: damaged records, hostile SMILES, .xyz, NCI. Every item is used or counted as rejected."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from molecule_files import C60, DAMAGE, HOSTILE, UNUSUAL, blocks, damaged_sdf, hostile_csv, qm9_folder, same_places
from molecule_sources_cases import read, sodium
from rdkit import Chem

from polydiff.config.merge import resolve
from polydiff.contract.discover import build_domain
from polydiff.core.streams import streams
from polydiff.domains.molecule.config import MoleculeData
from polydiff.domains.molecule.data import dataset as dataset_module
from polydiff.domains.molecule.data import source as source_module
from polydiff.domains.molecule.data.dataset import open_library
from polydiff.domains.molecule.data.files import records
from polydiff.domains.molecule.data.filters import Selection
from polydiff.domains.molecule.data.library import Entry, split
from polydiff.domains.molecule.data.prepare import Item, prepare
from polydiff.domains.molecule.data.source import enumerated_molecules, selection_of, source_of
from polydiff.domains.molecule.domain import MoleculeDomain
from polydiff.support.errors import UserError

pytestmark = pytest.mark.filterwarnings(
    "ignore:.*Molecules left out:UserWarning", "ignore:.*is unknown for all molecules"
)


@pytest.mark.parametrize("kind", DAMAGE)
@pytest.mark.parametrize("separator", ["$$$$\n", ""])
def test_a_damaged_record_affects_itself_only(tmp_path: Path, kind: str, separator: str) -> None:
    before, record, after = blocks(30)[27:30]
    path = tmp_path / "own.sdf"
    path.write_text(f"{before}$$$$\n{DAMAGE[kind](record)}{separator}{after}", errors="surrogateescape")
    found = [prepare(Item("", "record", "\n".join(lines)), Selection()) for lines in records(path)]
    good = [isinstance(entry, Entry) for entry in found]
    if kind == "junk" and not separator:  # whose last lines may stand where the next record's heading does
        assert good[0]
    else:
        assert good == [True, False, True]


@pytest.mark.parametrize("separator", ["$$$$\n", "\n$$$$\n", "\n", ""])
def test_a_record_truncated_anywhere_affects_itself_only(tmp_path: Path, separator: str) -> None:
    before, record, after = blocks(30)[27:30]
    path = tmp_path / "own.sdf"
    for end in [*range(0, len(record), 7), *range(len(record) - 9, len(record))]:
        path.write_text(f"{before}$$$$\n{record[:end]}{separator}{after}")
        found = [prepare(Item("", "record", "\n".join(lines)), Selection()) for lines in records(path)]
        good = [isinstance(entry, Entry) for entry in found]
        torn = [True] if record[:end].rstrip().endswith("M  END") else [False] if record[:end].strip() else []
        glued = separator == "" and end < record.index("V2000")  # what is left of its heading is the next one's
        assert good in ([True, *torn, True], [True, True] if glued else None), end


def check_damaged(path: Path, n: int, every: int, max_heavy: int) -> None:
    records = blocks(n, max_heavy)
    count = damaged_sdf(path, records, every)
    library = read(path)
    assert (library.found, library.used) == (n, n - count)
    assert all(same_places(library, i, records[place]) for i, place in enumerate(library.places.tolist()))
    assert read(path).rejected == library.rejected


def test_a_sdf_with_damaged_records(tmp_path: Path) -> None:
    check_damaged(tmp_path / "own.sdf", 90, 3, 4)


@pytest.mark.slow
def test_a_sdf_of_a_thousand_with_thirty_damaged_records(tmp_path: Path) -> None:
    check_damaged(tmp_path / "own.sdf", 1000, 33, 6)


@pytest.mark.parametrize("smiles", HOSTILE, ids=lambda text: text[:12])
def test_hostile_smiles_are_rejected_with_the_right_reason(smiles: str) -> None:
    rejected = prepare(Item("", "smiles", smiles), Selection(conformers=1))
    assert HOSTILE[smiles] in str(rejected)


def check_hostile(path: Path, good: list[str], hostile: list[str], **options: object) -> None:
    hostile_csv(path, good, hostile)
    library = read(path, conformers=1, conditions=("pIC50",), **options)
    unusual = [smiles for smiles in hostile if smiles in UNUSUAL]
    assert library.found == len(good) + len(hostile)
    lost = library.rejected.get("ETKDG finds no geometry", 0)  # of strained cages
    assert (
        len({Chem.CanonSmiles(smiles, useChiral=0) for smiles in good} - set(library.smiles))
        == lost
        <= len(good) // 500
    )
    assert library.used == len(good) - lost
    assert library.rejected["it repeats an earlier one"] == len(unusual)
    np.testing.assert_allclose(library.column("pIC50"), library.places / 4)


def test_a_table_with_hostile_smiles(tmp_path: Path) -> None:
    good = [smiles for smiles in enumerated_molecules(4) if smiles != "F"]
    check_hostile(tmp_path / "own.csv", good, [*HOSTILE, *UNUSUAL, C60], seconds=1)


@pytest.mark.slow
def test_a_table_of_five_thousand_with_one_in_twenty_hostile(tmp_path: Path) -> None:
    good = [smiles for smiles in enumerated_molecules(7) if smiles != "F"][:4750]
    kinds = [*HOSTILE, *UNUSUAL]
    hostile = [*(kinds[i % len(kinds)] for i in range(248)), C60, C60]
    check_hostile(tmp_path / "own.csv", good, hostile, seconds=10)


def test_an_unclosed_quote_does_not_swallow_further_lines(tmp_path: Path) -> None:
    some = enumerated_molecules(4)[4:40]
    rows = ["CCCCO,1", 'CCCCN,"2', *(f"{smiles},3" for smiles in some), 'CCCCF,"two\nlines"', "CCCC#N,4"]
    path = tmp_path / "own.csv"
    path.write_text("smiles,x\n" + "\n".join(rows) + "\n")
    library = read(path, conformers=1)
    assert library.smiles == ["CCCCO", "CCCCN", *some, "CCCCF", "CCCC#N"]


def test_xyz_files_of_several_frames_and_a_folder_of_them(tmp_path: Path) -> None:
    texts = []
    for text in blocks(30)[10:30]:
        mol = Chem.MolFromMolBlock(text, removeHs=False)
        texts.append(Chem.MolToXYZBlock(mol).replace("\n\n", "\nenergy=-1.5 step=3\n", 1))
    (tmp_path / "all.xyz").write_text("".join(texts[:10]))
    (tmp_path / "deep").mkdir()
    for i, text in enumerate(texts[10:]):
        (tmp_path / "deep" / f"{i}.xyz").write_text(text)
    library = read(tmp_path, conditions=("logp", "energy"))
    assert (library.found, library.used, len(library)) == (20, 20, 20)
    assert (library.column("energy") == -1.5).all()
    assert np.isfinite(library.column("logp")).all()
    records = [same_places(library, i, text) for i, text in enumerate(blocks(30)[10:20])]
    assert all(records)


@pytest.mark.parametrize(
    ("frame", "reason"),
    [
        ("5\n\nC 0 0 0\nH 1 0 0\n", "it is truncated"),
        ("1\n\nXx 0 0 0\n", "element x y z"),
        ("1\n\nC 0 0\n", "element x y z"),
        ("1\n\nC 0 0 here\n", "element x y z"),
        ("1\n\nC 0 nan 0\n", "is not finite"),
        ("2\n\nC 0 0 0\nH 0 0 0\n", "at the same place"),
        ("0\n\n", "no atoms"),
        ("9999999\n\n", "more than data.max_atoms"),
        ("junk\nmore of it\n", "does not start with a number"),
    ],
)
def test_a_damaged_frame_affects_itself_only(tmp_path: Path, frame: str, reason: str) -> None:
    water = "3\nwater\nO 0 0 0.12\nH 0 0.76 -0.48\nH 0 -0.76 -4.8*^-1\n"
    path = tmp_path / "own.xyz"
    path.write_text(frame + water + frame + water)
    library = read(path)
    if frame.startswith("junk"):
        assert library.rejected == {"it does not start with a number of atoms": 1}  # after a frame it is ignored
    else:
        assert {reason in text for text in library.rejected} == {True}
        assert sum(library.rejected.values()) == 2
    assert library.smiles == ["O", "O"]


def test_atoms_without_bonds_are_distinguished_and_have_no_properties(tmp_path: Path) -> None:
    square = "4\nsquare\n" + "".join(f"Na {x} {y} 0\n" for x in (0, 3.2) for y in (0, 3.2))
    row = "4\nrow\n" + "".join(f"Na {3.2 * x} 0 0\n" for x in range(4))
    (tmp_path / "own.xyz").write_text(square + row + row.replace("3.2", "3.1"))
    library = read(tmp_path)
    assert library.smiles[0] != library.smiles[1] == library.smiles[2]
    assert np.isnan(library.properties).all()
    assert not set(split(library, 0.5)["train"].smiles) & set(split(library, 0.5)["test"].smiles)


def test_a_compressed_sdf_and_a_folder_of_several(tmp_path: Path) -> None:
    records = blocks(20)
    (tmp_path / "a.sdf").write_text("$$$$\n".join(records[:12]))
    (tmp_path / "b.sdf.gz").write_bytes(gzip.compress("$$$$\n".join(records[12:]).encode()))
    (tmp_path / "c.csv").write_text("about,these\n1,2\n")
    assert read(tmp_path).used == 20
    (tmp_path / "b.sdf.gz").write_bytes((tmp_path / "b.sdf.gz").read_bytes()[:-20])
    with pytest.raises(UserError, match=r"b\.sdf\.gz cannot be read"):
        read(tmp_path)


def test_data_items_of_records_are_properties(tmp_path: Path) -> None:
    texts = [f"{text}>  <pKa (1)>\n{i / 2}\n\n>  <name>\nx{i}\n\n" for i, text in enumerate(blocks(4))]
    texts[2] = blocks(4)[2]
    (tmp_path / "own.sdf").write_text("$$$$\n".join(texts))
    library = read(tmp_path / "own.sdf", conditions=("pKa_1",))
    np.testing.assert_array_equal(library.column("pKa_1"), [0.0, 0.5, np.nan, 1.5])
    assert "name" not in library.names
    with pytest.raises(UserError, match=r"Unknown condition 'pKa'.*Did you mean 'pKa_1'"):
        read(tmp_path / "own.sdf", conditions=("pKa",))


def test_columns_of_tables_in_other_dialects(tmp_path: Path) -> None:
    (tmp_path / "a.tsv").write_text("Canonical SMILES\tIC50 nM\nCCO\t5\nCCN\t\n")
    library = read(tmp_path / "a.tsv", conditions=("IC50_nM",))
    np.testing.assert_array_equal(library.column("IC50_nM"), np.where(library.places == 0, 5.0, np.nan))
    (tmp_path / "b.csv").write_text('"Name";"Smiles";"x"\n"a;b";"CCO";"1"\n"c";"CCN";"2"\n')
    assert set(read(tmp_path / "b.csv", conditions=("x",)).smiles) == {"CCO", "CCN"}
    for mark in ",;\t|":
        (tmp_path / "c.csv").write_text(f"name{mark}smiles\na{mark}CCO\nb{mark}CCN\n")
        assert set(read(tmp_path / "c.csv").smiles) == {"CCO", "CCN"}


def test_nci_comes_with_rdkit(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    source = source_of(MoleculeData(name="nci"))
    items = list(source.items())
    assert len(items) == 4999
    small = [item for item in items if len(item.text) < 9][:30]
    monkeypatch.setattr(
        dataset_module, "source_of", lambda _: source._replace(items=lambda: small, name="some", key={"some": 1})
    )
    library = open_library(MoleculeData(name="nci", conformers=1))
    assert library.found == 30 == library.used + sum(library.rejected.values())
    assert library.used > 15
    monkeypatch.undo()
    monkeypatch.setattr(source_module.RDConfig, "RDDataDir", str(tmp_path))
    with pytest.raises(UserError, match=r"data.name=nci needs a file of RDKit that this installation lacks"):
        source_of(MoleculeData(name="nci"))


def test_an_unknown_element_symbol_is_an_error() -> None:
    with pytest.raises(UserError, match="'Cx', which is not an element"):
        selection_of(MoleculeData(name="nci", elements=("C", "Cx")))


def test_a_molecule_with_a_unique_element_is_in_the_training_split(tmp_path: Path) -> None:
    for smiles in ("CS", "CSC", "CCS", "CCCS", "CBr", "CCl", "C[Si](C)(C)C"):
        (tmp_path / "own.smi").write_text("\n".join(["CCO", "CCN", "CC", "CCC", "CO", "CN", smiles]))
        parts = split(read(tmp_path / "own.smi", conformers=1), 0.4)
        assert Chem.CanonSmiles(smiles) in parts["train"].smiles
        assert set(parts["test"].numbers) <= set(parts["train"].numbers)


def test_training_on_atoms_without_bonds_and_on_columns(tmp_path: Path) -> None:
    (tmp_path / "own.xyz").write_text("".join(sodium(4, f"charge={i}") + sodium(3) for i in range(4)))
    words = {"data.path": str(tmp_path), "data.conditions": "[charge, logp]", "backbone.hidden": "8"}
    domain = build_domain(resolve("molecule", words=words).config)
    assert isinstance(domain, MoleculeDomain)
    assert domain.quarantine is not None
    assert domain.quarantine.used == 8
    json.dumps(dict(domain.statistics), allow_nan=False)
    batch = domain.batch("train", [0, 1], streams(0, "x", range(2)))
    assert batch.cond is not None
    assert torch.isnan(batch.cond["logp"]).all()
    _, cond = domain.blank(streams(0, "y", range(4)), {"charge": "2"})
    assert cond is not None
    assert torch.isfinite(cond["charge"]).all()
    samples = domain.examples("test", 4)
    assert "error_charge" not in domain.evaluate(samples)
    assert samples.cond is not None
    assert {words["logp"] for words in domain.describe(samples.cond)} == {"any"}


@pytest.mark.parametrize(
    ("conditions", "types", "meaning"),
    [
        ("[C, composition]", "generated", "number of atoms"),
        ("[C]", "given", "number of atoms"),
        ("[valid]", "generated", "key of the manifest"),
        ("[atoms]", "generated", "a condition of every run"),
    ],
)
def test_a_column_with_a_reserved_name_cannot_be_a_condition(
    tmp_path: Path, conditions: str, types: str, meaning: str
) -> None:
    (tmp_path / "own.csv").write_text("smiles,C,valid,atoms,logp\nCCO,7,1,2,99\nCCCO,8,0,3,99\nOCCO,9,1,4,99\n")
    words = {"data.path": str(tmp_path / "own.csv"), "data.types": types, "data.conditions": conditions}
    with pytest.raises(UserError, match=f"cannot be a condition: .*{meaning}"):
        build_domain(resolve("molecule", words=words).config)
    library = read(tmp_path / "own.csv", conditions=("C", "logp"))
    assert set(library.column("C")) == {7, 8, 9}
    assert library.column("logp").max() < 1  # RDKit's


def test_an_infinite_number_counts_as_unknown(tmp_path: Path) -> None:
    (tmp_path / "own.csv").write_text(",smiles,x\n0,CCO,inf\n1,CCCO,-1e999\n2,OCCO,3\n3,CCCCO,4\n")
    library = read(tmp_path / "own.csv", conditions=("x",))
    assert set(library.column("x")[library.places > 1]) == {3, 4}
    assert np.isnan(library.column("x")[library.places < 2]).all()
    assert "" not in library.names


@pytest.mark.parametrize("encoding", ["utf-16", "utf-8-sig", "utf-8"])
def test_encodings_of_spreadsheets(tmp_path: Path, encoding: str) -> None:
    text = "smiles;IC50 µM\r\nCCO;1\r\nCCN;2\r\n".encode(encoding)
    (tmp_path / "a.csv").write_bytes(text)
    (tmp_path / "b.csv.gz").write_bytes(gzip.compress(text))
    for path in tmp_path.iterdir():
        library = read(path, conditions=("IC50_µM",))
        assert (library.used, set(library.smiles)) == (2, {"CCO", "CCN"})


def test_splitting_molecules_with_unique_elements_is_an_error(tmp_path: Path) -> None:
    library = read(qm9_folder(tmp_path / "raw", blocks(3), []))
    with pytest.raises(UserError, match="Of 3 molecules, none can be held out"):
        split(library, 0.2)
