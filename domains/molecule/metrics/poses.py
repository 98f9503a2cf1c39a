"""PoseBusters' tests of one molecule, in a module of its own: it needs posebusters, which takes a second to import."""

from __future__ import annotations

from typing import Any

from posebusters import PoseBusters
from rdkit.rdBase import BlockLogs

TESTS = PoseBusters(config="mol_fast")
"""All tests of a molecule alone, but that of its energy."""


def bust(mol: Any) -> bool:
    """Return whether a molecule passes all tests (Buttenschoen et al., 2024, https://doi.org/10.1039/D3SC04185A).

    A test that cannot be made (NaN) is not passed.
    """
    with BlockLogs():
        table = TESTS.bust(mol_pred=mol)
    return bool((table == True).all(axis=None))  # noqa: E712 (NaN is no True)
