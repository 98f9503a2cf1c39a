"""The alphabet of texts: between texts and the whole numbers of their letters.

A letter is a character, or a byte. Inside this domain a text is a string with one character a letter: with bytes, that
of its bytes read as Latin-1, so that both kinds are handled alike. Such a string is called spelled.

A text shorter than the L letters of an example is followed by end letters, so that the law of texts includes that of
their lengths. What follows the first end letter is not read.

Symbols: B number of texts, L letters of an example, K letters of the alphabet, the end letter included.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

MASKED = "▢"
"""What stands in a text for a letter that is still masked."""


def spell(text: str, tokens: str) -> str:
    """Return a text with one character a letter: itself, or with tokens=bytes its bytes in UTF-8 as Latin-1."""
    return text if tokens == "characters" else text.encode("utf-8").decode("latin-1")


def read(spelled: str, tokens: str) -> str:
    """Return the text that is spelled so; bytes that are not UTF-8 become the replacement character."""
    return spelled if tokens == "characters" else spelled.encode("latin-1").decode("utf-8", "replace")


@dataclass(frozen=True)
class Alphabet:
    """The K letters of a data set.

    Arguments:
        letters: Letters without the end letter, one character each, in the order of their code points. Their places are
            their numbers.
        ends: Whether there is an end letter, with the number K - 1.
        tokens: "characters" or "bytes".
    """

    letters: str
    ends: bool
    tokens: str = "characters"

    @classmethod
    def of(cls, statistics: Mapping[str, Any]) -> Alphabet:
        """Return the alphabet in a run's statistics."""
        return cls(str(statistics["letters"]), bool(statistics["ends"]), str(statistics["tokens"]))

    @property
    def size(self) -> int:
        """K."""
        return len(self.letters) + self.ends

    @cached_property
    def codes(self) -> np.ndarray:
        """Code points of the letters, ascending."""
        return code_points(self.letters)

    def lacks(self, spelled: str) -> str:
        """Return the first letter of a spelled text that the alphabet lacks, "" if it lacks none."""
        unknown = set(spelled).difference(self.letters)
        return next(letter for letter in spelled if letter in unknown) if unknown else ""

    def encode(self, spelled: Sequence[str], length: int) -> Tensor:
        """Return spelled texts as numbers of letters, int64 (B, L), with end letters behind them.

        Arguments:
            spelled: B texts of letters of this alphabet, at most L each.
            length: L.
        """
        sizes = np.array([len(text) for text in spelled])
        inside = np.arange(length) < sizes[:, None]
        numbers = np.full((len(spelled), length), self.size - 1, np.int64)
        numbers[inside] = np.searchsorted(self.codes, code_points("".join(spelled)))
        return torch.from_numpy(numbers)

    def decode(self, x: Tensor) -> list[str]:
        """Return the texts of numbers of letters (B, L), each up to its first end letter.

        K is a letter that is masked still, as in a picture of sampling; -1, the padding, is read as the end letter.
        """
        signs = [*self.letters, *([""] if self.ends else []), MASKED, ""]
        texts = []
        for row in x.cpu().tolist():
            end = next((place for place, letter in enumerate(row) if signs[letter] == ""), len(row))
            spelled = "".join(signs[letter] for letter in row[:end])
            texts.append(MASKED.join(read(part, self.tokens) for part in spelled.split(MASKED)))
        return texts

    def frequencies(self, spelled: Iterable[str], length: int) -> list[float]:
        """Return the share of each letter among all sites of texts, K numbers.

        Arguments:
            spelled: The texts.
            length: L, by which the number of end letters follows; unused without an end letter.
        """
        counts, texts = Counter[str](), 0
        for text in spelled:
            counts.update(text)
            texts += 1
        known = [counts[letter] for letter in self.letters]
        numbers = [*known, texts * length - sum(known)] if self.ends else known
        return [n / sum(numbers) for n in numbers]


def code_points(text: str) -> np.ndarray:
    """Return the code points of a text, uint32."""
    return np.frombuffer(text.encode("utf-32-le"), np.uint32)
