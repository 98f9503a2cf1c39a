"""Samples written as .sdf."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rdkit import Chem

from polydiff.domains.molecule.chemistry.geometry import Molecule
from polydiff.domains.molecule.chemistry.perceive import cloud, finite, formula
from polydiff.domains.molecule.metrics.examine import Judged, looked_at
from polydiff.support.errors import UserError


def record(one: Judged) -> str:
    """Return a molecule's record in a .sdf: with bonds where it has them, else its atoms alone.

    Raises:
        UserError: An atom is nowhere, which no file can hold.
    """
    if not finite(one.molecule):
        raise UserError(f"{formula(one.molecule)} has positions that are not finite, so it cannot be written.")
    block = Chem.MolToMolBlock(cloud(one.molecule) if one.mol is None else one.mol, kekulize=one.mol is not None)
    return f"{block}$$$$\n"


def records(molecules: Sequence[Molecule]) -> str:
    """Return the records of molecules, one after another."""
    return "".join(map(record, looked_at(molecules)))


def write_records(
    molecules: Sequence[Molecule], words: Sequence[Mapping[str, Any]], directory: Path
) -> list[dict[str, Any]]:
    """Write one .sdf a molecule into a folder, which is made, and return an entry of the manifest for each.

    Arguments:
        molecules: Samples.
        words: Conditions of each, in the user's words, for its entry.
        directory: The folder.
    """
    directory.mkdir(parents=True, exist_ok=True)
    entries = []
    for i, (one, told) in enumerate(zip(looked_at(molecules), words, strict=True)):
        name = f"sample-{i:05d}.sdf"
        (directory / name).write_text(record(one), encoding="utf-8")
        valid = {"smiles": one.smiles, "formula": formula(one.molecule), "valid": one.mol is not None}
        entries.append({"file": name, **valid, **told})
    return entries
