"""Tests of `polydiff.domains.molecule.chemistry.properties`."""

from __future__ import annotations

import numpy as np
import pytest
from rdkit import Chem

from polydiff.domains.molecule.chemistry.geometry import embed
from polydiff.domains.molecule.chemistry.properties import measure


def test_properties_are_measured_in_their_units() -> None:
    mol = embed("CC(=O)O", 1)
    names = ["weight", "heavy_atoms", "rings", "donors", "tpsa", "logp"]
    assert measure(mol, names) == pytest.approx([60.05, 4, 0, 1, 37.3, 0.09], abs=0.01)
    atoms = np.array([[-1.0, 0, 0], [1, 0, 0]])
    pair = Chem.AddHs(Chem.MolFromSmiles("[H][H]"))
    pair.AddConformer(Chem.Conformer(2))
    pair.GetConformer().SetPositions(atoms)
    assert measure(pair, ["gyration"]) == pytest.approx([1.0])
