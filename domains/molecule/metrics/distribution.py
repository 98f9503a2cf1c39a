r"""Metrics of sets of graphs, as MOSES defines them (Polykovskiy et al., 2020, https://arxiv.org/abs/1811.12823).

With T the Tanimoto similarity of Morgan fingerprints of radius 2 and 1024 bits, samples G and a reference R,

$$ \mathrm{IntDiv} = 1 - \frac{1}{|G|^2} \sum_{a, b \in G} T(a, b), \qquad
   \mathrm{SNN} = \frac{1}{|G|} \sum_{a \in G} \max_{b \in R} T(a, b), $$

and the similarity of two sets by fragments or scaffolds is the cosine of their vectors of counts: of BRICS fragments,
and of Bemis-Murcko scaffolds with a ring. The reference is the training set, so that the row of held-out data says what
can be reached; MOSES compares with its test sets. The Frechet distance by ChemNet needs that network's weights and is
left out.

Symbols: n samples, m molecules of the reference.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from rdkit import Chem, DataStructs
from rdkit.Chem import BRICS, rdFingerprintGenerator, rdMolDescriptors
from rdkit.Chem.Scaffolds import MurckoScaffold

from polydiff.domains.molecule.metrics.examine import run_each
from polydiff.metrics.results import Metric
from polydiff.metrics.standard_error import Number, mean

RADIUS, BITS = 2, 1024
"""Of Morgan fingerprints."""


class GraphFeatures(NamedTuple):
    """What the metrics need of a molecule.

    Attributes:
        fingerprint: Its Morgan fingerprint.
        fragments: SMILES of its BRICS fragments.
        scaffold: SMILES of its Bemis-Murcko scaffold; "" if it has no ring.
    """

    fingerprint: Any
    fragments: Sequence[str]
    scaffold: str

    @classmethod
    def of(cls, smiles: str) -> GraphFeatures:
        """Return the features of a valid SMILES."""
        mol = Chem.MolFromSmiles(smiles)
        generator = rdFingerprintGenerator.GetMorganGenerator(radius=RADIUS, fpSize=BITS)
        pieces = Chem.MolToSmiles(BRICS.BreakBRICSBonds(mol)).split(".")
        scaffold = MurckoScaffold.GetScaffoldForMol(mol)
        ringed = rdMolDescriptors.CalcNumRings(scaffold) > 0
        return cls(generator.GetFingerprint(mol), pieces, Chem.MolToSmiles(scaffold) if ringed else "")


def graph_features(smiles: Sequence[str]) -> list[GraphFeatures]:
    """Return the features of valid SMILES, computed in worker processes; those that fail are left out."""
    return [one for one in run_each(GraphFeatures.of, smiles, "graphs compared", quiet=True) if one is not None]


def distribution_metrics(made: Sequence[GraphFeatures], reference: Sequence[GraphFeatures]) -> dict[str, Metric]:
    """Return the metrics of valid samples against a reference."""
    m = len(reference)
    return {
        "internal_diversity": Metric.of(
            internal_diversity([one.fingerprint for one in made]),
            "",
            "higher",
            "1 minus the mean Tanimoto similarity (Morgan, radius 2, 1024 bits) of all pairs of valid samples.",
        ),
        "snn_train": Metric.of(
            mean(nearest([one.fingerprint for one in made], [one.fingerprint for one in reference])),
            "",
            "higher",
            f"Mean Tanimoto similarity of valid samples to the most similar of {m} training molecules.",
        ),
        "fragments_train": Metric.of(
            cosine(*(Counter(name for one in part for name in one.fragments) for part in (made, reference))),
            "",
            "higher",
            f"Cosine similarity of the counts of BRICS fragments to those of {m} training molecules.",
        ),
        "scaffolds_train": Metric.of(
            cosine(*(Counter(one.scaffold for one in part if one.scaffold) for part in (made, reference))),
            "",
            "higher",
            f"Cosine similarity of the counts of Bemis-Murcko scaffolds to those of {m} training molecules.",
        ),
    }


def internal_diversity(fingerprints: Sequence[Any]) -> Number:
    """Return IntDiv of fingerprints; NaN for none."""
    if not fingerprints:
        return Number(math.nan)
    total = sum(sum(DataStructs.BulkTanimotoSimilarity(one, list(fingerprints))) for one in fingerprints)
    return Number(1 - total / len(fingerprints) ** 2)


def nearest(made: Sequence[Any], reference: Sequence[Any]) -> list[float]:
    """Return the similarity of each fingerprint to the nearest one of a reference."""
    others = list(reference)
    return [max(DataStructs.BulkTanimotoSimilarity(one, others)) for one in made] if others else []


def cosine(a: Mapping[str, int], b: Mapping[str, int]) -> Number:
    """Return the cosine of two vectors of counts by name; NaN if one is 0."""
    norm = math.sqrt(sum(n * n for n in a.values()) * sum(n * n for n in b.values()))
    return Number(float(np.sum([n * b.get(name, 0) for name, n in a.items()])) / norm if norm else math.nan)
