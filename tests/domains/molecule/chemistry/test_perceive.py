"""Tests of `polydiff.domains.molecule.chemistry.perceive`."""

from __future__ import annotations

import numpy as np
import pytest
from molecule_cases import molecule
from rdkit import Chem

from polydiff.domains.molecule.chemistry.geometry import Molecule
from polydiff.domains.molecule.chemistry.identity import molecule_key
from polydiff.domains.molecule.chemistry.perceive import (
    formula,
    perceive,
    perceive_by_radii,
    perceive_pieces,
    perceived_key,
)
from polydiff.domains.molecule.metrics.examine import (
    PerceivedSample,
)
from polydiff.domains.molecule.metrics.stability import (
    stable_atoms,
)


@pytest.mark.parametrize(
    "smiles",
    [
        *(
            "C",
            "O",
            "c1ccccc1",
            "O=C=O",
            "C[N+](=O)[O-]",
            "CC#N",
            "CC(=O)O",
            "c1cc[nH]c1",
            "FC(F)F",
            "C1CC1",
            "c1ccncc1",
        ),
        *("Cc1ccccc1", "c1ccc2ccccc2c1", "CC(=O)Oc1ccccc1C(=O)O", "[NH3+]CC(=O)[O-]", "c1ccoc1", "C[N+]#[C-]"),
    ],
)
def test_rdkit_perceives_the_molecule(smiles: str) -> None:
    assert PerceivedSample.of(molecule(smiles)).smiles == Chem.CanonSmiles(smiles)


def test_rdkit_perceives_no_molecule_in_pieces_radicals_and_collapsed_atoms() -> None:
    water, methane = molecule("O"), molecule("C")
    apart = Molecule(
        np.concatenate([water.numbers, methane.numbers]), np.concatenate([water.positions, methane.positions + 20])
    )
    assert perceive(apart) is None
    assert perceive_pieces(apart).mol is not None
    assert perceive(Molecule(methane.numbers[:-1], methane.positions[:-1])) is None
    assert perceive(Molecule(water.numbers, water.positions * np.nan)) is None
    assert perceive(Molecule(water.numbers, water.positions * 0)) is None


@pytest.mark.timeout(60)
@pytest.mark.parametrize("size", [0.3, 1.0, 2.0])
def test_perception_of_random_atoms_takes_bounded_time(size: float) -> None:
    g = np.random.default_rng(0)
    for n in (1, 2, 20, 100):
        atoms = Molecule(g.choice([1, 6, 7, 8, 9], n).astype(np.uint8), size * g.normal(size=(n, 3)).astype(np.float32))
        one = PerceivedSample.of(atoms)
        assert (one.mol is None) == (one.smiles is None)
        assert len(stable_atoms(atoms)) == n


def test_two_wrong_valences_are_not_a_neutral_molecule() -> None:
    propane, nitromethane = molecule("CCC"), molecule("C[N+](=O)[O-]")
    ends = [4, 8]  # a hydrogen of each outer carbon: one is left with too few, and so is the other
    torn = Molecule(np.delete(propane.numbers, ends), np.delete(propane.positions, ends, 0))
    samples = [PerceivedSample.of(one) for one in (propane, torn, nitromethane, molecule("[NH3+]CC(=O)[O-]"))]
    assert [one.mol is not None for one in samples] == [True] * 4
    assert [one.neutral for one in samples] == [True, False, False, False]


def test_formulas() -> None:
    assert [formula(molecule(s)) for s in ("O", "C", "CC(=O)O", "FC(F)F")] == ["H2O", "CH4", "C2H4O2", "CHF3"]


@pytest.mark.parametrize("smiles", ["O=C1OCO1", "C1OC2CC1O2", "O=C1CC(=O)O1"])
def test_the_second_attempt_finds_the_bonds_of_strained_rings(smiles: str) -> None:
    one = molecule(smiles)
    assert perceive(one) is None
    assert molecule_key(perceive_by_radii(one)) == smiles
    assert perceived_key(one) == ""  # samples are given one attempt
    assert PerceivedSample.of(one).mol is None


def test_the_second_attempt_finds_no_radicals_pieces_and_collapsed_atoms() -> None:
    water, methane = molecule("O"), molecule("C")
    apart = Molecule(
        np.concatenate([water.numbers, methane.numbers]), np.concatenate([water.positions, methane.positions + 20])
    )
    torn = Molecule(methane.numbers[:-1], methane.positions[:-1])
    for one in (apart, torn, Molecule(water.numbers, water.positions * 0)):
        assert perceive_by_radii(one) is None
    g = np.random.default_rng(0)
    clouds = [Molecule(methane.numbers, g.normal(size=(5, 3)).astype(np.float32)) for _ in range(200)]
    assert sum(perceive_by_radii(one) is not None for one in clouds) == 0
