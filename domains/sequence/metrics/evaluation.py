"""The metrics of texts: counts of letters for any text, and the judges of sums and of SMILES."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from statistics import fmean
from typing import TYPE_CHECKING

from polydiff.domains.sequence.alphabet import Alphabet, spell
from polydiff.domains.sequence.config import SequenceData
from polydiff.domains.sequence.data.source import Source, spread
from polydiff.domains.sequence.metrics.molecules import Universe, canonical, molecules_of, smiles_metrics
from polydiff.domains.sequence.metrics.nearest import HELD_OUT, KNOWN, ROOM, Search
from polydiff.domains.sequence.metrics.ngrams import count, distance
from polydiff.domains.sequence.metrics.sums import sum_metrics
from polydiff.metrics.results import Metric
from polydiff.metrics.standard_error import Number, jackknife, share
from polydiff.metrics.wasserstein import wasserstein

if TYPE_CHECKING:
    from polydiff.domains.molecule.moses.metrics import Compared

COUNTED = 2_000_000
"""Largest number of letters of training texts whose n-grams samples are compared with."""
ORDERS = {1: "letters", 2: "pairs of letters", 3: "triples of letters"}
"""n -> what n-grams are called."""


@dataclass(frozen=True)
class Evaluation:
    """The judges of one data set.

    Arguments:
        source: The data that samples are compared with.
        data: Says who judges.
        alphabet: Letters of the texts.
    """

    source: Source
    data: SequenceData
    alphabet: Alphabet

    def training_texts(self, most: int) -> list[str]:
        """Return training texts, spelled and evenly spread, of at most so many letters together."""
        train = self.source.splits["train"]
        return train.spelled(spread(train, max(most // self.source.longest, 1)))

    @cached_property
    def known(self) -> dict[int, Counter[str]]:
        """n -> counts of the n-grams of training texts."""
        texts = self.training_texts(COUNTED)
        return {n: count(texts, n, self.alphabet.ends) for n in ORDERS}

    @cached_property
    def trained(self) -> frozenset[str]:
        """All training texts."""
        return frozenset(self.source.splits["train"].whole())

    @cached_property
    def molecules(self) -> dict[str, list[str]]:
        """Split -> canonical SMILES of its texts, if they are SMILES."""
        return {name: molecules_of([*split.whole()]) for name, split in self.source.splits.items()}

    @cached_property
    def universe(self) -> Universe:
        """The molecules of the data, if they are SMILES."""
        return Universe.of(self.molecules["train"], self.molecules["test"], self.data.name == "smiles")

    @cached_property
    def compared(self) -> Compared:
        """The sets of molecules that samples are compared with, if they are SMILES."""
        from polydiff.domains.molecule.moses.metrics import Compared  # imports RDKit, as `canonical` does

        return Compared(self.molecules["train"], self.molecules["test"], self.data.path, self.data.compared)

    @cached_property
    def search(self) -> Search:
        """The search for the nearest training text."""
        train, test = self.source.splits["train"], self.source.splits["test"]
        places = spread(train, min(KNOWN, max(ROOM // self.source.longest, 1)))
        return Search(places, train.spelled(places), test.spelled(spread(test, HELD_OUT)))

    def evaluate(self, examples: Sequence[str], real: bool = False) -> dict[str, Metric]:
        """Return the metrics of samples, or of held-out texts if they are `real`."""
        found = sum_metrics(examples, self.data.largest) if self.data.name == "sums" else {}
        if self.data.judged_as_smiles:
            seen = canonical(examples)
            found |= smiles_metrics(seen, self.universe) | self.compared.metrics([one for one in seen if one], real)
        spelled = [spell(text, self.data.tokens) for text in examples]
        return found | self.likeness(spelled) | (self.list_metrics(spelled) if self.alphabet.ends else {})

    def likeness(self, texts: Sequence[str]) -> dict[str, Metric]:
        """Return how the n-grams of spelled samples differ from those of training texts."""
        return {
            f"ngrams_{n}": Metric.of(
                distance(texts, self.known[n], n, self.alphabet.ends),
                "",
                "lower",
                f"Total variation between the shares of {what} in samples and in training texts. It shrinks with the "
                "number of samples; the row of real data is its floor.",
            )
            for n, what in ORDERS.items()
        }

    def list_metrics(self, texts: Sequence[str]) -> dict[str, Metric]:
        """Return the metrics of spelled samples that are whole texts, not crops."""
        n, counts = len(texts), Counter(texts)
        lengths = [len(text) for text in texts]
        sizes = [len(text) for text in self.training_texts(COUNTED)]
        without = [(len(counts) - (counts[text] == 1)) / n for text in texts]
        found = {
            "length_error": Metric(
                wasserstein(lengths, sizes),
                "letters",
                "lower",
                f"Wasserstein distance between the lengths of samples and of training texts, whose mean is "
                f"{fmean(sizes):.4g} letters. The row of real data is its floor.",
            ),
            "unique": Metric.of(
                Number(len(counts) / n, jackknife(without)),
                "",
                "higher",
                f"Number of distinct samples divided by all {n}. Compare with real data, of which {n} may repeat too.",
            ),
        }
        if self.data.name != "sums":  # whose training texts are all there are
            found["copied"] = Metric.of(
                share(sum(text in self.trained for text in texts), n),
                "",
                "lower",
                "Share of samples that are training texts, letter by letter. A model of a small set of texts should "
                "draw many; if it draws few others that are right, it has learnt them by heart.",
            )
        return found


def same_texts(samples: Sequence[str], truth: Sequence[str]) -> dict[str, Metric]:
    """Return the share of texts that are the true ones, letter by letter."""
    same = sum(own == true for own, true in zip(samples, truth, strict=True))
    what = "Share of samples that are the held-out text. Few known letters allow many other texts."
    return {"same_text": Metric.of(share(same, len(samples)), "", "higher", what)}
