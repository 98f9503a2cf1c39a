"""Metrics of molecules that complete known parts of held-out ones (task=inpaint)."""

from __future__ import annotations

from collections.abc import Sequence

from rdkit import Chem

from polydiff.domains.molecule.metrics.examine import PerceivedSample
from polydiff.metrics.results import Metric
from polydiff.metrics.standard_error import share


def completion_metrics(made: Sequence[PerceivedSample], truth: Sequence[PerceivedSample]) -> dict[str, Metric]:
    """Return how many molecules are completed validly, and how many are the held-out ones.

    Arguments:
        made: Completed molecules, by their own bonds or as RDKit perceives them.
        truth: The held-out molecules whose parts were known.
    """
    whole = [one.mol is not None and Chem.GetFormalCharge(one.mol) == 0 for one in made]
    same = [one.key is not None and one.key == true.key for one, true in zip(made, truth, strict=True)]
    return {
        "completed": Metric.of(
            share(sum(whole), len(made)),
            "",
            "higher",
            "Share of samples that are a neutral molecule in one piece; their known part is that of a held-out one.",
        ),
        "recovered": Metric.of(
            share(sum(same), len(made)),
            "",
            "higher",
            "Share of samples that are the held-out molecule itself. Few known atoms allow many other molecules.",
        ),
    }
