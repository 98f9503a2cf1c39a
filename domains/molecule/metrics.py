"""How molecules are judged: what RDKit sees in them, what a table of bond lengths says, which of them exist."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, median
from typing import Any

from rdkit import Chem
from rdkit.Chem import rdForceFieldHelpers

from polydiff.domain import Metric
from polydiff.domains.molecule.data import graph_smiles
from polydiff.domains.molecule.geometry import ITERATIONS, Molecule
from polydiff.domains.molecule.perceive import perceive
from polydiff.domains.molecule.properties import PROPERTIES, measure
from polydiff.domains.molecule.stability import stable_atoms


@dataclass(frozen=True)
class Reference:
    """What samples are compared with.

    Arguments:
        train: SMILES of the training molecules.
        test: SMILES of the held-out molecules.
        universe: SMILES of all molecules that there are by the data set's rule; empty where that is not known.
    """

    train: Collection[str]
    test: Collection[str]
    universe: Collection[str] = frozenset()


@dataclass(frozen=True)
class Judged:
    """A sample and what RDKit sees in it.

    Arguments:
        molecule: The sample.
        mol: RDKit's molecule, None where there is none.
        smiles: Its canonical SMILES, without stereochemistry.
    """

    molecule: Molecule
    mol: Any
    smiles: str | None

    @classmethod
    def of(cls, molecule: Molecule) -> Judged:
        """Look at a sample."""
        mol = perceive(molecule)
        return cls(molecule, mol, None if mol is None else graph_smiles(mol))


def graph_metrics(judged: Sequence[Judged], reference: Reference) -> dict[str, Metric]:
    """Return what is said of the molecules as graphs, by RDKit's perception of bonds."""
    n, seen = len(judged), [one.smiles for one in judged if one.smiles is not None]
    distinct = set(seen)
    found = {
        "valid_connected_rdkit": Metric(
            share(len(seen), n),
            "",
            "higher",
            "Share of samples in whose atoms RDKit's DetermineBonds (charge 0, no radicals) sees a molecule, in one "
            "piece.",
        ),
        "unique": Metric(
            share(len(distinct), n),
            "",
            "higher",
            f"Distinct valid molecules, by SMILES without stereochemistry, over all {n} samples, the invalid too. Real "
            "data repeat molecules too, in other conformers.",
        ),
        "novel": Metric(
            share(len(distinct - set(reference.train)), len(distinct)),
            "",
            "higher",
            f"Share of the distinct valid molecules that are none of the {len(set(reference.train))} for training. "
            "Held-out molecules are novel, but so is every wrong one: see precision.",
        ),
    }
    if reference.universe:
        held_out = set(reference.test)
        found["precision"] = Metric(
            share(len(distinct & set(reference.universe)), len(distinct)),
            "",
            "higher",
            f"Share of the distinct valid molecules that belong to the {len(set(reference.universe))} molecules of the "
            "enumeration.",
        )
        found["recall_held_out"] = Metric(
            share(len(distinct & held_out), len(held_out)),
            "",
            "higher",
            f"Share of the {len(held_out)} held-out molecules, which training never saw, that {n} samples hit. It "
            "grows with the number of samples; the row of real data is made of such molecules.",
        )
    return found


def space_metrics(judged: Sequence[Judged]) -> dict[str, Metric]:
    """Return what is said of the molecules as atoms in space."""
    stable = [stable_atoms(one.molecule) for one in judged]
    strains = [energy for one in judged if one.mol is not None for energy in [strain(one.mol)] if energy is not None]
    rule = "by EDM's table of bond lengths, which gauges precise positions and takes aromatic rings for unstable"
    return {
        "edm_atom_stable": Metric(
            share(sum(int(atoms.sum()) for atoms in stable), sum(map(len, stable))),
            "",
            "higher",
            f"Share of all atoms whose bonds add up to a valence, {rule}.",
        ),
        "edm_molecule_stable": Metric(
            share(sum(bool(atoms.all()) for atoms in stable), len(stable)),
            "",
            "higher",
            f"Share of samples of which all atoms are stable {rule}.",
        ),
        "strain": Metric(
            median(strains) if strains else math.nan,
            "kcal/mol",
            "lower",
            "Median energy that a valid sample loses when MMFF94s brings it to the nearest minimum.",
        ),
    }


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


def property_metrics(judged: Sequence[Judged], asked: Mapping[str, Sequence[float]]) -> dict[str, Metric]:
    """Return how far samples are from what they were asked to be.

    Arguments:
        judged: The samples.
        asked: Property -> what each sample was asked for, in the property's unit; NaN for nothing.
    """
    found = {}
    for name, wanted in asked.items():
        pairs = [
            (value, measure(one.mol, [name])[0])
            for one, value in zip(judged, wanted, strict=True)
            if one.mol is not None and not math.isnan(value)
        ]
        found[f"error_{name}"] = Metric(
            fmean(abs(a - b) for a, b in pairs) if pairs else math.nan,
            PROPERTIES[name].unit,
            "lower",
            f"Mean difference between the {PROPERTIES[name].meaning} asked for and what RDKit measures on the valid "
            f"samples; if what was asked were dealt out anew among them, {shuffled(pairs):.3g}.",
        )
    return found


def shuffled(pairs: Sequence[tuple[float, float]]) -> float:
    """Return the mean difference that chance would give: of each number asked for and each number measured."""
    asked, measured = [a for a, _ in pairs], [b for _, b in pairs]
    return fmean(abs(a - b) for a in asked for b in measured) if pairs else math.nan


def share(part: int, whole: int) -> float:
    """Return part / whole, NaN of nothing."""
    return part / whole if whole else math.nan
