"""Preparing molecules: damaged records, hostile SMILES, .xyz, NCI. Every item is used or counted as rejected."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from molecule_files import (
    C60,
    DAMAGE,
    HOSTILE,
    UNUSUAL,
    blocks,
    damaged_sdf,
    hostile_csv,
    qm9_folder,
    same_places,
    without,
)
from molecule_sources_cases import read, sodium
from rdkit import Chem

from polydiff.config.merge import resolve
from polydiff.contract.discover import build_domain
from polydiff.core.streams import streams
from polydiff.domains.molecule.chemistry.geometry import Molecule, Rejected, embed
from polydiff.domains.molecule.chemistry.identity import molecule_key
from polydiff.domains.molecule.chemistry.perceive import perceive
from polydiff.domains.molecule.chemistry.properties import measure
from polydiff.domains.molecule.codec import Codec
from polydiff.domains.molecule.config import MoleculeData
from polydiff.domains.molecule.data import dataset as dataset_module
from polydiff.domains.molecule.data import source as source_module
from polydiff.domains.molecule.data.dataset import open_library, quarantine_of
from polydiff.domains.molecule.data.files import records
from polydiff.domains.molecule.data.filters import Selection
from polydiff.domains.molecule.data.library import Entry
from polydiff.domains.molecule.data.preparation.entries import BY_RADII, UNKNOWN_BONDS
from polydiff.domains.molecule.data.preparation.prepare import FLAT, NEUTRAL, NO_SMILES, TITLE_FIRST, Item, prepare
from polydiff.domains.molecule.data.source import enumerated_molecules, selection_of, source_of
from polydiff.domains.molecule.domain import MoleculeDomain
from polydiff.domains.molecule.splits import split
from polydiff.support.errors import UserError

pytestmark = pytest.mark.filterwarnings(
    "ignore:.*Molecules left out:UserWarning",
    "ignore:.*is unknown for all molecules",
    "ignore:.*used, .*:UserWarning",
    "ignore:.*column .*:UserWarning",
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
        ("1\n\nZz 0 0 0\n", "element x y z"),
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
    (tmp_path / "own.xyz").write_text("".join(sodium(4, f"dipole={i}") + sodium(3) for i in range(4)))
    words = {"data.path": str(tmp_path), "data.conditions": "[dipole, logp]", "backbone.hidden": "8"}
    domain = build_domain(resolve("molecule", words=words).config)
    assert isinstance(domain, MoleculeDomain)
    assert domain.quarantine is not None
    assert domain.quarantine.used == 8
    json.dumps(dict(domain.statistics), allow_nan=False)
    batch = domain.batch("train", [0, 1], streams(0, "x", range(2)))
    assert batch.cond is not None
    assert torch.isnan(batch.cond["logp"]).all()
    _, cond = domain.blank(streams(0, "y", range(4)), {"dipole": "2"})
    assert cond is not None
    assert torch.isfinite(cond["dipole"]).all()
    samples = domain.examples("test", 4)
    assert "error_dipole" not in domain.evaluate(samples)
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


def record(smiles: str, change: Callable[[str], str] = lambda text: text) -> Entry | Rejected:
    """Return what is prepared from the record of a molecule with positions, changed."""
    return prepare(Item("", "record", change(Chem.MolToMolBlock(embed(smiles, 1)))), Selection())


def far(text: str) -> str:
    """Return a record whose fourth atom is 9999 Å away."""
    return without(text, 7, lambda line: " 9999.0000" + line[10:])


def test_a_record_with_an_atom_far_away_is_rejected_whatever_its_format(tmp_path: Path) -> None:
    assert "longer than 1.5 times" in str(record("CCO", far))
    atoms = Chem.MolToXYZBlock(embed("CCO", 1)).splitlines()
    atoms[5] = "H 9999 0 0"
    assert "several pieces" in str(prepare(Item("", "atoms", "\n".join(atoms)), Selection()))
    assert "several pieces" in str(prepare(Item("", "gdb9", far(Chem.MolToMolBlock(embed("CCO", 1)))), Selection()))
    texts = [Chem.MolToMolBlock(embed(smiles, 1)) for smiles in enumerated_molecules(3) if smiles != "F"]
    (tmp_path / "own.sdf").write_text("$$$$\n".join([*texts, far(Chem.MolToMolBlock(embed("CCO", 1)))]))
    library = read(tmp_path / "own.sdf")
    assert (library.used, list(library.rejected.values())) == (len(texts), [1])
    assert Codec.measure(library)["scale"] < 2


def test_water_in_two_pieces_is_rejected() -> None:
    water = "3\n\nO 0 0 0.12\nH 0 0.76 -0.48\nH 0 -0.76 -0.48"
    two = "6\n\n" + "\n".join([*water.split("\n")[2:], "O 0 0 3.12", "H 0 0.76 2.52", "H 0 -0.76 2.52"])
    assert isinstance(prepare(Item("", "atoms", water), Selection()), Entry)
    assert "several pieces" in str(prepare(Item("", "atoms", two), Selection()))


@pytest.mark.parametrize(
    ("smiles", "written"),
    [("CNC=O", "C[NH+]=C[O-]"), ("CC(=O)NC", "CC([O-])=[NH+]C"), ("N#CC", "[N-]=[C+]C"), ("C1CC1", "[CH2+]C[CH2-]")],
)
@pytest.mark.parametrize("kind", ["record", "gdb9"])
def test_charged_atoms_in_a_file_yield_to_a_perception_without_charges(kind: str, smiles: str, written: str) -> None:
    mol, wrong = embed(smiles, 1), Chem.AddHs(Chem.MolFromSmiles(written))
    order = [atom.GetAtomicNum() for atom in wrong.GetAtoms()]
    assert sorted(order) == sorted(atom.GetAtomicNum() for atom in mol.GetAtoms())
    places = match(mol, wrong)
    conformer = Chem.Conformer(len(order))
    conformer.SetPositions(mol.GetConformer().GetPositions()[places])
    conformer.Set3D(True)
    wrong.AddConformer(conformer, assignId=True)
    entry = prepare(Item("", kind, Chem.MolToMolBlock(wrong)), Selection())
    assert isinstance(entry, Entry)
    assert entry.smiles == molecule_key(mol) == entry.perceived[0]
    assert list(entry.notes) == [NEUTRAL]
    assert entry.properties[0][0] == pytest.approx(measure(mol, ["logp"])[0])


def match(mol: Chem.Mol, wrong: Chem.Mol) -> list[int]:
    """Return the atom of `mol` that each atom of `wrong` stands for: single bonds of `wrong` all occur in `mol`."""
    pattern = Chem.RWMol()
    for atom in wrong.GetAtoms():
        pattern.AddAtom(Chem.AtomFromSmarts(f"[#{atom.GetAtomicNum()}]"))
    for bond in wrong.GetBonds():
        pattern.AddBond(bond.GetBeginAtomIdx(), bond.GetEndAtomIdx(), Chem.BondType.UNSPECIFIED)
    query = Chem.AdjustQueryProperties(pattern.GetMol(), GENERIC)
    return list(mol.GetSubstructMatch(query))


GENERIC = Chem.AdjustQueryParameters.NoAdjustments()
GENERIC.makeBondsGeneric = True


@pytest.mark.parametrize("smiles", ["C[N+](=O)[O-]", "[NH3+]CC(=O)[O-]", "C[N+]#[C-]", "CN=[N+]=[N-]"])
def test_charges_that_perception_needs_too_are_kept_without_a_remark(smiles: str) -> None:
    entry = record(smiles)
    assert isinstance(entry, Entry)
    assert (entry.smiles, list(entry.notes)) == (molecule_key(Chem.MolFromSmiles(smiles)), [])


def test_frames_without_bonds_are_counted_and_attempted_twice(tmp_path: Path) -> None:
    ring = Chem.MolToXYZBlock(embed("O=C1OCO1", 1))
    assert perceive(Molecule(*arrays(ring))) is None
    (tmp_path / "own.xyz").write_text(ring + sodium(4) + Chem.MolToXYZBlock(embed("CCO", 1)))
    with pytest.warns(UserWarning, match=r"used, 1: RDKit perceives no bonds in it, .* \(frame 2\)"):
        library = read(tmp_path / "own.xyz")
    assert library.notes == {BY_RADII: 1, UNKNOWN_BONDS: 1}
    assert library.smiles[0] == "O=C1OCO1"
    assert list(library.perceived) == ["", "", "CCO"]
    assert np.isfinite(library.column("logp")).tolist() == [True, False, True]
    quarantine = quarantine_of(library, MoleculeData(path=Path("own.xyz")))
    assert any(UNKNOWN_BONDS in note for note in quarantine.notes.values())
    assert (quarantine.used, quarantine.left_out) == (3, 0)


def arrays(block: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the atomic numbers and positions of an .xyz block."""
    mol = Chem.MolFromXYZBlock(block)
    return np.array([atom.GetAtomicNum() for atom in mol.GetAtoms()]), mol.GetConformer().GetPositions()


@pytest.mark.parametrize("where", ["own.mol", "folder"])
def test_a_mol_file_is_a_record(tmp_path: Path, where: str) -> None:
    (tmp_path / "folder").mkdir()
    texts = [Chem.MolToMolBlock(embed(smiles, 1)) for smiles in ("CCO", "CC#N")]
    for place, text in (("own.mol", texts[0]), ("folder/a.mol", texts[0]), ("folder/b.MOL", texts[1])):
        (tmp_path / place).write_text(text)
    library = read(tmp_path / where)
    assert list(library.smiles) == (["CCO"] if where == "own.mol" else ["CCO", "CC#N"])
    assert same_places(library, 0, texts[0])


def test_a_list_with_titles_first_has_a_reason_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "own.smi").write_text("ZINC12 CCO\nZINC13 CCN\nCCC ZINC14\nfoo bar\nfoo\n")
    assert read(tmp_path / "own.smi", conformers=1).rejected == {TITLE_FIRST: 2, NO_SMILES: 2}


@pytest.mark.parametrize(("code", "noted"), [("  ", True), ("2D", False), ("3D", False)])
def test_a_flat_record_without_a_dimension_code_is_counted(code: str, noted: bool) -> None:
    mol = embed("O", 1)
    r = mol.GetConformer().GetPositions()
    r = (r - r.mean(0)) @ np.linalg.svd(r - r.mean(0))[2].T
    r[:, 2] = 0
    mol.GetConformer().SetPositions(r)
    text = without(Chem.MolToMolBlock(mol), 1, lambda line: line[:20].ljust(20) + code)
    entry = prepare(Item("", "record", text), Selection())
    assert isinstance(entry, Entry)
    assert list(entry.notes) == ([FLAT] if noted else [])
    assert bool(entry.source) == (code != "3D")


def test_one_decimal_comma_does_not_drop_a_column(tmp_path: Path) -> None:
    (tmp_path / "own.csv").write_text("smiles;x;y\nCCO;0,5;1\nCCN;1.5;n/a\nCCC;2;3\n")
    with pytest.warns(UserWarning, match=r"column x: numbers with a decimal comma: 1, such as '0,5' \(line 2\)"):
        library = read(tmp_path / "own.csv", conditions=("x",), conformers=1)
    assert set(library.column("x")) == {0.5, 1.5, 2}
    assert "y" not in library.names
    assert any("column y is not read: it has 2 numbers" in remark for remark in library.remarks)


def test_remarks_are_kept_in_the_cache(tmp_path: Path) -> None:
    (tmp_path / "own.xyz").write_text(sodium(4) + sodium(3, "x=1") + sodium(2, "x=1e30"))
    first, again = read(tmp_path / "own.xyz"), read(tmp_path / "own.xyz")
    assert first.notes == again.notes == {UNKNOWN_BONDS: 3}
    assert (list(first.perceived), first.remarks) == (list(again.perceived), again.remarks)
