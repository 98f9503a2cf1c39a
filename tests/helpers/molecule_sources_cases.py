"""Cases that several tests share: molecule sources."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from polydiff.domains.molecule.config import MoleculeData
from polydiff.domains.molecule.data.dataset import open_library
from polydiff.domains.molecule.data.library import Library
from polydiff.domains.molecule.data.preparation import cache


def read(path: Path, **options: object) -> Library:
    library = open_library(MoleculeData(path=path, **options))  # type: ignore[arg-type]
    assert library.found == library.used + sum(library.rejected.values())
    return library


def sodium(n: int, comment: str = "") -> str:
    """Return a frame of atoms in a row between which RDKit sees no bonds."""
    return "\n".join([str(n), comment, *(f"Na {3.2 * x:.1f} 0 0" for x in range(n)), ""])


def same(a: Library, b: Library) -> bool:
    """Say whether two libraries hold the same molecules, and left out the same."""
    arrays = all(np.array_equal(getattr(a, name), getattr(b, name)) for name in cache.ARRAYS)
    return arrays and list(a.smiles) == list(b.smiles) and a.rejected == b.rejected
