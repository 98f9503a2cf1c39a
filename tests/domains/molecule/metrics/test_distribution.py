"""Metrics of sets of graphs against their formulas."""

from __future__ import annotations

import math
from itertools import product
from statistics import fmean

import pytest
from rdkit import DataStructs

from polydiff.domains.molecule.metrics.distribution import GraphFeatures, cosine, distribution_metrics

MADE, KNOWN = ["CCO", "c1ccccc1C", "CCN"], ["CCO", "c1ccccc1CC"]


def test_metrics_are_their_formulas() -> None:
    made, known = ([GraphFeatures.of(one) for one in part] for part in (MADE, KNOWN))
    found = {name: metric.value for name, metric in distribution_metrics(made, known).items()}

    def similar(a: GraphFeatures, b: GraphFeatures) -> float:
        return DataStructs.TanimotoSimilarity(a.fingerprint, b.fingerprint)

    assert found["internal_diversity"] == pytest.approx(1 - fmean(similar(a, b) for a, b in product(made, made)))
    assert found["snn_train"] == pytest.approx(fmean(max(similar(a, b) for b in known) for a in made))
    assert found["scaffolds_train"] == pytest.approx(1)  # benzene alone in both


def test_a_set_compared_with_itself_is_the_same() -> None:
    features = [GraphFeatures.of(one) for one in MADE]
    found = {name: metric.value for name, metric in distribution_metrics(features, features).items()}
    assert found["snn_train"] == found["fragments_train"] == found["scaffolds_train"] == pytest.approx(1)


def test_fragments_are_those_of_brics_and_chains_have_no_scaffold() -> None:
    ether = GraphFeatures.of("CCOc1ccccc1")
    assert len(ether.fragments) == 3
    assert ether.scaffold == "c1ccccc1"
    assert GraphFeatures.of("CCO").scaffold == ""


def test_the_cosine_of_counts() -> None:
    assert float(cosine({"a": 3, "b": 4}, {"a": 4, "b": 3}).value) == pytest.approx(24 / 25)
    assert math.isnan(cosine({}, {"a": 1}).value)
