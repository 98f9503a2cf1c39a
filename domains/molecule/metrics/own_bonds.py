"""Metrics of molecules by the bonds that they have, which nothing perceives.

A sample is valid if RDKit sanitises its atoms, charges and bonds as they are, without radicals. With positions,
agreement says whether graph and geometry are one molecule: RDKit perceives the same molecule in the positions.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from rdkit import Chem

from polydiff.domains.molecule.chemistry.bonds import TYPES, sanitised
from polydiff.domains.molecule.chemistry.geometry import Molecule
from polydiff.domains.molecule.chemistry.identity import graph_smiles, molecule_key
from polydiff.domains.molecule.chemistry.perceive import has_charged_atoms, has_finite_positions, perceive
from polydiff.domains.molecule.data.library import Library
from polydiff.domains.molecule.metrics.examine import run_each, strain
from polydiff.domains.molecule.metrics.sample_set import distinct_ratio
from polydiff.domains.molecule.metrics.shapes import Values, bond_lengths, mean_wasserstein, merge_values
from polydiff.metrics.results import Metric
from polydiff.metrics.standard_error import median, share

Valence = tuple[int, int, tuple[int, ...]]
"""Atomic number, formal charge, and the sorted orders of the bonds of an atom."""


@dataclass(frozen=True)
class OwnBonds:
    """The measurements of a sample by its own bonds.

    Arguments:
        mol: RDKit molecule with these bonds, sanitised; None if RDKit refuses them, or finds a radical.
        pieces: Number of pieces of `mol`; 0 if there is none.
        key: Identity of `mol` if it is in one piece (`molecule_key`; of a graph alone its SMILES); None otherwise.
        valences: The distinct valences of its atoms.
        agrees: Whether RDKit perceives the same molecule in the positions.
        strain: Energy above the nearest minimum in kcal/mol; NaN if unknown.
        lengths: Kind of bond -> lengths in Å.
    """

    mol: Any = None
    pieces: int = 0
    key: str | None = None
    valences: frozenset[Valence] = frozenset()
    agrees: bool = False
    strain: float = math.nan
    lengths: Mapping[str, Sequence[float]] = field(default_factory=dict)

    @property
    def neutral(self) -> bool:
        """Whether the sample is valid, in one piece and has no charged atom."""
        return self.key is not None and not has_charged_atoms(self.mol)

    @classmethod
    def of(cls, molecule: Molecule) -> OwnBonds:
        """Return the measurements of a sample."""
        mol, valences = sanitised(molecule), valences_of(molecule)
        if mol is None:
            return cls(valences=valences)
        pieces = len(Chem.GetMolFrags(mol))
        if pieces > 1:
            return cls(mol, pieces, None, valences)
        if molecule.implicit:
            return cls(mol, 1, graph_smiles(mol), valences)
        key = molecule_key(mol)
        if not has_finite_positions(molecule):
            return cls(mol, 1, key, valences)
        perceived, energy = perceive(molecule), strain(mol)
        agrees = perceived is not None and molecule_key(perceived) == key
        return cls(mol, 1, key, valences, agrees, math.nan if energy is None else energy, bond_lengths(mol))


def valences_of(molecule: Molecule) -> frozenset[Valence]:
    """Return the distinct valences of a molecule's atoms."""
    assert molecule.bonds is not None, "its bonds are unknown"
    assert molecule.charges is not None, "its charges are unknown"
    rows = zip(molecule.numbers.tolist(), molecule.charges.tolist(), molecule.bonds.tolist(), strict=True)
    return frozenset((number, charge, tuple(sorted(order for order in row if order))) for number, charge, row in rows)


def examine_bonds(molecules: Sequence[Molecule]) -> list[OwnBonds]:
    """Return the measurements of each sample by its own bonds, computed in worker processes."""
    return [one or OwnBonds() for one in run_each(OwnBonds.of, molecules, "samples evaluated by their bonds")]


@dataclass(frozen=True)
class BondReference:
    """The molecules that samples are compared with.

    Arguments:
        train: Keys of the training molecules.
        test: Keys of the held-out molecules.
        universe: Keys of all molecules that the data set's rule allows; empty if unknown.
        valences: Valences of atoms of training molecules.
        lengths: Lengths of bonds of training molecules in Å by kind; empty for graphs alone.
    """

    train: Collection[str]
    test: Collection[str]
    universe: Collection[str]
    valences: frozenset[Valence]
    lengths: Values

    @classmethod
    def of(cls, train: Library, test: Library, universe: Collection[str], few: Sequence[int]) -> BondReference:
        """Return the reference of a data set; `few` are the numbers of training molecules whose bonds are measured."""
        own = [] if train.implicit else examine_bonds([train[i] for i in few])
        lengths = merge_values(one.lengths for one in own)
        return cls(frozenset(train.smiles), frozenset(test.smiles), universe, library_valences(train), lengths)


def library_valences(library: Library) -> frozenset[Valence]:
    """Return the distinct valences of all atoms of a library."""
    i, j, order, _ = library.bonds.T.astype(np.int64)
    first = np.repeat(library.first[:-1], np.diff(library.first_bond))
    counts = np.zeros((len(library.numbers), len(TYPES)), np.int64)
    for end in (i, j):
        np.add.at(counts, (first + end, order - 1), 1)
    rows = np.unique(np.column_stack([library.numbers, library.charges, counts]), axis=0).tolist()
    return frozenset((z, q, tuple(k + 1 for k, n in enumerate(own) for _ in range(n))) for z, q, *own in rows)


def bond_metrics(found: Sequence[OwnBonds], reference: BondReference, placed: bool) -> dict[str, Metric]:
    """Return the metrics of samples by their own bonds.

    Arguments:
        found: Measurements of each sample.
        reference: What they are compared with.
        placed: Whether samples have positions.
    """
    n, seen = len(found), [one.key for one in found]
    distinct = {key for key in seen if key is not None}
    novel = distinct - set(reference.train)

    def of_samples(count: int, meaning: str) -> Metric:
        return Metric.of(share(count, n), "", "higher", f"Share of samples {meaning}")

    metrics = {
        "own_valid": of_samples(
            len(seen) - seen.count(None), "that RDKit sanitises with their own bonds and charges, in one piece."
        ),
        "own_neutral": of_samples(sum(one.neutral for one in found), "that are such a molecule without charged atoms."),
        "own_sanitised": of_samples(
            sum(one.mol is not None for one in found),
            "that RDKit sanitises without radicals, in one piece or several.",
        ),
        "own_valences": of_samples(
            sum(bool(one.valences) and one.valences <= reference.valences for one in found),
            "of which each atom has an element, charge and sorted orders of bonds that an atom of the training data "
            "has.",
        ),
        "own_unique": Metric.of(
            distinct_ratio(seen, distinct, n),
            "",
            "higher",
            f"Number of distinct valid molecules divided by all {n} samples.",
        ),
        "own_novel": Metric.of(
            share(len(novel), len(distinct)),
            "",
            "higher",
            f"Share of the distinct valid molecules that are not among the {len(set(reference.train))} training ones.",
        ),
    }
    if reference.universe:
        universe, held_out = set(reference.universe), set(reference.test)
        metrics["own_precision"] = Metric.of(
            share(len(distinct & universe), len(distinct)),
            "",
            "higher",
            f"Share of the distinct valid molecules that are among the {len(universe)} enumerated molecules.",
        )
        metrics["own_recall_held_out"] = Metric.of(
            distinct_ratio(seen, held_out, len(held_out)),
            "",
            "higher",
            f"Share of the {len(held_out)} held-out molecules that occur among {n} samples.",
        )
    return metrics | (place_metrics(found, reference) if placed else {})


def place_metrics(found: Sequence[OwnBonds], reference: BondReference) -> dict[str, Metric]:
    """Return the metrics of own bonds that need positions."""
    valid = [one for one in found if one.key is not None]
    strains = [one.strain for one in valid if not math.isnan(one.strain)]
    metrics = {
        "own_agreement": Metric.of(
            share(sum(one.agrees for one in valid), len(valid)),
            "",
            "higher",
            "Share of valid samples in whose positions RDKit's DetermineBonds perceives the molecule of their bonds.",
        ),
        "own_strain": Metric.of(
            median(strains),
            "kcal/mol",
            "lower",
            "Median energy that valid samples lose when MMFF94s minimises them, with their own bonds.",
        ),
    }
    if reference.lengths:
        metrics["own_bond_lengths"] = Metric.of(
            mean_wasserstein([one.lengths for one in found], reference.lengths),
            "Å",
            "lower",
            "Wasserstein distance of the lengths of own bonds of valid samples to those of training molecules, by kind "
            "(elements, order), averaged over all.",
        )
    return metrics
