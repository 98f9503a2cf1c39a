"""The further test set of a data set: molecules that samples are compared with, which are in no split.

It is the folder test_scaffolds/ beside train/ and test/, as of MOSES: molecules whose scaffolds do not occur in
training. This module imports no RDKit.
"""

from __future__ import annotations

import csv
from pathlib import Path

from polydiff.contract.data.splits import TRAIN

FURTHER = "test_scaffolds"
"""Name of the folder."""
SMILES = "smiles"
"""Column of the SMILES."""


def further_files(root: Path | None) -> list[Path]:
    """Return the tables of the further test set of a folder of data that has a folder train/; [] if there are none."""
    if root is None or not (root / TRAIN).is_dir():
        return []
    return sorted((root / FURTHER).glob("*.csv"))


def further_smiles(root: Path | None) -> list[str]:
    """Return the SMILES of the further test set of a folder of data; [] if there is none."""
    found: list[str] = []
    for path in further_files(root):
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = csv.DictReader(file)
            rows.fieldnames = [name.strip().lower() for name in rows.fieldnames or ()]
            found += [row[SMILES] for row in rows if row.get(SMILES)]
    return found
