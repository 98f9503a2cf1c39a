"""The Frechet distance on features of ChemNet, with a network of our own and, if it is installed, that of fcd_torch."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

from polydiff.domains.molecule.moses import chemnet
from polydiff.domains.molecule.moses import metrics as module
from polydiff.domains.molecule.moses.chemnet import ChemNetSet, activations, chemnet_distance
from polydiff.domains.molecule.moses.metrics import Compared
from polydiff.domains.sequence.metrics.molecules import canonical
from polydiff.metrics.frechet import frechet_distance

CHAINS = ["C" * n for n in range(1, 81)]


class Lengths:
    """A network whose features are random numbers of a molecule's length."""

    def get_predictions(self, smiles: Sequence[str]) -> np.ndarray:
        return np.array([np.random.default_rng(len(one)).normal(size=chemnet.FEATURES) for one in smiles])


@pytest.fixture
def lengths(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chemnet, "network", Lengths)
    monkeypatch.setattr(module, "absent", str)


@pytest.mark.usefixtures("lengths")
def test_held_out_molecules_are_compared_with_the_others() -> None:
    found = Compared(["C"], CHAINS, None, 100).metrics(CHAINS[::2], True)["fcd_test"]
    wanted = frechet_distance(*(torch.from_numpy(activations(part)) for part in (CHAINS[::2], CHAINS[1::2])))
    assert found.value == pytest.approx(wanted, rel=1e-9)
    assert found.n == 40
    same = Compared(["C"], CHAINS, None, 100).metrics(CHAINS, False)["fcd_test"]
    assert same.value == pytest.approx(0, abs=1e-6)


@pytest.mark.usefixtures("lengths")
def test_too_few_molecules_have_no_distance() -> None:
    found = Compared(["C"], CHAINS, None, 100).metrics(CHAINS[:8], False)["fcd_test"]
    assert math.isnan(found.value)
    assert found.reason == "it needs 30 molecules of each set, there are 8"


@pytest.mark.usefixtures("lengths")
def test_features_are_computed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POLYDIFF_CACHE", str(tmp_path))
    monkeypatch.setattr(chemnet, "LEAST_CACHED", 2)
    first = ChemNetSet.cached(CHAINS)
    monkeypatch.setattr(chemnet, "network", lambda: pytest.fail("computed again"))
    assert np.array_equal(ChemNetSet.cached(CHAINS).features, first.features)


def test_without_the_package_the_metric_says_what_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chemnet, "PACKAGE", "a_package_that_is_not_installed")
    found = Compared(["C"], CHAINS, None, 100).metrics(["CC", "CO"], False)["fcd_test"]
    assert math.isnan(found.value)
    assert found.reason == "it needs ChemNet: pip install a_package_that_is_not_installed"


@pytest.mark.parametrize(("test", "name"), [("test", "FCD/Test"), ("test_scaffolds", "FCD/TestSF")])
def test_the_distance_is_that_of_molsets(test: str, name: str) -> None:
    pytest.importorskip("fcd_torch", reason="fcd_torch has ChemNet")
    recorded = json.loads(Path(__file__).with_name("molsets.json").read_text(encoding="utf-8"))
    made = [one for one in canonical(recorded["gen"].split()) if one]
    known = canonical(recorded[test].split())
    found = chemnet_distance(activations(made), ChemNetSet(known, activations(known)), "molecules")
    assert found.value == pytest.approx(recorded["values"][name], abs=1e-5)
