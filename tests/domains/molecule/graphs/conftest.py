"""Domains of small molecules with bonds, with positions and as graphs alone."""

from __future__ import annotations

import pytest

from polydiff.config.merge import resolve
from polydiff.domains.molecule.domain import MoleculeDomain

SMALL = {
    "data.max_heavy": 4, "backbone.hidden": 16, "backbone.layers": 2, "backbone.pair": 8, "backbone.vectors": 8,
    "device": "cpu",
}  # fmt: skip


@pytest.fixture(scope="module")
def placed() -> MoleculeDomain:
    return MoleculeDomain(resolve("molecule", values={**SMALL, "data.bonds": True}).config)


@pytest.fixture(scope="module")
def graphs() -> MoleculeDomain:
    return MoleculeDomain(resolve("molecule", values={**SMALL, "data.positions": False}).config)
