"""Where texts come from: sums, SMILES, or the user's files."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch

from polydiff.contract.conditions.profiles import Values
from polydiff.contract.data.quarantine import Quarantine
from polydiff.contract.fields import Field
from polydiff.domains.sequence.alphabet import Alphabet
from polydiff.domains.sequence.config import SequenceData
from polydiff.support.errors import UserError

RESTORE = "Restore the data of training, or start a new run."
"""Advice where data are not those of training."""


class Split(Protocol):
    """Numbered texts, spelled with one character a letter (`polydiff.domains.sequence.alphabet`)."""

    def __len__(self) -> int: ...

    def spelled(self, indices: Sequence[int], generators: Sequence[torch.Generator] | None = None) -> list[str]:
        """Return these texts.

        Arguments:
            indices: Numbers of B texts.
            generators: One for each text, from which its crop is drawn; None: fixed crops.
        """

    def values(self, indices: Sequence[int]) -> list[Mapping[str, Any]]:
        """Return the conditions of these texts, name -> value."""

    def whole(self) -> Iterable[str]:
        """Yield each spelled text once, and a text that crops are cut from as a whole."""


@dataclass(frozen=True)
class Source:
    """A data set.

    Arguments:
        splits: "train" and "test".
        longest: Letters of the longest text.
        ends: Whether texts end within an example, rather than being cut from a longer one.
        fields: Name of a condition -> its field, measured on the training texts.
        profiles: Values of training texts by condition (`polydiff.contract.conditions.profiles`).
        quarantine: Texts found and excluded; None for embedded ones.
    """

    splits: Mapping[str, Split]
    longest: int
    ends: bool = True
    fields: Mapping[str, Field] = field(default_factory=dict)
    profiles: Values = field(default_factory=dict)
    quarantine: Quarantine | None = None


def check_restored(source: Source, alphabet: Alphabet, length: int, conditions: Collection[str]) -> None:
    """Raise UserError unless a data set has the letters, lengths and conditions of training.

    Arguments:
        source: The data set.
        alphabet: Letters of training.
        length: Letters of an example.
        conditions: Names of the conditions of training.
    """
    for split in source.splits.values():
        for text in split.whole():
            if letter := alphabet.lacks(text):
                raise UserError(f"The data hold the letter {letter!r}, which those of training lack. {RESTORE}")
    if source.longest > length or source.ends != alphabet.ends:
        raise UserError(f"The data hold texts of {source.longest} letters, not at most {length}. {RESTORE}")
    if missing := set(conditions) - source.fields.keys():
        raise UserError(f"The data lack the conditions {', '.join(sorted(missing))} of training. {RESTORE}")


def open_source(data: SequenceData) -> Source:
    """Return the data set that a configuration names."""
    if data.name == "sums":
        from polydiff.domains.sequence.data.sums import sums as opened
    elif data.name == "smiles":
        from polydiff.domains.sequence.data.texts import smiles as opened
    elif data.crops:
        from polydiff.domains.sequence.data.crops import crops as opened
    else:
        from polydiff.domains.sequence.data.files import own_texts as opened
    return opened(data)


def spread(split: Split, n: int) -> list[int]:
    """Return up to n indices of a split, spread evenly."""
    n = min(n, len(split))
    return [i * len(split) // n for i in range(n)]


def entropy(texts: Iterable[str]) -> float:
    """Return the entropy in bits of a text drawn at random from a list: log2 N of N different ones."""
    counts = Counter(texts)
    total = counts.total()
    return math.fsum(n / total * math.log2(total / n) for n in counts.values())
