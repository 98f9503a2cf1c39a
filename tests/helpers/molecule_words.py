"""Small data sets of molecules with captions."""

from __future__ import annotations

from pathlib import Path

from polydiff.domains.molecule.data.source import enumerated_molecules

WITH, WITHOUT = "it contains nitrogen", "it contains no nitrogen"


def has_nitrogen(smiles: str) -> bool:
    return "N" in smiles


def words_csv(path: Path, max_heavy: int = 3, column: str = "text", with_nitrogen: str = WITH) -> Path:
    """Write all small molecules, each with a caption that states whether it contains nitrogen, and its first atom.

    Arguments:
        path: The new table.
        max_heavy: Largest number of heavy atoms.
        column: Name of the column of captions.
        with_nitrogen: Caption of molecules with nitrogen.
    """
    lines = [f"smiles,{column},kind,number"]
    for i, smiles in enumerate(enumerated_molecules(max_heavy)):
        kind = "amine" if has_nitrogen(smiles) else "other"
        lines.append(f"{smiles},{with_nitrogen if has_nitrogen(smiles) else WITHOUT},{kind},{i % 3}")
    path.write_text("\n".join(lines) + "\n")
    return path
