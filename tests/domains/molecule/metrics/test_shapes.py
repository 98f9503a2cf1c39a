"""Tests of `polydiff.domains.molecule.metrics.shapes`."""

from __future__ import annotations

import math

import pytest
from molecule_cases import molecule

from polydiff.domains.molecule.chemistry.perceive import perceive
from polydiff.domains.molecule.metrics.shapes import bond_angles, bond_lengths, mean_wasserstein, merge_values


def test_lengths_and_angles_equal_textbook_values() -> None:
    methane = perceive(molecule("C"))
    assert bond_lengths(methane)["C-H"] == pytest.approx([1.09] * 4, abs=0.01)
    assert bond_angles(methane)["H-C(SP3)-H"] == pytest.approx([109.47] * 6, abs=0.1)
    carbon_dioxide = perceive(molecule("O=C=O"))
    assert bond_angles(carbon_dioxide)["O-C(SP)-O"] == pytest.approx([180], abs=0.1)
    assert set(bond_lengths(perceive(molecule("C[N+](=O)[O-]")))) == {"C-H", "C-N", "N-O", "N=O"}


def test_the_distance_is_the_mean_displacement() -> None:
    ones = [{"C-C": [1.5, 1.6], "C-H": [1.1] * 2} for _ in range(20)]
    same, moved = merge_values(ones), merge_values({"C-C": [1.6, 1.7], "C-H": [1.1] * 2} for _ in range(20))
    assert mean_wasserstein(ones, same).value == pytest.approx(0, abs=1e-12)
    far = mean_wasserstein(ones, moved)
    assert far.value == pytest.approx(0.05)  # half of all values move by 0.1
    assert far.error == pytest.approx(0, abs=1e-9)
    assert mean_wasserstein(ones, {"C-C": moved["C-C"]}).value == pytest.approx(
        0.1
    )  # kinds that the reference lacks are ignored
    assert math.isnan(mean_wasserstein(ones, {}).value)
