"""The domain of texts with sums, with SMILES, and with a list of names in a file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from polydiff.config.merge import resolve
from polydiff.domains.sequence.domain import SequenceDomain

NAMES = [f"{first} {last}" for first in ("Anna", "Mia", "Zoë", "Paul", "Leon") for last in ("Koch", "Wolf", "Braun")]

Opened = Callable[..., SequenceDomain]


@pytest.fixture(scope="session")
def opened() -> Opened:
    """Return a function of configuration keys that opens the domain."""
    return lambda **keys: SequenceDomain(resolve("sequence", values=keys).config)


@pytest.fixture(scope="session")
def sums(opened: Opened) -> SequenceDomain:
    return opened()


@pytest.fixture(scope="session")
def smiles(opened: Opened) -> SequenceDomain:
    return opened(**{"data.name": "smiles", "data.conditions": ["heavy_atoms"]})


@pytest.fixture(scope="session")
def names(opened: Opened, tmp_path_factory: pytest.TempPathFactory) -> SequenceDomain:
    path = tmp_path_factory.mktemp("texts") / "names.txt"
    path.write_text("\n".join(NAMES), encoding="utf-8")
    return opened(**{"data.path": path})


@pytest.fixture
def novel(tmp_path: Path) -> Path:
    """A long text without repeats of eight letters."""
    path = tmp_path / "novel.txt"
    path.write_text("".join(f"{i:04d}" + "abcde"[i % 5] for i in range(400)), encoding="utf-8")
    return path
