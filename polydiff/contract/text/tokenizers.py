"""Tokenizers: from a text to whole numbers and back.

All three are kept as JSON with a run's statistics, so that a checkpoint needs no file beside it.

- `Words`: each word of the training captions is a token. Case, and punctuation at the ends of words, are ignored. In
  scripts without spaces (Chinese, Japanese, Thai, Lao, Khmer, Burmese) each character is a word.
- `Bytes`: each byte of the text in UTF-8 is a token.
- `Pairs`: byte-pair encoding. Frequent sequences of bytes within a word are tokens (Sennrich et al., 2016,
  https://arxiv.org/abs/1508.07909). Every text can be written, of any script.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from heapq import heapify, heappop, heappush
from itertools import pairwise
from typing import ClassVar, Protocol, Self

PUNCTUATION = ".,;:!?\"'`()[]{}<>…“”„‘’«»。、，；：！？「」『』（）"
"""Characters that `Words` ignores at the ends of words."""
SPACELESS = re.compile(
    "([\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff])"
)
"""A character of a script that writes no spaces between words."""
TRAINED_ON = 50_000
"""Number of different words, the most frequent ones, from which `Pairs` is learned."""

HALF = re.compile("[\ud800-\udfff]")
"""Half of a surrogate pair, which no text in UTF-8 holds: a broken escape in JSON, or a byte that is not UTF-8."""

Pair = tuple[int, int]


class Tokenizer(Protocol):
    """A tokenizer of a fixed vocabulary."""

    name: ClassVar[str]

    @classmethod
    def learn(cls, texts: Iterable[str], size: int) -> Self:
        """Return a tokenizer of at most `size` tokens for texts like these."""

    @property
    def size(self) -> int:
        """Number of different tokens."""

    @property
    def vocabulary(self) -> list[str] | list[list[int]]:
        """What distinguishes this tokenizer from others of its type, as JSON."""

    def encode(self, text: str) -> list[int]:
        """Return the tokens of a text, each 0 to size - 1."""

    def decode(self, tokens: Sequence[int]) -> str:
        """Return a text that has these tokens."""

    def unknown(self, text: str) -> list[str]:
        """Return the parts of a text that have no token of their own."""


def plain(text: str) -> str:
    """Return a text in Unicode's composed form (NFC), with single spaces between words and none at its ends."""
    return " ".join(unicodedata.normalize("NFC", text).split())


def words(text: str) -> list[str]:
    """Return the words of a text in small letters, without punctuation at their ends."""
    folded = SPACELESS.sub(r" \1 ", unicodedata.normalize("NFKC", text).casefold())
    return [word for piece in folded.split() if (word := piece.strip(PUNCTUATION))]


class Words:
    """Words as tokens. Token 0 is any word that is not in the vocabulary.

    Arguments:
        vocabulary: The words of tokens 1, 2, ...
    """

    name: ClassVar[str] = "words"
    UNKNOWN = 0

    def __init__(self, vocabulary: Sequence[str]) -> None:
        self._words = list(vocabulary)

    @classmethod
    def learn(cls, texts: Iterable[str], size: int) -> Self:
        counts = Counter(word for text in texts for word in words(text))
        frequent = sorted(counts, key=lambda word: (-counts[word], word))
        return cls(sorted(frequent[: size - 1]))

    @property
    def size(self) -> int:
        return len(self._words) + 1

    @property
    def vocabulary(self) -> list[str]:
        return self._words

    @cached_property
    def places(self) -> Mapping[str, int]:
        """Word -> token."""
        return {word: token for token, word in enumerate(self._words, 1)}

    def encode(self, text: str) -> list[int]:
        return [self.places.get(word, self.UNKNOWN) for word in words(text)]

    def decode(self, tokens: Sequence[int]) -> str:
        return " ".join("?" if token == self.UNKNOWN else self._words[token - 1] for token in tokens)

    def unknown(self, text: str) -> list[str]:
        return [word for word in words(text) if word not in self.places]


class Pairs:
    """Byte-pair encoding. Tokens 0 to 255 are bytes; token 256 + i is the i-th merge of two earlier tokens.

    A word is encoded with the space before it, and merges do not cross words.

    Arguments:
        vocabulary: The merges, pairs of tokens.
    """

    name: ClassVar[str] = "bpe"

    def __init__(self, vocabulary: Sequence[Sequence[int]]) -> None:
        self.merges: list[Pair] = [(int(a), int(b)) for a, b in vocabulary]

    @classmethod
    def learn(cls, texts: Iterable[str], size: int) -> Self:
        counts = Counter(piece for text in texts for piece in pieces(text))
        common = sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:TRAINED_ON]
        return cls(learned_merges([list(piece) for piece, _ in common], [n for _, n in common], size - 256))

    @property
    def size(self) -> int:
        return 256 + len(self.merges)

    @property
    def vocabulary(self) -> list[list[int]]:
        return [list(pair) for pair in self.merges]

    @cached_property
    def ranks(self) -> Mapping[Pair, int]:
        """Pair of tokens -> its place among the merges."""
        return {pair: rank for rank, pair in enumerate(self.merges)}

    @cached_property
    def spelled(self) -> Sequence[bytes]:
        """The bytes of each token."""
        table = [bytes([byte]) for byte in range(256)]
        for a, b in self.merges:
            table.append(table[a] + table[b])
        return table

    def encode(self, text: str) -> list[int]:
        return [token for piece in pieces(text) for token in self.merged(list(piece))]

    def merged(self, tokens: list[int]) -> list[int]:
        """Return the tokens of a word from its bytes: the earliest merge that applies first."""
        while pairs := [pair for pair in pairwise(tokens) if pair in self.ranks]:
            best = min(pairs, key=self.ranks.__getitem__)
            tokens = joined(tokens, best, 256 + self.ranks[best])
        return tokens

    def decode(self, tokens: Sequence[int]) -> str:
        return b"".join(self.spelled[token] for token in tokens).decode("utf-8", errors="replace")

    def unknown(self, text: str) -> list[str]:
        return []


class Bytes(Pairs):
    """The bytes of a text in UTF-8 as tokens."""

    name: ClassVar[str] = "bytes"

    @classmethod
    def learn(cls, texts: Iterable[str], size: int) -> Self:
        return cls(())


def pieces(text: str) -> list[bytes]:
    """Return the words of a text in UTF-8, each but the first with the space before it."""
    first, *rest = plain(text).split(" ")
    return [first.encode(), *(f" {word}".encode() for word in rest)]


def joined(tokens: Sequence[int], pair: Pair, token: int) -> list[int]:
    """Return tokens in which each occurrence of a pair, from the left, is replaced by one token."""
    result: list[int] = []
    for one in tokens:
        if result and (result[-1], one) == pair:
            result[-1] = token
        else:
            result.append(one)
    return result


def learned_merges(sequences: list[list[int]], counts: Sequence[int], most: int) -> list[Pair]:
    """Return the merges of byte-pair encoding: again and again the most frequent pair, the smallest of equal ones.

    Arguments:
        sequences: The words as bytes; they are changed.
        counts: How often each word occurs.
        most: Largest number of merges. Pairs that occur once are not merged.
    """
    frequency: Counter[Pair] = Counter()
    where: defaultdict[Pair, set[int]] = defaultdict(set)

    def count(index: int, sign: int) -> None:
        for pair in pairwise(sequences[index]):
            frequency[pair] += sign * counts[index]
            where[pair].add(index)

    for index in range(len(sequences)):
        count(index, 1)
    queue = [(-n, pair) for pair, n in frequency.items()]
    heapify(queue)
    merges: list[Pair] = []
    while len(merges) < most and queue:
        n, pair = heappop(queue)
        if -n != frequency[pair]:  # an entry from before the number changed
            continue
        if -n < 2:
            break
        token = 256 + len(merges)
        merges.append(pair)
        changed: set[Pair] = set()
        for index in where.pop(pair):
            changed |= set(pairwise(sequences[index]))
            count(index, -1)
            sequences[index] = joined(sequences[index], pair, token)
            count(index, 1)
            changed |= set(pairwise(sequences[index]))
        for one in changed:
            heappush(queue, (-frequency[one], one))
    return merges


TOKENIZERS: Mapping[str, type[Words] | type[Pairs]] = {one.name: one for one in (Words, Bytes, Pairs)}
