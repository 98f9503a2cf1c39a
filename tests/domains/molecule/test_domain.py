"""The domain of molecules: conditions in physical units, sizes, metrics, drawings and files."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import torch
from domain_cases import noise
from rdkit import Chem

from polydiff.backbones.config import EGNNConfig
from polydiff.config.merge import resolve
from polydiff.config.processes import build_denoiser
from polydiff.contract.discover import build_domain
from polydiff.contract.domain import Samples
from polydiff.core.streams import streams
from polydiff.domains.molecule.chemistry.geometry import Molecule
from polydiff.domains.molecule.chemistry.perceive import formula
from polydiff.domains.molecule.chemistry.properties import PROPERTIES
from polydiff.domains.molecule.condition_sampler import NEAREST_PROFILES
from polydiff.domains.molecule.config import MoleculeConfig, MoleculeData, Property
from polydiff.domains.molecule.data import dataset
from polydiff.domains.molecule.domain import MoleculeDomain
from polydiff.domains.molecule.metrics import evaluation
from polydiff.domains.molecule.space import DenseMolecules, PackedMolecules
from polydiff.model.edit import vary
from polydiff.model.model import Model
from polydiff.support.errors import UserError
from polydiff.testing.domain import check_domain
from polydiff.training.data import batches


def config(**data: object) -> MoleculeConfig:
    options = {"max_heavy": 4, **data}
    return MoleculeConfig(data=MoleculeData(**options), backbone=EGNNConfig(hidden=16, layers=2))  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def domain() -> MoleculeDomain:
    return MoleculeDomain(config(conditions=("logp", "tpsa")))


@pytest.mark.parametrize("options", [{"layout": "dense"}, {"layout": "sparse", "conditions": ()}])
def test_the_domain_passes_the_conformance_checks(options: dict[str, object]) -> None:
    assert [check for check in check_domain(config(**options), examples=8) if not check.passed] == []


def test_the_config_lists_all_properties() -> None:
    assert Property.__args__ == (*PROPERTIES, "composition")  # type: ignore[attr-defined]


@pytest.mark.parametrize("repeated", [{}, {"data.bonds": True}])
def test_the_preset_bonds_is_completed_by_what_bonds_need(repeated: dict[str, object]) -> None:
    bonds = resolve("molecule", "bonds", values=repeated)
    assert (bonds.config.sample.steps, bonds.provenance["sample.steps"]) == (120, "follows from data.bonds")
    assert (bonds.config.backbone.pair, bonds.provenance["backbone.pair"]) == (32, "follows from data.bonds")  # type: ignore[attr-defined]
    assert bonds.config.parts.keys() == {"positions", "bonds"}
    assert bonds.config.parts["bonds"].options == {"eta": 20, "temperature": 0.5}
    chosen = resolve("molecule", "quick", values={"data.bonds": True})
    assert (chosen.config.sample.steps, chosen.provenance["sample.steps"]) == (120, "follows from data.bonds")


def test_options_of_parts_have_their_defaults_one_by_one() -> None:
    values = {
        "data.bonds": True,
        "parts.bonds.options": {"temperature": 0.7},
        "parts.atoms.schedule_options": {"power": 2},
    }
    parts = resolve("molecule", values=values).config.parts
    assert parts["bonds"].options == {"eta": 20, "temperature": 0.7}
    assert parts["atoms"].schedule_options == {"middle": 0.1, "power": 2}
    other = resolve("molecule", values={**values, "parts.atoms.schedule": "cosine", "parts.bonds.sampler": "ancestral"})
    with_others = {name: (part.schedule_options, part.options) for name, part in other.config.parts.items()}
    assert with_others["atoms"] == ({"power": 2}, {"eta": 20})
    assert with_others["bonds"] == ({"middle": 0.1, "power": 1.4}, {"temperature": 0.7})


def test_the_preset_bonds_takes_other_samplers_of_letters_but_not_points_alone() -> None:
    other = resolve("molecule", "bonds", values={"parts.bonds.sampler": "ancestral"}).config.parts["bonds"]
    assert (other.sampler, other.options) == ("ancestral", {"temperature": 0.5})
    with pytest.raises(UserError, match=r"preset=bonds needs data\.bonds=true; without bonds, take the preset quick"):
        resolve("molecule", "bonds", values={"data.bonds": False})


def test_statistics_are_json_and_suffice_without_the_data(
    domain: MoleculeDomain, monkeypatch: pytest.MonkeyPatch
) -> None:
    statistics = json.loads(json.dumps(domain.statistics))
    monkeypatch.setattr(dataset, "open_library", lambda _: pytest.fail("read the data"))
    again = build_domain(domain.config, statistics)
    a, b = (d.blank(streams(0, "blank", range(9)), {"logp": "1"}) for d in (domain, again))
    assert torch.equal(a[0].dim, b[0].dim)
    assert len(again.decode(a[0].noise(streams(0, "noise", range(9))), a[0])) == 9


def test_conditions_are_standardised_and_described_in_physical_units(domain: MoleculeDomain) -> None:
    n = domain.size("train")
    _, _, cond = domain.batch("train", range(n), streams(0, "augment", range(n)))
    assert cond is not None
    for value in cond.values():
        assert float(value.mean()) == pytest.approx(0, abs=1e-5)
        assert float(value.std(correction=0)) == pytest.approx(1, abs=1e-5)
    tpsa = domain.dataset.splits["train"].column("tpsa")
    assert [row["tpsa"] for row in domain.describe(cond)] == pytest.approx(tpsa.tolist(), abs=1e-3)


def test_requests_are_in_physical_units(domain: MoleculeDomain) -> None:
    space, cond = domain.blank(streams(0, "blank", range(20)), {"logp": "1.5", "atoms": "11"})
    assert isinstance(space, DenseMolecules | PackedMolecules)
    assert space.sizes.tolist() == [11] * 20
    assert cond is not None
    described = domain.describe(cond)
    assert {row["logp"] for row in described} == {1.5}
    assert len({row["tpsa"] for row in described}) > 1


def test_unspecified_conditions_are_drawn_as_in_training(domain: MoleculeDomain) -> None:
    n = 4000
    space, cond = domain.blank(streams(0, "blank", range(n)), {})
    assert isinstance(space, DenseMolecules | PackedMolecules)
    assert cond is not None
    sizes = domain.dataset.splits["train"].sizes
    drawn, real = np.bincount(space.sizes.numpy(), minlength=30) / n, np.bincount(sizes, minlength=30) / len(sizes)
    assert np.abs(drawn - real).max() < 0.03
    real_correlation = np.corrcoef(sizes, domain.dataset.splits["train"].column("logp"))[0, 1]
    assert np.corrcoef(space.sizes.numpy(), cond["logp"].numpy())[0, 1] == pytest.approx(real_correlation, abs=0.05)


def test_unspecified_conditions_are_drawn_near_the_specified_ones(domain: MoleculeDomain) -> None:
    train = domain.dataset.splits["train"]
    requested = float(np.quantile(train.column("tpsa"), 0.95))
    _, cond = domain.blank(streams(0, "blank", range(500)), {"tpsa": str(requested)})
    assert cond is not None
    near = np.argsort(np.abs(train.column("tpsa") - requested), kind="stable")[:NEAREST_PROFILES]
    drawn = np.mean([row["logp"] for row in domain.describe(cond)])
    assert drawn == pytest.approx(train.column("logp")[near].mean(), abs=0.15)


@pytest.mark.parametrize(
    ("requested", "message"),
    [
        ({"logq": "1"}, "Unknown condition 'logq'. Did you mean 'logp'"),
        ({"rings": "1"}, r"train a run with data\.conditions=\[rings\]"),
        ({"logp": "high"}, "logp=high: logp must be a number"),
        ({"logp": "nan"}, "logp=nan: logp must be a number"),
        ({"atoms": "7.5"}, "atoms must be a whole number"),
        ({"atoms": "0"}, "atoms must be a whole number of at least 1"),
    ],
)
def test_invalid_requests_are_errors(domain: MoleculeDomain, requested: dict[str, str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        domain.blank(streams(0, "blank", range(2)), requested)


def test_a_number_of_atoms_can_be_requested_but_not_changed_or_avoided(domain: MoleculeDomain) -> None:
    denoiser = build_denoiser(domain.config, domain, torch.device("cpu"))
    model = Model(domain.config, domain, denoiser)
    assert [len(example[0]) for example in model.sample(2, cond={"atoms": 9}, steps=1).examples] == [9, 9]
    given = domain.batch("test", range(2), streams(0, "augment", range(2)))
    uses = (
        lambda: vary(model, given, cond={"atoms": 9}),
        lambda: model.sample(2, guidance=2.0, negative={"atoms": 9}),
    )
    for use in uses:
        with pytest.raises(UserError, match="atoms=9: this sets the size of new samples"):
            use()
    with pytest.raises(UserError, match="atoms=x: atoms must be a whole number"):
        vary(model, given, cond={"atoms": "x"})


def test_real_molecules_have_their_conditions_and_are_examined_once(
    domain: MoleculeDomain, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = domain.examples("test", 20)
    metrics = domain.evaluate(real)
    monkeypatch.setattr(evaluation, "examine", None)  # the findings are cached
    found = domain.measures(real)
    assert next(iter(found)) == "logp"
    assert found["logp"].values == pytest.approx(found["logp"].requested, abs=1e-4)
    assert found["gyration"].requested == []
    assert found["gyration"].unit == "Å"
    assert metrics["error_logp"].value == pytest.approx(0, abs=1e-4)
    assert metrics["bond_lengths"].value < 0.02
    assert metrics["valid_connected_rdkit"].error > 0


def test_real_molecules_pass_and_noise_does_not(domain: MoleculeDomain) -> None:
    real, floor = domain.evaluate(domain.examples("test", 200)), domain.evaluate(noise(domain, 100))
    for name in ("valid_connected_rdkit", "precision", "recall_held_out", "novel"):
        assert real[name].value == 1
    assert real["edm_molecule_stable"].value > 0.9
    assert real["strain_mmff"].value == pytest.approx(0, abs=1e-3)
    assert real["error_tpsa"].value == pytest.approx(0, abs=1e-3)
    assert floor["valid_connected_rdkit"].value < 0.05
    assert floor["edm_molecule_stable"].value < 0.01


def test_drawings_are_valid_xml_with_captions(domain: MoleculeDomain) -> None:
    for samples in (domain.examples("test", 8), noise(domain, 8)):
        page = domain.show(samples)
        assert len(page) < 100_000
        drawings = re.findall(r"<svg.*?</svg>", page, re.DOTALL)
        assert len(drawings) == 8
        for drawing in drawings:
            ElementTree.fromstring(drawing)
        assert page.count("<figcaption") == page.count("logp ") == 8
    assert "no molecule" in page


def test_files_are_read_back(domain: MoleculeDomain, tmp_path: Path) -> None:
    samples = domain.examples("test", 6)
    entries = domain.save(samples, tmp_path)
    for entry, molecule in zip(entries, samples.examples, strict=True):
        (mol,) = Chem.SDMolSupplier(str(tmp_path / entry["file"]), removeHs=False)
        assert Chem.CanonSmiles(Chem.MolToSmiles(Chem.RemoveHs(mol)), useChiral=False) == entry["smiles"]
        assert entry["valid"] is True
        np.testing.assert_allclose(mol.GetConformer().GetPositions(), molecule.positions, atol=1e-4)
    (first, *_) = domain.save(noise(domain, 3), tmp_path / "noise")
    mol = Chem.MolFromMolFile(str(tmp_path / "noise" / first["file"]), sanitize=False, removeHs=False)
    assert (first["smiles"], first["valid"]) == (None, False)
    assert mol.GetNumBonds() == 0


def test_layouts_give_the_same_conditions_and_sizes() -> None:
    dense, sparse = (MoleculeDomain(config(layout=layout)) for layout in ("dense", "sparse"))
    generators = streams(0, "augment", range(12))
    a, b = (d.batch("train", range(12), generators) for d in (dense, sparse))
    assert isinstance(b.space, PackedMolecules)
    assert torch.equal(a.space.dim, b.space.dim)
    assert a.cond is not None
    assert b.cond is not None
    assert torch.equal(a.cond["logp"], b.cond["logp"])


def test_epochs_visit_every_geometry(domain: MoleculeDomain) -> None:
    size = domain.size("train")
    batch = batches(domain, size, seed=0)(0)
    expected = sum(domain.dataset.splits["train"].sizes)
    assert int(batch.space.dim.sum()) == 3 * (expected - size) + 5 * expected
    assert not math.isnan(float(batch.x.sum()))


def test_numbers_of_elements_are_withheld_all_or_none() -> None:
    domain = MoleculeDomain(config(conditions=("logp", "composition")))
    draw = batches(domain, 64, seed=0, condition_dropout=0.5)
    conds = [draw(step).cond for step in range(8)]
    gone = {name: torch.cat([cond[name].isnan() for cond in conds if cond]) for name in domain.conditions}
    symbols = domain.together
    assert len(symbols) == 5
    assert all(torch.equal(gone[symbol], gone["C"]) for symbol in symbols)
    assert 0.65 < float(gone["C"].float().mean()) < 0.85  # 1 - 0.5 * 0.5
    assert not torch.equal(gone["C"], gone["logp"])


def test_captions_tell_requested_from_measured_conditions() -> None:
    domain = MoleculeDomain(config(conditions=("logp", "composition")))
    real = domain.examples("test", 4)
    assert real.cond is not None
    page = domain.show(real)
    assert "requested" not in page
    assert "measured" not in page
    wanted = {name: torch.full_like(values, 3.0) for name, values in real.cond.items()}
    page = domain.show(Samples(real.examples, wanted))
    (logp, *_), (described, *_) = domain.describe(real.cond), domain.describe(wanted)
    captions = re.findall(r"<figcaption.*?</figcaption>", page)
    assert f"<br>requested logp {described['logp']}, " in captions[0]
    assert f"<br>measured logp {logp['logp']}, {formula(real.examples[0])}" in captions[0]
    lost = domain.show(Samples([collapsed(one) for one in real.examples], wanted))
    assert "requested logp" in lost
    assert "measured logp" not in lost


def collapsed(molecule: Molecule) -> Molecule:
    """Return a molecule whose atoms are all at the origin."""
    return Molecule(molecule.numbers, molecule.positions * 0)
