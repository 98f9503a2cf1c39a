"""A user's own molecules: read unchanged, atoms selected by text, kept exactly, and grown."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from rdkit import Chem
from rdkit.Chem import rdDistGeom, rdMolAlign
from repository import ROOT

import polydiff
from polydiff.backbones.config import EGNNConfig
from polydiff.cli import main
from polydiff.config.processes import build_denoiser
from polydiff.core.streams import streams
from polydiff.domains.molecule.chemistry.geometry import Molecule
from polydiff.domains.molecule.config import MoleculeConfig, MoleculeData
from polydiff.domains.molecule.data.inputs import select_atoms
from polydiff.domains.molecule.domain import MoleculeDomain
from polydiff.domains.molecule.space import DenseMolecules, PackedMolecules
from polydiff.gaussian.control.known import Known
from polydiff.gaussian.control.replacement import repaint
from polydiff.gaussian.sampling.execute import run_plan
from polydiff.gaussian.sampling.plan import SAMPLERS
from polydiff.gaussian.sampling.spacing import noise_levels
from polydiff.model.model import Model
from polydiff.model.parts.known import kept
from polydiff.support.errors import UserError


def model_of(layout: str, types: str = "generated") -> Model:
    data = MoleculeData(max_heavy=4, conditions=("logp",), layout=layout, types=types)  # type: ignore[arg-type]
    config = MoleculeConfig(data=data, backbone=EGNNConfig(hidden=16, layers=2))
    domain = MoleculeDomain(config)
    return Model(config, domain, build_denoiser(config, domain, torch.device("cpu")))


@pytest.fixture(scope="module", params=[("dense", "generated"), ("sparse", "generated"), ("sparse", "given")], ids=str)
def model(request: pytest.FixtureRequest) -> Model:
    return model_of(*request.param)


def embedded(smiles: str) -> Chem.Mol:
    mol = Chem.AddHs(Chem.MolFromSmiles(smiles))
    rdDistGeom.EmbedMolecule(mol, randomSeed=7)
    return mol


def without(mol: Chem.Mol, *atoms: int) -> Chem.Mol:
    """Return a fragment: a molecule without some atoms, whose valences stay open."""
    part = Chem.RWMol(mol)
    for i in sorted(atoms, reverse=True):
        part.RemoveAtom(i)
    return part


def write(path: Path, *mols: Chem.Mol) -> Path:
    path.write_text("".join(Chem.MolToMolBlock(mol, kekulize=False) + "$$$$\n" for mol in mols))
    return path


@pytest.fixture
def ethanol(tmp_path: Path) -> Path:
    return write(tmp_path / "ethanol.sdf", embedded("CCO"))


def rmsd(a: np.ndarray, b: np.ndarray) -> float:
    """Return the root mean square distance after a shift without rotation, since known atoms keep their orientation."""
    difference = (a - a.mean(0)) - (b - b.mean(0))
    return float(np.sqrt((difference**2).sum(1).mean()))


def test_files_are_read_unchanged(model: Model, tmp_path: Path) -> None:
    mols = [embedded("CCO"), without(embedded("C1CC1"), 3), embedded("O")]
    given = polydiff.read(model, write(tmp_path / "three.sdf", *mols))
    for molecule, mol in zip(model.domain.decode(given.x, given.space), mols, strict=True):
        assert molecule.numbers.tolist() == [atom.GetAtomicNum() for atom in mol.GetAtoms()]
        assert rmsd(molecule.positions, mol.GetConformer().GetPositions()) < 1e-3
    assert given.cond is not None
    assert given.cond["logp"].isnan().all()
    xyz = tmp_path / "water.xyz"
    xyz.write_text("3\nwater\nO 0 0 0.12\nH 0 0.76 -0.48\nH 0 -0.76 -0.48\n")
    smi = tmp_path / "two.smi"
    smi.write_text("CCO\nCN\n")
    both = polydiff.read(model, [xyz, smi])
    assert [len(m.numbers) for m in model.domain.decode(both.x, both.space)] == [3, 9, 7]


def test_atoms_that_mark_cut_bonds_are_removed(model: Model, tmp_path: Path) -> None:
    cut = Chem.RWMol(embedded("CCO"))
    cut.ReplaceAtom(2, Chem.Atom(0))
    given = polydiff.read(model, write(tmp_path / "cut.sdf", cut))
    (molecule,) = model.domain.decode(given.x, given.space)
    assert sorted(molecule.numbers.tolist()) == [1] * 6 + [6, 6]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        (
            "a.smi",
            "CCCl\n",
            "line 1: the molecule cannot be used because it contains Cl, which the training data do not",
        ),
        ("a.xyz", "1\n\nXx 0 0 0\n", "frame 1: the molecule cannot be used"),
        ("a.sdf", "", "contains 0 molecules"),
        ("a.smi", "C" * 60, "it has more than"),
        ("a.pdb", "ATOM", "Unknown kind of molecule file '.pdb'"),
    ],
)
def test_unusable_files_are_errors(model: Model, tmp_path: Path, name: str, text: str, message: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(UserError, match=message):
        polydiff.read(model, tmp_path / name)
    with pytest.raises(UserError, match="There is no file"):
        polydiff.read(model, tmp_path / "none.sdf")


def test_atoms_are_selected_by_patterns_and_by_numbers(model: Model, ethanol: Path) -> None:
    given = polydiff.read(model, ethanol)
    (molecule,) = model.domain.decode(given.x, given.space)
    named_by: dict[str, list[int]] = {"[OX2H]": [2], "CC": [0, 1], "0,2-4": [0, 2, 3, 4], "[#1]": [3, 4, 5, 6, 7, 8]}
    for text, atoms in named_by.items():
        assert np.flatnonzero(select_atoms(text, molecule)).tolist() == atoms
    wrong = {
        "C(": "Use a SMARTS pattern",
        "c1ccccc1": "c1ccccc1 matches no part of CCO",
        "0,9": "atom 9 does not exist; the molecule has 9",
        "4-2": "the lower number must come first",
    }
    for text, message in wrong.items():
        with pytest.raises(UserError, match=message):
            select_atoms(text, molecule)
    with pytest.raises(UserError, match="RDKit finds no bonds in this molecule"):
        select_atoms("CC", Molecule(molecule.numbers[:-1], molecule.positions[:-1]))


def known_and_mask(model: Model, paths: Path, *, keep: str = "", add: str = "") -> tuple[polydiff.Batch, torch.Tensor]:
    given = polydiff.read(model, paths)
    return kept(model, given, [], [keep] if keep else [], add, streams(0, "grown", range(given.space.batch)))


@pytest.mark.parametrize(("keep", "add"), [("CO", ""), ("0,2", ""), ("", "3"), ("CO", "NH2")])
def test_known_atoms_are_kept_exactly(model: Model, tmp_path: Path, keep: str, add: str) -> None:
    """Elements are equal, and relative positions within 1e-4 Å. Added atoms have the specified elements."""
    path = write(tmp_path / "both.sdf", embedded("CCO"), embedded("CO"))
    given, mask = known_and_mask(model, path, keep=keep, add=add)
    made = polydiff.inpaint(model, given, mask, steps=6, sampler="ddpm", resample=2)
    assert isinstance(model.domain, MoleculeDomain)
    assert isinstance(given.space, DenseMolecules | PackedMolecules)
    more = {"": [], "3": [0] * 3, "NH2": [1, 1, 7]}[add]
    known = model.domain.codec.split_atoms(mask.expand(given.x.shape), given.space)
    whole = polydiff.read(model, path)
    for new, old, chosen in zip(made.examples, model.domain.decode(whole.x, whole.space), known, strict=True):
        here = chosen[:, 0].numpy()
        assert len(new.numbers) == len(old.numbers) + len(more)
        if add == "NH2":
            assert new.numbers[len(old.numbers) :].tolist() == more
        assert np.array_equal(new.numbers[here], old.numbers[here[: len(old.numbers)]])
        assert rmsd(new.positions[here], old.positions[here[: len(old.numbers)]]) < 1e-4


def test_given_elements_complete_a_training_composition(tmp_path: Path) -> None:
    model = model_of("dense", "given")
    path = write(tmp_path / "part.sdf", *[without(embedded("CCO"), 8)] * 12)
    made = polydiff.inpaint(model, *known_and_mask(model, path, add="2"), steps=2).examples
    assert isinstance(model.domain, MoleculeDomain)
    train = model.domain.dataset.splits["train"]
    real = {tuple(sorted(train[i].numbers.tolist())) for i in range(len(train))}
    found = {tuple(sorted(molecule.numbers.tolist())) for molecule in made}
    assert found <= real
    assert len(found) > 1
    with pytest.raises(
        UserError, match=r"No training molecule has these 8 atoms and 40 more\. Specify the elements to add"
    ):
        known_and_mask(model, path, add="40")
    named_ones = polydiff.inpaint(model, *known_and_mask(model, path, add="F40"), steps=1).examples
    assert {(molecule.numbers[8:] == 9).all() for molecule in named_ones} == {True}


@pytest.mark.parametrize("sampler", ["ddpm", "heun", "sa_solver", "dpmpp_2m"])
def test_the_centre_of_mass_stays_at_the_origin(model: Model, tmp_path: Path, sampler: str) -> None:
    path = write(tmp_path / "part.sdf", without(embedded("CCO"), 2, 8), without(embedded("C1CC1"), 3))
    given, mask = known_and_mask(model, path, add="4")
    levels = noise_levels(model.denoiser.schedule, 8)
    rows, space = repaint(levels, sampler, resample=2), given.space
    generators = streams(0, "sample", range(2))
    x = levels[0] * space.noise(generators)
    for step in run_plan(rows, Known(model.denoiser, given.x, mask), x, space, None, generators):
        off = step.x - space.project(step.x)
        assert float(off.abs().max()) < 1e-5 * float(step.x.abs().max())
    assert sampler in SAMPLERS


def test_both_layouts_give_the_same_molecules(tmp_path: Path) -> None:
    path = write(tmp_path / "part.sdf", without(embedded("CCO"), 2, 8), embedded("CO"))
    made = []
    for layout in ("dense", "sparse"):
        model = model_of(layout)
        given, mask = known_and_mask(model, path, add="3")
        made.append(polydiff.inpaint(model, given, mask, steps=5).examples)
    for a, b in zip(*made, strict=True):
        assert np.array_equal(a.numbers, b.numbers)
        np.testing.assert_allclose(a.positions, b.positions, atol=1e-3)


def test_conditions_are_dropped_when_a_molecule_grows(model: Model) -> None:
    given = model.domain.batch("test", range(3), streams(0, "augment", range(3)))
    assert given.cond is not None
    assert given.cond["logp"].isfinite().all()
    larger, mask = kept(model, given, [], [], "2", streams(0, "grown", range(3)))
    assert larger.cond is not None
    assert larger.cond["logp"].isnan().all()
    requested = polydiff.inpaint(model, larger, mask, steps=1, cond={"logp": 1.5})
    assert requested.cond is not None
    assert [row["logp"] for row in model.domain.describe(requested.cond)] == [1.5] * 3


def test_too_many_added_atoms_are_an_error(model: Model, ethanol: Path) -> None:
    with pytest.raises(UserError, match="atoms=309: the largest molecule in training has"):
        known_and_mask(model, ethanol, add="300")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("runs")
    words = {"data.max_heavy": 3, "backbone.hidden": 8, "backbone.layers": 1, "train.steps": 2, "train.batch_size": 4}
    return str(polydiff.train("molecule", folder / "run", overrides={**words, "sample.steps": 3}))


def records(folder: Path) -> list[Chem.Mol]:
    return [Chem.MolFromMolFile(str(p), removeHs=False, sanitize=False) for p in sorted(folder.rglob("*.sdf"))]


def test_the_command_line(trained: str, ethanol: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """inpaint, with --keep and --add, vary and interpolate, from a file of several molecules and from held-out ones."""
    several = write(tmp_path / "several.sdf", embedded("CCO"), embedded("OCC"), embedded("CO"))
    verbs: dict[str, Callable[[str], list[str]]] = {
        "keep": lambda out: ["inpaint", trained, str(ethanol), str(several), "--keep", "[CH2,CH3]", "-o", out],
        "add": lambda out: ["inpaint", trained, str(ethanol), "--add", "2", "--cond", "logp=1", "-o", out],
        "vary": lambda out: ["vary", trained, str(several), str(ethanol), "-o", out],
        "each": lambda out: ["vary", trained, str(several), str(ethanol), "--each", "3", "-o", out],
        "held": lambda out: ["inpaint", trained, "-n", "2", "--gap", "[#1]", "-o", out],
        "between": lambda out: ["interpolate", trained, str(ethanol), str(ethanol), "--steps", "3", "-o", out],
    }
    numbers = {"keep": (4, 4), "add": (1, 1), "vary": (4, 4), "each": (12, 12), "held": (2, 2), "between": (2, 3)}
    for name, words in verbs.items():
        assert main(words(str(tmp_path / name))) == 0, capsys.readouterr().err
        given, made = (records(tmp_path / name / part) for part in ("given", "made"))
        assert (len(given), len(made)) == numbers[name]
    first, *_, last = records(tmp_path / "each" / "made")[-3:]  # of one file, with other noise
    assert not np.allclose(first.GetConformer().GetPositions(), last.GetConformer().GetPositions(), atol=0.01)
    grown = records(tmp_path / "add" / "made")[0]
    assert grown.GetNumAtoms() == 11
    old = records(tmp_path / "add" / "given")[0]
    same = [(i, i) for i in range(9)]
    assert [grown.GetAtomWithIdx(i).GetAtomicNum() for i in range(9)] == [a.GetAtomicNum() for a in old.GetAtoms()]
    assert rdMolAlign.AlignMol(old, grown, atomMap=same) < 2e-4  # a .sdf has 4 digits


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--keep", "c1ccccc1"], "ethanol.sdf: c1ccccc1 matches no part of CCO"),
        (["--keep", "0-8"], "All parts are kept, so there is nothing to generate"),
        ([], "Set either --gap (parts to generate)"),
        (["--add", "900"], "atoms=909: the largest molecule in training has"),
        (["--add", "6", "-n", "3"], "-n and --first select held-out examples"),
        (["--add", "0"], "add 0: specify how many atoms to add, such as 6, or which, such as C2H4"),
        (["--add", "C999999999"], "atoms=1e+09: the largest molecule in training has"),
        (["--add", "9" * 5000], "is not a formula"),
        (["--keep", "0-999999999"], "atom 999999999 does not exist; the molecule has 9 atoms, counted from 0"),
        (["--add", "CCl"], "CCl contains Cl, but the training data contain only H, C, N, O, F"),
        (["--add", "-3"], "-3 is not a formula"),
    ],
)
def test_the_command_line_reports_errors(
    trained: str, ethanol: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], message: str
) -> None:
    assert main(["inpaint", trained, str(ethanol), *words, "-o", str(tmp_path / "out")]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_keeping_all_of_a_padded_molecule_is_an_error(ethanol: Path) -> None:
    model = model_of("dense")
    assert isinstance(model.domain, MoleculeDomain)
    object.__setattr__(model.domain, "codec", replace(model.domain.codec, pad_to=16))
    with pytest.raises(UserError, match="nothing to generate"):
        known_and_mask(model, ethanol, keep="0-8")


def test_the_python_of_the_page_runs(
    trained: str, ethanol: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = (ROOT / "docs" / "molecule.md").read_text()
    (code,) = (text for text in re.findall(r"^```python\n(.*?)^```", page, flags=re.M | re.S) if "grown" in text)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.sdf").write_bytes(ethanol.read_bytes())
    scope: dict[str, Any] = {}
    exec(code.replace("runs/molecule-001", trained), scope)
    (made,) = scope["made"].examples
    assert [*made.numbers[:3], *made.numbers[9:]] == [6, 6, 8, 1, 1, 6]


def test_molecules_with_different_given_elements_cannot_be_interpolated(tmp_path: Path) -> None:
    """If elements are part of the state, they can."""
    ethanol, ether = (
        polydiff.read(model_of("sparse", "given"), write(tmp_path / f"{s}.sdf", embedded(s))) for s in ("CCO", "COC")
    )
    with pytest.raises(UserError, match="elements must be the same and in one order"):
        polydiff.interpolate(model_of("sparse", "given"), ethanol, ether, [0.5], steps=2)
    for model, other in ((model_of("dense", "given"), "CCO"), (model_of("dense"), "COC")):
        a, b = (polydiff.read(model, write(tmp_path / "a.sdf", embedded(s))) for s in ("CCO", other))
        assert len(polydiff.interpolate(model, a, b, [0.5], steps=2)) == 1
