"""How molecules are judged: what RDKit sees in them, what a table of bond lengths says, which of them exist.

A sample that fails (no molecule, a number that is not finite, a judge that takes too long) counts as one in every share
"of samples". Each rule has a name of its own, for a number means nothing without it: rdkit, edm, mmff, posebusters.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Mapping, Sequence, Set
from dataclasses import dataclass, field
from importlib import metadata
from statistics import fmean

import numpy as np

from polydiff.domains.molecule.chemistry.properties import PROPERTIES
from polydiff.domains.molecule.metrics.examine import Findings, Judged, busts, passes
from polydiff.domains.molecule.metrics.shapes import Values, distance
from polydiff.metrics.results import Metric
from polydiff.metrics.standard_error import Number, jackknife, mean, median, ratio, share

BUSTED = 250
"""Samples that PoseBusters sees at most: it takes forty times as long as all other judges together."""


@dataclass(frozen=True)
class Reference:
    """What samples are compared with.

    Arguments:
        train: SMILES of the training molecules.
        test: SMILES of the held-out molecules.
        universe: SMILES of all molecules that there are by the data set's rule; empty where that is not known.
        lengths: Bond lengths of training geometries by kind.
        angles: Bond angles of them.
    """

    train: Collection[str]
    test: Collection[str]
    universe: Collection[str] = frozenset()
    lengths: Values = field(default_factory=dict)
    angles: Values = field(default_factory=dict)


def judge(
    found: Sequence[Findings], reference: Reference, requested: Mapping[str, Sequence[float]]
) -> dict[str, Metric]:
    """Return all that is said of samples; `asked` as in `property_metrics`."""
    return (
        graph_metrics([one.judged for one in found], reference)
        | table_metrics(found)
        | space_metrics(found, reference)
        | (pose_metrics([one.judged for one in found[:BUSTED]]) if busts() else {})
        | property_metrics(found, requested)
    )


def graph_metrics(judged: Sequence[Judged], reference: Reference) -> dict[str, Metric]:
    """Return what is said of the molecules as graphs, by RDKit's perception of bonds."""
    n, seen = len(judged), [one.smiles for one in judged]
    train, distinct = set(reference.train), {smiles for smiles in seen if smiles is not None}
    found = {
        "valid_connected_rdkit": Metric.of(
            share(sum(one.mol is not None for one in judged), n),
            "",
            "higher",
            "Share of samples in whose atoms RDKit's DetermineBonds (charge 0, no radicals) sees a molecule, in one "
            "piece.",
        ),
        "neutral_rdkit": Metric.of(
            share(sum(one.neutral for one in judged), n),
            "",
            "higher",
            "Share of samples in which that molecule has no charged atom. RDKit explains wrong numbers of hydrogens by "
            "pairs of charges, [CH2-] and [CH+]; nitro groups and zwitterions have theirs by right: see real data.",
        ),
        "valid_rdkit": Metric.of(
            share(sum(one.valid for one in judged), n),
            "",
            "higher",
            "Share of samples in whose atoms RDKit sees a molecule, be it in several pieces.",
        ),
        "connected": Metric.of(
            share(sum(one.connected for one in judged), n),
            "",
            "higher",
            "Share of samples whose atoms are in one piece by RDKit's covalent radii, whatever their valences.",
        ),
        "unique": Metric.of(
            distinct_number(seen, distinct, n),
            "",
            "higher",
            f"Distinct valid molecules, by SMILES without stereochemistry, over all {n} samples, the invalid too. Real "
            "data repeat molecules too, in other conformers.",
        ),
        "novel": Metric.of(
            share(len(distinct - train), len(distinct)),
            "",
            "higher",
            f"Share of the distinct valid molecules that are none of the {len(train)} for training. Held-out molecules "
            "are novel, but so is every wrong one: see precision.",
        ),
    }
    if reference.universe:
        universe, held_out = set(reference.universe), set(reference.test)
        found["precision"] = Metric.of(
            share(len(distinct & universe), len(distinct)),
            "",
            "higher",
            f"Share of the distinct valid molecules that belong to the {len(universe)} molecules of the enumeration.",
        )
        found["recall_held_out"] = Metric.of(
            distinct_number(seen, held_out, len(held_out)),
            "",
            "higher",
            f"Share of the {len(held_out)} held-out molecules, which training never saw, that {n} samples hit. It "
            "grows with the number of samples; the row of real data is made of such molecules.",
        )
    return found


def distinct_number(seen: Sequence[str | None], wanted: Set[str], whole: int) -> Number:
    """Return the number of wanted molecules among samples over `whole`."""
    if not whole:
        return Number(math.nan)
    counts = Counter(smiles for smiles in seen if smiles in wanted)
    without = [(len(counts) - (counts.get(smiles or "") == 1)) / whole for smiles in seen]
    return Number(len(counts) / whole, jackknife(without))


def table_metrics(found: Sequence[Findings]) -> dict[str, Metric]:
    """Return what EDM's table of bond lengths says."""
    stable, n = [one.stable for one in found], len(found)
    rule = "by EDM's table of bond lengths, which gauges precise positions and takes aromatic rings for unstable"
    return {
        "edm_atom_stable": Metric.of(
            ratio([atoms.sum() for atoms in stable], [len(atoms) for atoms in stable]),
            "",
            "higher",
            f"Share of all atoms whose bonds add up to a valence, {rule}.",
        ),
        "edm_molecule_stable": Metric.of(
            share(sum(bool(atoms.all()) for atoms in stable), n),
            "",
            "higher",
            f"Share of samples of which all atoms are stable {rule}.",
        ),
        "edm_valid": Metric.of(
            share(sum(one.table is not None for one in found), n),
            "",
            "higher",
            "Share of samples of which EDM's table makes something that RDKit accepts: bonds that are missing are "
            "taken for hydrogens and pieces are no fault, so far-apart atoms pass.",
        ),
    }


def space_metrics(found: Sequence[Findings], reference: Reference) -> dict[str, Metric]:
    """Return what is said of the valid molecules' geometries."""
    strains = [one.strain for one in found if not math.isnan(one.strain)]
    metrics = {
        "strain_mmff": Metric.of(
            median(strains),
            "kcal/mol",
            "lower",
            "Median energy that a valid sample loses when MMFF94s brings it to the nearest minimum; see strain_known.",
        ),
        "strain_known": Metric.of(
            share(len(strains), len(found)),
            "",
            "higher",
            "Share of samples that have a strain: RDKit sees a molecule in one piece, MMFF94s has its parameters, and "
            "the search for the minimum converges.",
        ),
    }
    shapes = {
        "bond_lengths": ([one.lengths for one in found], reference.lengths, "Å", "lengths of bonds", "elements, order"),
        "bond_angles": ([one.angles for one in found], reference.angles, "°", "bond angles", "elements, hybridisation"),
    }
    for name, (values, known, unit, what, kinds) in shapes.items():
        if known:
            metrics[name] = Metric.of(
                distance(values, known),
                unit,
                "lower",
                f"Wasserstein distance of the {what} of valid samples to those of training geometries, by kind "
                f"({kinds}), averaged over all. It shrinks with the number of samples: the row of real data is its "
                "floor.",
            )
    return metrics


def pose_metrics(judged: Sequence[Judged]) -> dict[str, Metric]:
    """Return what PoseBusters says."""
    passed, version = sum(passes([one.mol for one in judged if one.mol is not None])), metadata.version("posebusters")
    return {
        "posebusters": Metric.of(
            share(passed, len(judged)),
            "",
            "higher",
            f"Share of the first {len(judged)} samples that pass all tests of PoseBusters {version} (mol_fast: bond "
            "lengths, angles, clashes, flatness; its bounds are wide). What is invalid, or cannot be tested, does not.",
        )
    }


def property_metrics(found: Sequence[Findings], requested: Mapping[str, Sequence[float]]) -> dict[str, Metric]:
    """Return how far samples are from what they were asked to be.

    Arguments:
        found: What judges find in the samples.
        asked: Property -> what each sample was asked for, in the property's unit; NaN for nothing.
    """
    metrics = {}
    for name, wanted in requested.items():
        pairs = [
            (value, one.properties[name])
            for one, value in zip(found, wanted, strict=True)
            if not math.isnan(one.properties[name]) and not math.isnan(value)
        ]
        metrics[f"error_{name}"] = Metric.of(
            mean([abs(a - b) for a, b in pairs]),
            PROPERTIES[name].unit,
            "lower",
            f"Mean difference between the {PROPERTIES[name].meaning} asked for and what RDKit measures on the valid "
            f"samples; if what was asked were dealt out anew among them, {shuffled(pairs):.3g}.",
        )
    return metrics


def shuffled(pairs: Sequence[tuple[float, float]]) -> float:
    """Return the mean difference that chance would give: of each number asked for and each number measured."""
    requested, measured = np.array(pairs, np.float64).reshape(-1, 2).T
    return (
        fmean(np.abs(one - measured).mean() for one in requested) if pairs else math.nan
    )  # the table of all may be large
