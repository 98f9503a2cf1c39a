"""All that judges find in one molecule, each in a process of its own kind with a time limit.

What takes too long, ends its process or lets RDKit fail is a failure, no molecule, and the reason is told.
"""

from __future__ import annotations

import importlib.util
import math
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeVar

import numpy as np
from rdkit import Chem
from rdkit.Chem import rdForceFieldHelpers

from polydiff.domains.molecule.chemistry.geometry import ITERATIONS, Molecule, graph_smiles
from polydiff.domains.molecule.chemistry.perceive import look, perceive
from polydiff.domains.molecule.chemistry.properties import PROPERTIES, measure
from polydiff.domains.molecule.metrics.shapes import Values, bond_angles, bond_lengths, together
from polydiff.domains.molecule.metrics.stability import stable_atoms, table_smiles
from polydiff.domains.molecule.workers.pool import in_processes
from polydiff.domains.molecule.workers.worker import TimedOut

SECONDS = 10.0
"""Time for one molecule."""

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True)
class Judged:
    """A sample and what RDKit sees in it.

    Arguments:
        molecule: The sample.
        mol: RDKit's molecule in one piece, None where there is none.
        smiles: Its canonical SMILES, without stereochemistry.
        valid: Whether RDKit sees a molecule, in pieces or not.
        connected: Whether the atoms are in one piece, a molecule or not.
    """

    molecule: Molecule
    mol: Any = None
    smiles: str | None = None
    valid: bool = False
    connected: bool = False

    @property
    def neutral(self) -> bool:
        """Whether there is a molecule in one piece and none of its atoms has a charge."""
        return self.mol is not None and not any(atom.GetFormalCharge() for atom in self.mol.GetAtoms())

    @classmethod
    def of(cls, molecule: Molecule) -> Judged:
        """Look at a sample."""
        mol, connected = look(molecule)
        whole = mol if mol is not None and len(Chem.GetMolFrags(mol)) == 1 else None
        return cls(molecule, whole, None if whole is None else graph_smiles(whole), mol is not None, connected)


@dataclass(frozen=True)
class Findings:
    """All that judges find in a sample.

    Arguments:
        judged: What RDKit sees.
        stable: Which atoms are stable by EDM's table (N,).
        table: SMILES of what EDM's table makes of it, None where that is no molecule.
        strain: Energy above the nearest minimum in kcal/mol, NaN where there is none.
        lengths: Kind of bond -> lengths in Å.
        angles: Kind of angle -> degrees.
        properties: What RDKit measures, by the names of `properties.PROPERTIES`; NaN where there is no molecule.
    """

    judged: Judged
    stable: np.ndarray
    table: str | None = None
    strain: float = math.nan
    lengths: Mapping[str, Sequence[float]] = field(default_factory=dict)
    angles: Mapping[str, Sequence[float]] = field(default_factory=dict)
    properties: Mapping[str, float] = field(default_factory=lambda: dict.fromkeys(PROPERTIES, math.nan))

    @classmethod
    def of(cls, molecule: Molecule) -> Findings:
        """Judge a sample."""
        one, stable, table = Judged.of(molecule), stable_atoms(molecule), table_smiles(molecule)
        if one.mol is None:
            return cls(one, stable, table)
        energy, values = strain(one.mol), measure(one.mol, list(PROPERTIES))
        return cls(
            one,
            stable,
            table,
            math.nan if energy is None else energy,
            bond_lengths(one.mol),
            bond_angles(one.mol),
            dict(zip(PROPERTIES, values, strict=True)),
        )


def examine(molecules: Sequence[Molecule]) -> list[Findings]:
    """Judge samples, in processes with a time limit."""
    found = each(Findings.of, molecules, "samples judged")
    return [one or Findings(Judged(m), stable_atoms(m)) for m, one in zip(molecules, found, strict=True)]


def looked_at(molecules: Sequence[Molecule]) -> list[Judged]:
    """Look at samples that are drawn or written, in processes with a time limit."""
    found = each(Judged.of, molecules, "samples looked at", quiet=True)
    return [one or Judged(molecule) for molecule, one in zip(molecules, found, strict=True)]


def each(work: Callable[[T], R], items: Sequence[T], what: str, quiet: bool = False) -> Iterator[R | None]:
    """Yield what a function finds in items; None where it is given up, and tell at the end how often and why."""
    reasons = Counter[str]()
    for one in in_processes(work, items, what, seconds=SECONDS, forgiving=True, quiet=quiet):
        if isinstance(one, TimedOut):
            reasons[one.reason] += 1
        yield None if isinstance(one, TimedOut) else one
    if reasons:
        why = "; ".join(f"{n}: {reason}" for reason, n in reasons.most_common())
        warnings.warn(f"{what}: {reasons.total()} of {len(items)} were given up ({why}).", stacklevel=2)


class Shape(NamedTuple):
    """Bonds of a molecule: kind -> lengths in Å, and kind -> angles in degrees; nothing where there is no molecule."""

    lengths: Mapping[str, Sequence[float]]
    angles: Mapping[str, Sequence[float]]

    @classmethod
    def of(cls, molecule: Molecule) -> Shape:
        """Measure a molecule."""
        mol = perceive(molecule)
        return cls({}, {}) if mol is None else cls(bond_lengths(mol), bond_angles(mol))


def known_shapes(molecules: Sequence[Molecule]) -> tuple[Values, Values]:
    """Return bond lengths and bond angles of molecules that samples are compared with, by kind."""
    shapes = [one for one in each(Shape.of, molecules, "training geometries measured") if one]
    return together(one.lengths for one in shapes), together(one.angles for one in shapes)


def strain(mol: Any) -> float | None:
    """Return the MMFF94s energy above the nearest minimum in kcal/mol; None without parameters or convergence."""
    properties = rdForceFieldHelpers.MMFFGetMoleculeProperties(mol, mmffVariant="MMFF94s")
    if properties is None:
        return None
    copy = Chem.Mol(mol)  # which the force field moves and does not keep alive
    field = rdForceFieldHelpers.MMFFGetMoleculeForceField(copy, properties)
    before = field.CalcEnergy()
    failed = field.Minimize(maxIts=ITERATIONS)
    return None if failed else float(before - field.CalcEnergy())


def busts() -> bool:
    """Return whether PoseBusters is installed."""
    return importlib.util.find_spec("posebusters") is not None


def passes(mols: Sequence[Any]) -> list[bool]:
    """Return which of RDKit's molecules pass all tests of PoseBusters; what is given up passes none."""
    from polydiff.domains.molecule.metrics.poses import bust

    return [bool(one) for one in each(bust, mols, "samples tested by PoseBusters")]
