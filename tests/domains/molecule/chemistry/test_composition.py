"""Tests of `polydiff.domains.molecule.chemistry.composition`."""

from __future__ import annotations

import math

import numpy as np
import pytest
from molecule_cases import SYMBOLS

from polydiff.contract.domain import Samples
from polydiff.domains.molecule.chemistry.composition import composition_metrics, read_formula
from polydiff.domains.molecule.chemistry.geometry import Molecule
from polydiff.domains.molecule.domain import MoleculeDomain


def test_formulas() -> None:
    assert read_formula("CH3CH2OH", SYMBOLS) == {"H": 6, "C": 2, "N": 0, "O": 1, "F": 0}
    assert read_formula("F2", SYMBOLS)["F"] == 2


def test_real_molecules_have_the_requested_composition_and_others_do_not(domain: MoleculeDomain) -> None:
    real = domain.examples("test", 30)
    metric = domain.evaluate(real)["composition_as_requested"]
    assert (metric.value, metric.error) == (1, pytest.approx(0.5 / (len(real) + 1)))  # Wilson's
    assert real.cond is not None
    shifted = Samples([*real.examples[1:], real.examples[0]], real.cond)
    assert domain.evaluate(shifted)["composition_as_requested"].value < 0.3
    water = Molecule(np.array([8, 1, 1], np.uint8), np.zeros((3, 3), np.float32))
    nan = math.nan
    for requested, share in (([2, nan], 1.0), ([3, nan], 0.0), ([nan, nan], nan)):
        found = composition_metrics([water], np.array([requested]), (1, 8))["composition_as_requested"].value
        assert found == pytest.approx(share, nan_ok=True)
