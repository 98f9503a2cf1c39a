"""Metrics of a set of sampled molecules: validity, stability, uniqueness, geometry and agreement with conditions.

Every share "of samples" counts failures in its denominator: samples without a molecule, with positions that are not
finite, or whose evaluation takes too long. Names of metrics contain the rule that they depend on (rdkit, edm, mmff,
posebusters), since values by different rules cannot be compared.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Mapping, Sequence, Set
from dataclasses import dataclass, field
from importlib import metadata
from statistics import fmean

import numpy as np

from polydiff.domains.molecule.chemistry.geometry import Molecule
from polydiff.domains.molecule.chemistry.properties import PROPERTIES
from polydiff.domains.molecule.metrics.examine import Findings, PerceivedSample, has_posebusters, passes_posebusters
from polydiff.domains.molecule.metrics.shapes import Values, mean_wasserstein
from polydiff.metrics.results import Metric
from polydiff.metrics.standard_error import Number, jackknife, mean, median, ratio, share

MAX_POSEBUSTERS_SAMPLES = 250
"""Largest number of samples given to PoseBusters, which takes forty times as long as all other metrics together."""


@dataclass(frozen=True)
class Reference:
    """The molecules and geometries that samples are compared with.

    Arguments:
        train: Keys (`chemistry.identity.molecule_key`) of the training molecules.
        test: Keys of the held-out molecules.
        universe: Keys of all molecules that the data set's rule allows; empty if unknown.
        lengths: Bond lengths of training geometries in Å by kind.
        angles: Bond angles of training geometries in degrees by kind.
        perceived: Keys of the molecules that RDKit perceives in the training geometries, as it does in samples.
    """

    train: Collection[str]
    test: Collection[str]
    universe: Collection[str] = frozenset()
    lengths: Values = field(default_factory=dict)
    angles: Values = field(default_factory=dict)
    perceived: Collection[str] = frozenset()


def all_metrics(
    found: Sequence[Findings], reference: Reference, requested: Mapping[str, Sequence[float]]
) -> dict[str, Metric]:
    """Return all metrics of samples; `requested` as in `property_metrics`."""
    return (
        graph_metrics([one.perceived for one in found], reference)
        | table_metrics(found)
        | space_metrics(found, reference)
        | (pose_metrics([one.perceived for one in found[:MAX_POSEBUSTERS_SAMPLES]]) if has_posebusters() else {})
        | property_metrics(found, requested)
    )


def graph_metrics(samples: Sequence[PerceivedSample], reference: Reference) -> dict[str, Metric]:
    """Return metrics of the molecules as graphs, by RDKit's perception of bonds."""
    n, seen = len(samples), [one.key for one in samples]
    distinct = {key for key in seen if key is not None}
    novel = distinct - set(reference.train) - set(reference.perceived)
    found = {
        "valid_connected_rdkit": Metric.of(
            share(sum(one.mol is not None for one in samples), n),
            "",
            "higher",
            "Share of samples in which RDKit's DetermineBonds (charge 0, no radicals) finds a molecule in one piece.",
        ),
        "neutral_rdkit": Metric.of(
            share(sum(one.neutral for one in samples), n),
            "",
            "higher",
            "Share of samples in which that molecule has no charged atom. RDKit explains a wrong number of hydrogens "
            "by a pair of charges, [CH2-] and [CH+]. Nitro groups and zwitterions are charged correctly: compare with "
            "real data.",
        ),
        "valid_rdkit": Metric.of(
            share(sum(one.valid for one in samples), n),
            "",
            "higher",
            "Share of samples in which RDKit finds a molecule, in one piece or several.",
        ),
        "connected": Metric.of(
            share(sum(one.connected for one in samples), n),
            "",
            "higher",
            "Share of samples whose atoms are in one piece by RDKit's covalent radii, regardless of valences.",
        ),
        "unique": Metric.of(
            distinct_ratio(seen, distinct, n),
            "",
            "higher",
            f"Number of distinct valid molecules, regardless of stereochemistry, divided by all {n} samples, "
            "including invalid ones. Real data also repeat molecules, in other conformers.",
        ),
        "novel": Metric.of(
            share(len(novel), len(distinct)),
            "",
            "higher",
            f"Share of the distinct valid molecules that are not among the {len(set(reference.train))} training "
            "molecules, neither as the data write them nor as RDKit perceives their geometries. Held-out molecules are "
            "novel, but so is every wrong one: compare with precision.",
        ),
    }
    if reference.universe:
        universe, held_out = set(reference.universe), set(reference.test)
        found["precision"] = Metric.of(
            share(len(distinct & universe), len(distinct)),
            "",
            "higher",
            f"Share of the distinct valid molecules that are among the {len(universe)} enumerated molecules.",
        )
        found["recall_held_out"] = Metric.of(
            distinct_ratio(seen, held_out, len(held_out)),
            "",
            "higher",
            f"Share of the {len(held_out)} held-out molecules that occur among {n} samples. It grows with the number "
            "of samples. The row of real data consists of held-out molecules.",
        )
    return found


def pair_metrics(
    pairs: Sequence[tuple[Molecule, Molecule]], keys: Sequence[str | None], true_keys: Sequence[str | None]
) -> dict[str, Metric]:
    """Return metrics of samples that stand for true molecules with the same number of atoms, in the same order.

    Arguments:
        pairs: Each sample and its true molecule.
        keys: Identity of the molecule that RDKit perceives in each sample; None: none.
        true_keys: The same of the true molecules.
    """
    perceived = [(own, true) for own, true in zip(keys, true_keys, strict=True) if true is not None]
    right = sum(int((one.numbers == true.numbers).sum()) for one, true in pairs)
    moved = [float(np.sqrt(((one.positions - true.positions) ** 2).sum(1).mean())) for one, true in pairs]
    return {
        "same_molecule_rdkit": Metric.of(
            share(sum(own == true for own, true in perceived), len(perceived)),
            "",
            "higher",
            "Share in which RDKit perceives the molecule that it perceives in the true geometry, regardless of "
            "stereochemistry. True geometries in which it perceives none do not count.",
        ),
        "right_elements": Metric.of(
            share(right, sum(len(true.numbers) for _, true in pairs)),
            "",
            "higher",
            "Share of atoms of the true element.",
        ),
        "position_error": Metric.of(
            mean(moved),
            "Å",
            "lower",
            "Root mean square distance of atoms from their true positions, mean of molecules.",
        ),
    }


def distinct_ratio(seen: Sequence[str | None], wanted: Set[str], total: int) -> Number:
    """Return the number of distinct wanted molecules among samples, divided by `total`, with its jackknife error.

    Arguments:
        seen: Keys of each sample, None if invalid.
        wanted: Keys to count.
        total: The denominator.
    """
    if not total:
        return Number(math.nan)
    counts = Counter(key for key in seen if key in wanted)
    without = [(len(counts) - (counts.get(key or "") == 1)) / total for key in seen]
    return Number(len(counts) / total, jackknife(without))


def table_metrics(found: Sequence[Findings]) -> dict[str, Metric]:
    """Return the stability metrics of EDM's table of bond lengths."""
    stable, n = [one.stable for one in found], len(found)
    rule = "by EDM's table of bond lengths, which needs precise positions and calls aromatic rings unstable"
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
            f"Share of samples whose atoms are all stable {rule}.",
        ),
        "edm_valid": Metric.of(
            share(sum(one.table is not None for one in found), n),
            "",
            "higher",
            "Share of samples that RDKit accepts with the bonds of EDM's table. Missing bonds count as hydrogens and "
            "several pieces are allowed, so atoms far from each other pass.",
        ),
    }


def space_metrics(found: Sequence[Findings], reference: Reference) -> dict[str, Metric]:
    """Return metrics of the geometries of valid samples."""
    strains = [one.strain for one in found if not math.isnan(one.strain)]
    metrics = {
        "strain_mmff": Metric.of(
            median(strains),
            "kcal/mol",
            "lower",
            "Median energy that valid samples lose when MMFF94s minimises them to the nearest minimum. See "
            "strain_known.",
        ),
        "strain_known": Metric.of(
            share(len(strains), len(found)),
            "",
            "higher",
            "Share of samples that have a strain: RDKit finds a molecule in one piece, MMFF94s has parameters for it, "
            "and the minimisation converges.",
        ),
    }
    shapes = {
        "bond_lengths": ([one.lengths for one in found], reference.lengths, "Å", "lengths of bonds", "elements, order"),
        "bond_angles": ([one.angles for one in found], reference.angles, "°", "bond angles", "elements, hybridisation"),
    }
    for name, (values, known, unit, what, kinds) in shapes.items():
        if known:
            metrics[name] = Metric.of(
                mean_wasserstein(values, known),
                unit,
                "lower",
                f"Wasserstein distance of the {what} of valid samples to those of training geometries, by kind "
                f"({kinds}), averaged over all. It shrinks with the number of samples; the row of real data is its "
                "lower limit.",
            )
    return metrics


def pose_metrics(samples: Sequence[PerceivedSample]) -> dict[str, Metric]:
    """Return the share of samples that pass PoseBusters."""
    passed = sum(passes_posebusters([one.mol for one in samples if one.mol is not None]))
    version = metadata.version("posebusters")
    return {
        "posebusters": Metric.of(
            share(passed, len(samples)),
            "",
            "higher",
            f"Share of the first {len(samples)} samples that pass all tests of PoseBusters {version} (mol_fast: bond "
            "lengths, angles, clashes, flatness; its bounds are wide). A sample that is invalid or cannot be tested "
            "does not pass.",
        )
    }


def property_metrics(found: Sequence[Findings], requested: Mapping[str, Sequence[float]]) -> dict[str, Metric]:
    """Return the mean absolute difference between requested and measured properties.

    Arguments:
        found: Findings of each sample.
        requested: Property -> requested value of each sample, in the property's unit; NaN if unconditioned.
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
            f"Mean absolute difference between the requested {PROPERTIES[name].meaning} and the value that RDKit "
            f"measures on valid samples. If requests were shuffled among them, it would be "
            f"{shuffled_error(pairs):.3g}.",
        )
    return metrics


def shuffled_error(pairs: Sequence[tuple[float, float]]) -> float:
    """Return the expected mean absolute difference if requested values are shuffled among samples; NaN for no pairs.

    It is the mean over all combinations of a requested and a measured value.
    """
    requested, measured = np.array(pairs, np.float64).reshape(-1, 2).T
    # row by row, since the table of all combinations may be large
    return fmean(np.abs(one - measured).mean() for one in requested) if pairs else math.nan
