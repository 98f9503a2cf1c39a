"""Writing samples as .sdf files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rdkit import Chem
from rdkit.Chem import rdDepictor, rdMolDescriptors

from polydiff.domains.molecule.chemistry.bonds import as_written
from polydiff.domains.molecule.chemistry.perceive import formula, has_finite_positions, without_bonds
from polydiff.domains.molecule.metrics.examine import PerceivedSample
from polydiff.support.errors import UserError


def record(one: PerceivedSample) -> str:
    """Return the .sdf record of a sample: with bonds if it is a molecule, else atoms, and its own bonds if it has any.

    Raises:
        UserError: A position is not finite, which a file cannot represent.
    """
    if not has_finite_positions(one.molecule):
        raise UserError(f"{formula(one.molecule)} has positions that are not finite, so it cannot be written.")
    if one.molecule.implicit and one.mol is not None:
        flat = Chem.Mol(one.mol)
        rdDepictor.Compute2DCoords(flat)
        return f"{Chem.MolToMolBlock(flat)}$$$$\n"
    plain = without_bonds if one.molecule.bonds is None else as_written
    block = Chem.MolToMolBlock(plain(one.molecule) if one.mol is None else one.mol, kekulize=one.mol is not None)
    return f"{block}$$$$\n"


def records(samples: Sequence[PerceivedSample]) -> str:
    """Return the .sdf records of samples as one text."""
    return "".join(map(record, samples))


def write_records(
    samples: Sequence[PerceivedSample], conditions: Sequence[Mapping[str, Any]], directory: Path
) -> list[dict[str, Any]]:
    """Write one .sdf file per molecule and return the manifest entry of each.

    Arguments:
        samples: Samples with the molecules that they are.
        conditions: Conditions of each, name -> value, which are added to its entry.
        directory: The folder; created if missing.
    """
    directory.mkdir(parents=True, exist_ok=True)
    entries = []
    for i, (one, described) in enumerate(zip(samples, conditions, strict=True)):
        name = f"sample-{i:05d}.sdf"
        (directory / name).write_text(record(one), encoding="utf-8")
        valid = {"smiles": one.smiles, "formula": formula_of(one), "valid": one.mol is not None}
        entries.append({"file": name, **valid, **described})
    return entries


def write_with_columns(
    samples: Sequence[PerceivedSample], columns: Sequence[Mapping[str, Any]], directory: Path
) -> list[dict[str, Any]]:
    """Write one .sdf file per molecule with columns as its data items, and return {"file": name} of each.

    Arguments:
        samples: Samples with the molecules that they are.
        columns: Columns of each, name -> value.
        directory: The folder; created if missing.
    """
    directory.mkdir(parents=True, exist_ok=True)
    entries = []
    for i, (one, row) in enumerate(zip(samples, columns, strict=True)):
        name, end = f"sample-{i:05d}.sdf", "$$$$\n"
        items = "".join(f"> <{column}>\n{' '.join(str(value).split())}\n\n" for column, value in row.items())
        (directory / name).write_text(f"{record(one).removesuffix(end)}{items}{end}", encoding="utf-8")
        entries.append({"file": name})
    return entries


def formula_of(one: PerceivedSample) -> str:
    """Return the formula of a sample, with the hydrogens that a graph alone implies."""
    if one.molecule.implicit and one.mol is not None:
        return str(rdMolDescriptors.CalcMolFormula(one.mol))
    return formula(one.molecule)
