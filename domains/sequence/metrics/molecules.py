"""Judge of SMILES: RDKit, which reads them as molecules."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from polydiff.metrics.results import Metric
from polydiff.metrics.standard_error import Number, jackknife, share
from polydiff.support.errors import UserError

MANY, TRIED = 200_000, 1000
"""Numbers of texts: above which not all are read, and of which then are (`molecules_of`)."""


@dataclass(frozen=True)
class Universe:
    """The molecules that samples are compared with, as canonical SMILES.

    Arguments:
        train: Molecules of the training texts.
        test: Molecules of the held-out texts.
        complete: Whether both together are all molecules that the data set's rule allows.
    """

    train: frozenset[str]
    test: frozenset[str]
    complete: bool

    @classmethod
    def of(cls, train: Sequence[str], test: Sequence[str], complete: bool) -> Universe:
        """Return the molecules of canonical SMILES."""
        learned = frozenset(train)
        return cls(learned, frozenset(test) - learned, complete)


def rdkit_chem() -> Any:
    """Return the module rdkit.Chem.

    Raises:
        UserError: RDKit is not installed.
    """
    try:
        from rdkit import Chem
    except ImportError as error:
        raise UserError(
            'SMILES are judged by RDKit, which is not installed. Type: pip install "polydiff[molecule]". '
            "Or set data.judge=none."
        ) from error
    return Chem


def mols(texts: Sequence[str]) -> list[Any]:
    """Return RDKit's molecules of SMILES, None where RDKit reads none."""
    chem = rdkit_chem()
    from rdkit.rdBase import BlockLogs

    with BlockLogs():
        return [chem.MolFromSmiles(text) if text else None for text in texts]


def canonical(texts: Sequence[str]) -> list[str]:
    """Return the canonical SMILES of texts, "" for each that RDKit does not read as a molecule."""
    chem = rdkit_chem()
    return ["" if mol is None else chem.MolToSmiles(mol) for mol in mols(texts)]


def molecules_of(texts: Sequence[str]) -> list[str]:
    """Return the canonical SMILES of a data set's texts, without those that RDKit does not read.

    RDKit takes minutes for a million. So of more than `MANY` texts, `TRIED`, evenly spread, are read; if they are
    canonical already, all count as canonical.
    """
    few = [texts[i * len(texts) // TRIED] for i in range(TRIED)] if len(texts) > MANY else []
    if few and canonical(few) == few:
        return list(texts)
    return [one for one in canonical(texts) if one]


def smiles_metrics(seen: Sequence[str], known: Universe) -> dict[str, Metric]:
    """Return the metrics of samples that are SMILES.

    Arguments:
        seen: Canonical SMILES of the samples (`canonical`).
        known: The molecules that they are compared with.
    """
    n = len(seen)
    distinct = set(seen) - {""}
    found = {
        "valid": Metric.of(
            share(sum(map(bool, seen)), n), "", "higher", "Share of samples that RDKit reads as molecules."
        ),
        "unique_molecules": Metric.of(
            distinct_share(seen, distinct, n),
            "",
            "higher",
            f"Number of distinct molecules divided by all {n} samples, invalid ones included.",
        ),
        "novel": Metric.of(
            share(len(distinct - known.train), len(distinct)),
            "",
            "higher",
            f"Share of the distinct molecules that are not among the {len(known.train)} of training. Held-out "
            "molecules are novel, but so is every wrong one.",
        ),
    }
    if known.complete:
        universe = known.train | known.test
        found["in_universe"] = Metric.of(
            share(sum(one in universe for one in seen), n),
            "",
            "higher",
            f"Share of samples whose molecule is among the {len(universe)} enumerated ones.",
        )
        found["recall_held_out"] = Metric.of(
            distinct_share(seen, known.test, len(known.test)),
            "",
            "higher",
            f"Share of the {len(known.test)} held-out molecules that occur among {n} samples. It grows with the number "
            "of samples. The row of real data consists of held-out molecules.",
        )
    return found


def distinct_share(seen: Sequence[str], wanted: Collection[str], total: int) -> Number:
    """Return the number of distinct wanted molecules among samples, divided by `total`, with its jackknife error.

    Arguments:
        seen: Molecule of each sample, "" if it has none.
        wanted: Molecules to count.
        total: The denominator.
    """
    counts = Counter(one for one in seen if one in wanted)
    return Number(len(counts) / total, jackknife([(len(counts) - (counts[one] == 1)) / total for one in seen]))
