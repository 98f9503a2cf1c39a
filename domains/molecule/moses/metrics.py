r"""The metrics of MOSES (Polykovskiy et al., 2020, https://arxiv.org/abs/1811.12823), as its package molsets has them.

With T the Tanimoto similarity of Morgan fingerprints of radius 2 and 1024 bits, valid samples G and test molecules R,

$$ \mathrm{IntDiv}_p = 1 - \sqrt[p]{\frac{1}{|G|^2} \sum_{a, b \in G} T(a, b)^p}, \qquad
   \mathrm{SNN} = \frac{1}{|G|} \sum_{a \in G} \max_{b \in R} T(a, b), $$

Frag and Scaf are the cosine of the vectors of counts of BRICS fragments, and of Bemis-Murcko scaffolds of two or more
rings, and logP, SA, QED and weight are compared by the Wasserstein-1 distance of their distributions. Held-out
molecules, the row of real data, are compared with the others of the test set. The Frechet distance by ChemNet (FCD) is
in `chemnet`.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from polydiff.domains.molecule.data.further import further_smiles
from polydiff.domains.molecule.metrics.examine import run_each
from polydiff.domains.molecule.moses.chemnet import (
    FEATURES,
    MOST,
    ChemNetSet,
    absent,
    activations,
    chemnet_distance,
)
from polydiff.domains.molecule.moses.features import PROPERTIES, Features, features
from polydiff.domains.molecule.moses.filters import passes_filters
from polydiff.domains.molecule.moses.reference import MoleculeSet, fragments_of, scaffolds_of
from polydiff.domains.molecule.moses.similarity import diversity, nearest
from polydiff.metrics.results import Metric
from polydiff.metrics.standard_error import Number, jackknife, mean, share
from polydiff.metrics.wasserstein import wasserstein

FIRST = (1000, 10_000)
"""Numbers of valid samples among which the distinct ones are counted."""
UNITS = {"logp": "", "sa": "", "qed": "", "weight": "g/mol"}
WORDS = {
    "logp": "log P (Crippen)",
    "sa": "synthetic accessibility, from 1 for easy to 10 for hard",
    "qed": "drug-likeness (QED)",
    "weight": "molar mass",
}
"""Property -> what it is."""


TRAINED = 10_000
"""Largest number of training molecules that samples are compared with."""
SETS = {
    "train": "training molecules",
    "test": "held-out molecules",
    "scaffolds": "molecules whose scaffolds do not occur in training",
}
"""Name of a set in metrics -> what it holds."""


@dataclass(frozen=True)
class Compared:
    """The sets of molecules that samples are compared with, as valid SMILES.

    Arguments:
        train: Training molecules.
        test: Held-out molecules.
        root: Folder of the data, which may have a further test set (`data.further`); None: there is no folder.
        most: Largest number of test molecules of each set, evenly spaced.
    """

    train: Sequence[str]
    test: Sequence[str]
    root: Path | None
    most: int

    @cached_property
    def sets(self) -> Mapping[str, MoleculeSet]:
        """Name of a set, a key of `SETS` -> the set; properties are measured of "test" alone."""
        listed = {"train": spaced(self.train, TRAINED), "test": spaced(self.test, self.most)}
        if further := further_smiles(self.root):
            listed["scaffolds"] = spaced(further, self.most)
        return {name: MoleculeSet.cached(smiles, name == "test") for name, smiles in listed.items()}

    def metrics(self, smiles: Sequence[str], real: bool) -> dict[str, Metric]:
        """Return the metrics of valid samples.

        Arguments:
            smiles: Canonical SMILES of the valid samples, in their order, repeated ones included.
            real: Whether they are held-out molecules, which are compared with the others of the test set.
        """
        made = features(smiles)
        found = set_metrics(smiles, made)
        for name, reference in self.sets.items():
            found |= likeness(made, reference.without(made) if real else reference, name)
        test = self.sets["test"]
        return found | distances(made, test.without(made) if real else test) | self.chemnet_metrics(smiles, real)

    @cached_property
    def chemnet_sets(self) -> Mapping[str, ChemNetSet]:
        """Name of a test set -> the features of its molecules by ChemNet, of up to `chemnet.MOST`; {} without it."""
        if absent():
            return {}
        return {name: ChemNetSet.cached(spaced(one.smiles, MOST)) for name, one in self.sets.items() if name != "train"}

    def chemnet_metrics(self, smiles: Sequence[str], real: bool) -> dict[str, Metric]:
        """Return the distances to the test sets on features by ChemNet; arguments as of `metrics`."""
        made = activations(smiles) if self.chemnet_sets else np.zeros((len(smiles), FEATURES), np.float32)
        found = {}
        for name in (name for name in self.sets if name != "train"):
            known = self.chemnet_sets.get(name)
            reference = known.without(set(smiles)) if known and real else known
            found[f"fcd_{name}"] = chemnet_distance(made, reference, SETS[name])
        return found


def spaced(smiles: Sequence[str], most: int) -> Sequence[str]:
    """Return up to `most` of a list, evenly spaced."""
    n = min(most, len(smiles))
    return [smiles[i * len(smiles) // n] for i in range(n)]


def set_metrics(smiles: Sequence[str], made: Sequence[Features]) -> dict[str, Metric]:
    """Return the metrics of valid samples that need no other molecules; arguments as of `Compared.metrics`."""
    fingerprints = MoleculeSet.of(made).fingerprints
    passed = [bool(one) for one in run_each(passes_filters, smiles, "molecules filtered", quiet=True)]
    found = {f"unique_{k}": distinct(smiles, k) for k in FIRST if k == FIRST[0] or len(smiles) > FIRST[0]}
    of_pairs = "Tanimoto similarity (Morgan, radius 2, 1024 bits) of all pairs of valid samples"
    return found | {
        "internal_diversity": Metric(diversity(fingerprints), "", "higher", f"1 minus the mean {of_pairs}."),
        "internal_diversity_2": Metric(
            diversity(fingerprints, 2), "", "higher", f"1 minus the root mean square {of_pairs}, by sample."
        ),
        "filters": Metric.of(
            share(sum(passed), len(passed)),
            "",
            "higher",
            "Share of valid samples that pass the filters of MOSES: none of its 22 structures to avoid (MCF) and of "
            "those of PAINS (RDKit's list), no charges, only C, N, S, O, F, Cl, Br and H, no ring of 8 or more.",
        ),
    }


def distinct(smiles: Sequence[str], k: int) -> Metric:
    """Return the share of distinct molecules among the first k valid samples."""
    first = smiles[:k]
    counts, n = Counter(first), len(first)
    value = len(counts) / n if n else math.nan
    without = [(len(counts) - (counts[one] == 1)) / (n - 1) for one in first] if n > 1 else []
    meaning = f"Share of distinct molecules among the first {n} valid samples (unique@{k} of MOSES)."
    return Metric.of(Number(value, jackknife(without)), "", "higher", meaning)


def likeness(made: Sequence[Features], reference: MoleculeSet, name: str) -> dict[str, Metric]:
    """Return how similar the structures of valid samples and of a set are; `name` is a key of `SETS`."""
    m = len(reference)
    of = f"{m} {SETS[name]}. Compare it at the same numbers of samples and molecules alone."
    similar = nearest(MoleculeSet.of(made).fingerprints, reference.fingerprints)
    return {
        f"snn_{name}": Metric.of(
            mean(similar.tolist() if m else []),
            "",
            "higher",
            f"Mean Tanimoto similarity (Morgan, radius 2, 1024 bits) of valid samples to the most similar of {of}",
        ),
        f"fragments_{name}": Metric.of(
            cosine(fragments_of(made), reference.fragments),
            "",
            "higher",
            f"Cosine similarity of the counts of BRICS fragments to those of {of}",
        ),
        f"scaffolds_{name}": Metric.of(
            cosine(scaffolds_of(made), reference.scaffolds),
            "",
            "higher",
            f"Cosine similarity of the counts of Bemis-Murcko scaffolds of two or more rings to those of {of}",
        ),
    }


def distances(made: Sequence[Features], reference: MoleculeSet) -> dict[str, Metric]:
    """Return how far the distributions of properties of valid samples are from those of a set."""
    return {
        f"{name}_distance": Metric(
            wasserstein([one.properties[i] for one in made], reference.properties[:, i] if len(reference) else []),
            UNITS[name],
            "lower",
            f"Wasserstein distance of the {WORDS[name]} of valid samples to that of {len(reference)} held-out "
            "molecules. The row of real data is its floor.",
        )
        for i, name in enumerate(PROPERTIES)
    }


def cosine(a: Mapping[str, int], b: Mapping[str, int]) -> Number:
    """Return the cosine of two vectors of counts by name; NaN if one is 0."""
    norm = math.sqrt(sum(n * n for n in a.values())) * math.sqrt(sum(n * n for n in b.values()))
    return Number(sum(n * b.get(name, 0) for name, n in a.items()) / norm if norm else math.nan)
