"""The example of torsions: its geometry, its Boltzmann law, and all that a run of it can do."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from fake_plugins import DOMAINS, distribution, on_path
from repository import ROOT
from tiny_runs import TINY, assert_same_run, stop_at

import polydiff
from polydiff.config.merge import resolve
from polydiff.judging.likelihood import likelihood
from polydiff.support.errors import UserError
from polydiff.testing.domain import check_domain

pytest.importorskip("rdkit")
SMALL = {**TINY, "backbone.hidden": 16, "backbone.layers": 1, "data.n_train": 256, "data.n_test": 256}
PENTANE = {**SMALL, "data.smiles": "CCCCC"}


@pytest.fixture(scope="module", autouse=True)
def installed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    folder = tmp_path_factory.mktemp("torsions")
    distribution(folder, "polydiff-torsions", {DOMAINS: {"torsions": "polydiff_torsions:SPEC"}})
    with pytest.MonkeyPatch.context() as patch:
        on_path(patch, ROOT / "examples" / "torsions", folder)
        yield


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> polydiff.Model:
    return polydiff.load(polydiff.train("torsions", tmp_path_factory.mktemp("run") / "run", overrides=PENTANE))


def test_bonds_turn_by_their_torsions_and_keep_their_lengths_and_angles() -> None:
    from polydiff_torsions.rotor import Rotor

    rotor = Rotor.of("OCC(C)CC=O")
    angles = np.random.default_rng(0).uniform(-np.pi, np.pi, (20, len(rotor.torsions)))
    x = rotor.coordinates(angles)
    assert len(rotor.torsions) == 4  # H-O, two C-C of the chain, and the one of the aldehyde
    assert np.abs(np.exp(1j * rotor.angles(x)) - np.exp(1j * angles)).max() < 1e-12
    bonds = [(bond.GetBeginAtomIdx(), bond.GetEndAtomIdx()) for bond in rotor.molecule.GetBonds()]
    ends = [(a, d) for a, b in bonds for c, d in bonds if b == c] + bonds  # the far ends of an angle are fixed too
    for a, b in ends:
        lengths = np.linalg.norm(x[:, a] - x[:, b], axis=1)
        assert np.ptp(lengths) < 1e-12


def test_the_energy_has_the_symmetry_of_the_molecule() -> None:
    from polydiff_torsions.rotor import Rotor

    rotor = Rotor.of("CCCCC")
    angles = np.random.default_rng(0).uniform(-np.pi, np.pi, (20, 2))
    energies = rotor.energies(rotor.coordinates(angles))
    for same in (-angles, angles[:, ::-1]):
        # the minimum is symmetric to the precision of its optimisation; where atoms clash, energies are large
        assert np.abs(rotor.energies(rotor.coordinates(same)) - energies).max() < 1e-2 * (1 + np.abs(energies).max())


def test_conformers_of_butane_have_the_boltzmann_law() -> None:
    """One torsion: the law is known by integration. Kolmogorov's distance of n draws is 1.36 / sqrt(n) at 95 %."""
    from polydiff_torsions.boltzmann import GAS, boltzmann
    from polydiff_torsions.rotor import Rotor

    rotor, n = Rotor.of("CCCC"), 2048
    grid = np.linspace(-np.pi, np.pi, 2001)
    p = np.exp(-rotor.energies(rotor.coordinates(grid[:, None])) / (GAS * 300.0))
    cdf = np.concatenate([[0], np.cumsum((p[1:] + p[:-1]) / 2)])
    drawn = np.sort(boltzmann(rotor, n, 300.0, 0)[:, 0])
    assert np.abs(np.interp(drawn, grid, cdf / cdf[-1]) - (np.arange(n) + 0.5) / n).max() < 2 * 1.36 / math.sqrt(n)


def test_it_keeps_the_rules_of_domains() -> None:
    found = check_domain(resolve("torsions", values=PENTANE).config)
    assert [check for check in found if not check.passed] == []


def test_samples_depend_on_their_numbers_alone(model: polydiff.Model) -> None:
    made = torch.stack(list(model.sample(6, seed=1, batch_size=6).examples))
    some = torch.stack([e for part in model.stream(3, first=2, seed=1, batch_size=1) for e in part.examples])
    torch.testing.assert_close(some, made[2:5], atol=1e-5, rtol=0)
    assert float(made.abs().max()) <= math.pi + 1e-6


def test_a_run_is_resumed_to_the_same_bits(tmp_path: Path) -> None:
    whole = polydiff.train("torsions", tmp_path / "whole", overrides=PENTANE)
    with pytest.raises(KeyboardInterrupt):
        polydiff.train("torsions", tmp_path / "cut", overrides=PENTANE, progress=stop_at(5))
    assert_same_run(whole, polydiff.resume(tmp_path / "cut"))


def test_known_torsions_stay_and_a_variation_begins_at_the_given_ones(model: polydiff.Model) -> None:
    given = model.domain.batch("test", range(40), polydiff.streams(0, "augment", range(40)))
    made = torch.stack(list(polydiff.inpaint(model, given, torch.tensor([True, False])).examples))
    assert torch.equal(made[:, 0], given.x[:, 0])
    assert not torch.isclose(made[:, 1], given.x[:, 1]).any()
    moved = []
    for strength in (0.05, 1.0):
        near = torch.stack(list(polydiff.vary(model, given, strength=strength).examples))
        moved.append(float(given.space.log(given.x, near).abs().mean()))
    assert moved[0] < 0.2 < moved[1]


def test_what_has_no_meaning_for_angles_is_an_error(model: polydiff.Model) -> None:
    given = model.domain.batch("test", range(2), polydiff.streams(0, "augment", range(2)))
    with pytest.raises(UserError, match="process=circle: this process cannot interpolate"):
        polydiff.interpolate(model, given, given, [0.5])
    with pytest.raises(UserError, match="process=circle: this process cannot bound the likelihood"):
        likelihood(model, 4, ["vlb"], draws=2, progress=False)
    with pytest.raises(UserError, match="ddim"):
        model.sample(1, sampler="ddim")
    with pytest.raises(UserError, match="process=rotation: the states of these data need process=circle"):
        polydiff.train("torsions", "/nowhere", overrides={**PENTANE, "process": "rotation"})
    with pytest.raises(UserError, match="process=masked needs states that are letters"):
        polydiff.train("torsions", "/nowhere", overrides={**PENTANE, "process": "masked"})


def test_the_report_and_the_files_show_conformers(model: polydiff.Model, tmp_path: Path) -> None:
    from rdkit import Chem

    samples = model.sample(3, seed=1)
    files = model.domain.save(samples, tmp_path)
    found = [Chem.MolFromMolFile(str(tmp_path / each["file"]), removeHs=False) for each in files]
    angles = model.domain.rotor.angles(np.stack([each.GetConformer().GetPositions() for each in found]))
    expected = torch.stack(list(samples.examples)).double().numpy()
    assert np.abs(np.exp(1j * angles) - np.exp(1j * expected)).max() < 1e-3  # the file has four decimals
    assert model.domain.show(samples).count("<svg") == 2


@pytest.mark.parametrize(("smiles", "sentence"), [("CC", "no bond of this molecule turns"), ("C(", "cannot read")])
def test_a_molecule_without_torsions_is_an_error(smiles: str, sentence: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=sentence):
        polydiff.train("torsions", tmp_path / "run", overrides={**SMALL, "data.smiles": smiles})
