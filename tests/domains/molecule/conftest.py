"""The domain of small molecules, given their compositions and log P."""

from __future__ import annotations

import pytest

from polydiff.backbones.config import EGNNConfig
from polydiff.domains.molecule.config import MoleculeConfig, MoleculeData
from polydiff.domains.molecule.domain import MoleculeDomain


@pytest.fixture(scope="module")
def domain() -> MoleculeDomain:
    data = MoleculeData(max_heavy=4, conditions=("composition", "logp"))
    return MoleculeDomain(MoleculeConfig(data=data, backbone=EGNNConfig(hidden=16, layers=2)))
