"""PoseBusters' tests of one molecule.

A separate module, since posebusters is optional and takes a second to import.
"""

from __future__ import annotations

from typing import Any

from posebusters import PoseBusters
from rdkit.rdBase import BlockLogs

TESTS = PoseBusters(config="mol_fast")
"""All tests of a molecule without a protein, except the one of its energy."""


def bust(mol: Any) -> bool:
    """Return whether an RDKit molecule passes all tests (Buttenschoen et al., 2024, https://doi.org/10.1039/D3SC04185A).

    A test that cannot be evaluated (NaN) counts as failed.
    """
    with BlockLogs():
        table = TESTS.bust(mol_pred=mol)
    return bool((table == True).all(axis=None))  # noqa: E712 (NaN must not count as True)
