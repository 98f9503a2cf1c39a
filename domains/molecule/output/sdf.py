"""Writing samples as .sdf files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rdkit import Chem

from polydiff.domains.molecule.chemistry.geometry import Molecule
from polydiff.domains.molecule.chemistry.perceive import formula, has_finite_positions, without_bonds
from polydiff.domains.molecule.metrics.examine import PerceivedSample, perceive_all
from polydiff.support.errors import UserError


def record(one: PerceivedSample) -> str:
    """Return the .sdf record of a sample: with bonds if RDKit perceives a molecule, else atoms only.

    Raises:
        UserError: A position is not finite, which a file cannot represent.
    """
    if not has_finite_positions(one.molecule):
        raise UserError(f"{formula(one.molecule)} has positions that are not finite, so it cannot be written.")
    block = Chem.MolToMolBlock(
        without_bonds(one.molecule) if one.mol is None else one.mol, kekulize=one.mol is not None
    )
    return f"{block}$$$$\n"


def records(molecules: Sequence[Molecule]) -> str:
    """Return the .sdf records of molecules as one text."""
    return "".join(map(record, perceive_all(molecules)))


def write_records(
    molecules: Sequence[Molecule], conditions: Sequence[Mapping[str, Any]], directory: Path
) -> list[dict[str, Any]]:
    """Write one .sdf file per molecule and return the manifest entry of each.

    Arguments:
        molecules: Samples.
        conditions: Conditions of each, name -> value, which are added to its entry.
        directory: The folder; created if missing.
    """
    directory.mkdir(parents=True, exist_ok=True)
    entries = []
    for i, (one, described) in enumerate(zip(perceive_all(molecules), conditions, strict=True)):
        name = f"sample-{i:05d}.sdf"
        (directory / name).write_text(record(one), encoding="utf-8")
        valid = {"smiles": one.smiles, "formula": formula(one.molecule), "valid": one.mol is not None}
        entries.append({"file": name, **valid, **described})
    return entries
