r"""Sums of two whole numbers, such as 47+85=132: a data set whose law, and so whose entropy, is known.

Both numbers are drawn from 0 .. M, and all pairs are equally likely. A text tells its pair, so each text has the
probability 1 / (M + 1)^2, and a bound on -log p has the floor

$$ H = \log_2 (M + 1)^2 \text{ bits}, $$

13.29 for M = 99 and 19.93 for M = 999. Training visits all pairs in random order, epoch after epoch, and test texts are
drawn from the same law. Since all texts are equally likely, H is the floor of each test text, not of their mean alone.

If pairs were held out, there would be no such floor: the law of training would give the test texts no probability. What
a network learns of texts that it has not seen is measured with a large M, of which training visits a part only.

Symbols: M largest number.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from polydiff.core.streams import stream
from polydiff.domains.sequence.config import SequenceData
from polydiff.domains.sequence.data.source import Source

TEST = 2000
"""Number of test texts."""


def sums_entropy(largest: int) -> float:
    """Return the entropy of a text in bits, log2 (M + 1)^2."""
    return 2 * math.log2(largest + 1)


def written(pair: int, largest: int) -> str:
    """Return the text of a pair: a number below (M + 1)^2 stands for the numbers pair // (M + 1), pair % (M + 1)."""
    a, b = divmod(pair, largest + 1)
    return f"{a}+{b}={a + b}"


@dataclass(frozen=True)
class Sums:
    """Sums, written on access.

    Arguments:
        largest: M.
        pairs: Numbers of the pairs (`written`).
    """

    largest: int
    pairs: Sequence[int]

    def __len__(self) -> int:
        return len(self.pairs)

    def spelled(self, indices: Sequence[int], generators: Sequence[torch.Generator] | None = None) -> list[str]:
        return [written(self.pairs[i], self.largest) for i in indices]

    def values(self, indices: Sequence[int]) -> list[Mapping[str, Any]]:
        return [{} for _ in indices]

    def whole(self) -> Iterable[str]:
        return (written(pair, self.largest) for pair in self.pairs)


def sums(data: SequenceData) -> Source:
    """Return all sums, and test texts drawn from the same law."""
    number = (data.largest + 1) ** 2
    drawn = torch.randint(number, (TEST,), generator=stream(0, "sequence/sums")).tolist()
    splits = {"train": Sums(data.largest, range(number)), "test": Sums(data.largest, drawn)}
    return Source(splits, data.longest_sum)
