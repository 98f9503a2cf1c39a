"""Findings about each sample, computed in worker processes with a time limit.

A sample counts as invalid if it takes too long, crashes its process or makes RDKit fail. A warning reports the reasons.
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

from polydiff.domains.molecule.chemistry.bonds import sanitised
from polydiff.domains.molecule.chemistry.geometry import MAX_MINIMISER_STEPS, Molecule
from polydiff.domains.molecule.chemistry.identity import graph_smiles, molecule_key
from polydiff.domains.molecule.chemistry.perceive import has_charged_atoms, perceive, perceive_pieces
from polydiff.domains.molecule.chemistry.properties import PROPERTIES, measure
from polydiff.domains.molecule.config import SPATIAL
from polydiff.domains.molecule.metrics.shapes import Values, bond_angles, bond_lengths, merge_values
from polydiff.domains.molecule.metrics.stability import stable_atoms, table_smiles
from polydiff.domains.molecule.workers.pool import in_processes
from polydiff.domains.molecule.workers.worker import TimedOut

SECONDS = 10.0
"""Time limit for one molecule."""

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True)
class PerceivedSample:
    """A sample and the molecule that RDKit perceives in it.

    Arguments:
        molecule: The sample.
        mol: RDKit molecule in one piece; None if RDKit finds none.
        smiles: Canonical SMILES of `mol` without stereochemistry; None if `mol` is None.
        valid: Whether RDKit perceives a molecule, possibly in several pieces.
        connected: Whether bonds by distance join all atoms in one piece, regardless of valences.
        key: Identity of `mol` (`chemistry.identity.molecule_key`); None if `mol` is None.
    """

    molecule: Molecule
    mol: Any = None
    smiles: str | None = None
    valid: bool = False
    connected: bool = False
    key: str | None = None

    @property
    def neutral(self) -> bool:
        """Whether `mol` exists and none of its atoms has a formal charge."""
        return self.mol is not None and not has_charged_atoms(self.mol)

    @classmethod
    def of(cls, molecule: Molecule) -> PerceivedSample:
        """Return the perception of a sample."""
        mol, connected = perceive_pieces(molecule)
        whole = mol if mol is not None and len(Chem.GetMolFrags(mol)) == 1 else None
        if whole is None:
            return cls(molecule, valid=mol is not None, connected=connected)
        return cls(molecule, whole, graph_smiles(whole), True, connected, molecule_key(whole))

    @classmethod
    def of_own_bonds(cls, molecule: Molecule) -> PerceivedSample:
        """Return a sample with the RDKit molecule of its own bonds, to be drawn and written like a perceived one."""
        mol = sanitised(molecule)
        if mol is None or len(Chem.GetMolFrags(mol)) > 1:
            return cls(molecule, valid=mol is not None)
        smiles = graph_smiles(mol)
        return cls(molecule, mol, smiles, True, True, smiles if molecule.implicit else molecule_key(mol))


@dataclass(frozen=True)
class Findings:
    """The measurements of a sample.

    Arguments:
        perceived: The molecule that RDKit perceives.
        stable: Which atoms are stable by EDM's table, booleans (N,).
        table: SMILES of the molecule with the bonds of EDM's table; None if RDKit rejects it.
        strain: Energy above the nearest minimum in kcal/mol; NaN if unknown.
        lengths: Kind of bond -> lengths in Å.
        angles: Kind of angle -> angles in degrees.
        properties: Name in `chemistry.properties.PROPERTIES` -> value; NaN if RDKit perceives no molecule.
    """

    perceived: PerceivedSample
    stable: np.ndarray
    table: str | None = None
    strain: float = math.nan
    lengths: Mapping[str, Sequence[float]] = field(default_factory=dict)
    angles: Mapping[str, Sequence[float]] = field(default_factory=dict)
    properties: Mapping[str, float] = field(default_factory=lambda: dict.fromkeys(PROPERTIES, math.nan))

    @classmethod
    def of(cls, molecule: Molecule) -> Findings:
        """Return the findings of a sample; of a graph alone, those of its own bonds."""
        if molecule.implicit:
            return cls.of_graph(molecule)
        one, stable, table = PerceivedSample.of(molecule), stable_atoms(molecule), table_smiles(molecule)
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

    @classmethod
    def of_graph(cls, molecule: Molecule) -> Findings:
        """Return the findings of a graph alone: the properties that need no positions."""
        one, nothing = PerceivedSample.of_own_bonds(molecule), np.zeros(len(molecule.numbers), bool)
        if one.mol is None:
            return cls(one, nothing)
        names = [name for name in PROPERTIES if name not in SPATIAL]
        known = dict(zip(names, measure(one.mol, names), strict=True))
        return cls(one, nothing, properties={name: known.get(name, math.nan) for name in PROPERTIES})


def examine(molecules: Sequence[Molecule]) -> list[Findings]:
    """Return the findings of each sample, computed in worker processes."""
    found = run_each(Findings.of, molecules, "samples evaluated")
    return [one or Findings(PerceivedSample(m), stable_atoms(m)) for m, one in zip(molecules, found, strict=True)]


def read_all(molecules: Sequence[Molecule]) -> list[PerceivedSample]:
    """Return each sample with the molecule of its own bonds, computed in worker processes."""
    found = run_each(PerceivedSample.of_own_bonds, molecules, "samples read", quiet=True)
    return [one or PerceivedSample(molecule) for molecule, one in zip(molecules, found, strict=True)]


def read_known(molecules: Sequence[Molecule]) -> list[PerceivedSample]:
    """Return each molecule by its own bonds if they are known, else as RDKit perceives it, in worker processes."""
    found = run_each(by_known_bonds, molecules, "molecules read", quiet=True)
    return [one or PerceivedSample(molecule) for molecule, one in zip(molecules, found, strict=True)]


def by_known_bonds(molecule: Molecule) -> PerceivedSample:
    """Return a molecule by its own bonds if they are known, else as RDKit perceives it."""
    known = molecule.bonds is not None
    return PerceivedSample.of_own_bonds(molecule) if known else PerceivedSample.of(molecule)


def perceive_all(molecules: Sequence[Molecule]) -> list[PerceivedSample]:
    """Return the perception of each sample, computed in worker processes."""
    found = run_each(PerceivedSample.of, molecules, "samples perceived", quiet=True)
    return [one or PerceivedSample(molecule) for molecule, one in zip(molecules, found, strict=True)]


def run_each(work: Callable[[T], R], items: Sequence[T], what: str, quiet: bool = False) -> Iterator[R | None]:
    """Yield the result of a function for each item, None if it fails, and warn at the end about failures.

    Arguments:
        work: The function; it runs in worker processes.
        items: Its arguments.
        what: Description for progress and the warning, such as "samples evaluated".
        quiet: Whether no progress is printed.
    """
    reasons = Counter[str]()
    for one in in_processes(work, items, what, seconds=SECONDS, forgiving=True, quiet=quiet):
        if isinstance(one, TimedOut):
            reasons[one.reason] += 1
        yield None if isinstance(one, TimedOut) else one
    if reasons:
        why = "; ".join(f"{n}: {reason}" for reason, n in reasons.most_common())
        warnings.warn(f"{what}: {reasons.total()} of {len(items)} failed ({why}).", stacklevel=2)


class BondGeometry(NamedTuple):
    """Bond lengths in Å and bond angles in degrees of a molecule, by kind; empty if RDKit perceives no molecule."""

    lengths: Mapping[str, Sequence[float]]
    angles: Mapping[str, Sequence[float]]

    @classmethod
    def of(cls, molecule: Molecule) -> BondGeometry:
        """Return the bond geometry of a molecule."""
        mol = perceive(molecule)
        return cls({}, {}) if mol is None else cls(bond_lengths(mol), bond_angles(mol))


def measure_shapes(molecules: Sequence[Molecule]) -> tuple[Values, Values]:
    """Return the bond lengths in Å and the bond angles in degrees of all molecules, by kind."""
    shapes = [one for one in run_each(BondGeometry.of, molecules, "training geometries measured") if one]
    return merge_values(one.lengths for one in shapes), merge_values(one.angles for one in shapes)


def strain(mol: Any) -> float | None:
    """Return the MMFF94s energy above the nearest minimum in kcal/mol.

    None if MMFF94s lacks parameters or the minimisation does not converge.
    """
    properties = rdForceFieldHelpers.MMFFGetMoleculeProperties(mol, mmffVariant="MMFF94s")
    if properties is None:
        return None
    copy = Chem.Mol(mol)  # the force field moves its atoms and does not keep it alive
    field = rdForceFieldHelpers.MMFFGetMoleculeForceField(copy, properties)
    before = field.CalcEnergy()
    failed = field.Minimize(maxIts=MAX_MINIMISER_STEPS)
    return None if failed else float(before - field.CalcEnergy())


def has_posebusters() -> bool:
    """Return whether PoseBusters is installed."""
    return importlib.util.find_spec("posebusters") is not None


def passes_posebusters(mols: Sequence[Any]) -> list[bool]:
    """Return which RDKit molecules pass all tests of PoseBusters; a molecule whose tests fail to run does not."""
    from polydiff.domains.molecule.metrics.poses import bust

    return [bool(one) for one in run_each(bust, mols, "samples tested by PoseBusters")]
