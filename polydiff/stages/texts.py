"""Held-out texts with their vectors, among which an embedding finds the nearest: the judge of drawn embeddings.

The texts are kept in the statistics of a run, so that samples can be judged and shown without its data.

Symbols: N samples, K texts, E numbers of a vector.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from polydiff.contract.domain import Domain
from polydiff.core.conditions import Condition
from polydiff.core.streams import streams
from polydiff.match.module import Pair
from polydiff.match.objective import have_text
from polydiff.stages.embedder import Embedder
from polydiff.support.errors import UserError

AMONG = 100
"""Largest number of texts among which a sample finds its own."""
SEARCHED = 1024
"""Largest number of held-out examples among which different texts are looked for."""
AT_ONCE = 64
"""Examples that are read in one call."""
DIGITS = 6
"""Digits of a number of a vector in the statistics."""


class Retrieval(NamedTuple):
    """How vectors (N, E) compare with the texts.

    Attributes:
        found: Whether a vector is nearer to its own text than to others, booleans (N,); False without a text.
        there: Which samples have a text, booleans (N,).
        among: Number of texts that each is compared with, its own included, (N,).
        cosine: Cosine of each vector and its own text, (N,); NaN without a text.
        nearest: Place of the nearest of the K texts, (N,).
        closeness: Its cosine, (N,).
    """

    found: Tensor
    there: Tensor
    among: Tensor
    cosine: Tensor
    nearest: Tensor
    closeness: Tensor


@dataclass(frozen=True)
class Texts:
    """Different held-out texts.

    Arguments:
        words: The texts, K.
        vectors: Their unit vectors (K, E).
    """

    words: tuple[str, ...]
    vectors: Tensor

    @classmethod
    def measure(cls, domain: Domain, embedder: Embedder) -> Texts:
        """Return up to `AMONG` different texts of held-out examples, evenly spread over these.

        Raises:
            UserError: There are not two different texts.
        """
        size = domain.size("test")
        n = min(size, SEARCHED)
        found: dict[str, Tensor] = {}
        for first in range(0, n, AT_ONCE):
            indices = [i * size // n for i in range(first, min(first + AT_ONCE, n))]
            cond = domain.batch("test", indices, streams(0, "augment", indices)).cond or {}
            words = words_of(domain, embedder.pair, cond, len(indices))
            vectors = embedder.embed_text(cond, len(indices)) / embedder.scale
            for text, vector in zip(words, vectors, strict=True):
                if text and len(found) < AMONG:
                    found.setdefault(text, vector)
            if len(found) == AMONG:
                break
        if len(found) < 2:
            raise UserError(
                f"{embedder.name}: embeddings are judged by whether they find their text among others, and the "
                "held-out examples do not have two different texts."
            )
        return cls.of_json({"words": list(found), "vectors": rounded(torch.stack(list(found.values())))}, embedder)

    def as_json(self) -> dict[str, Any]:
        """Return the texts as JSON, for the statistics of a run."""
        return {"words": list(self.words), "vectors": rounded(self.vectors)}

    @classmethod
    def of_json(cls, found: Mapping[str, Any], embedder: Embedder) -> Texts:
        """Return the texts that statistics hold; ValueError if they are not those of an embedder."""
        words, vectors = found["words"], torch.tensor(found["vectors"], dtype=torch.float32)
        if tuple(vectors.shape) != (len(words), embedder.width) or not all(isinstance(word, str) for word in words):
            raise ValueError(f"the texts should have vectors of {embedder.width} numbers")
        return cls(tuple(words), vectors)

    def compare(self, vectors: Tensor, own: Tensor, words: list[str]) -> Retrieval:
        """Return how vectors compare with their own texts and the others.

        Arguments:
            vectors: Unit vectors (N, E).
            own: Unit vectors (N, E) of the samples' own texts; NaN without one.
            words: The samples' own texts, "" without one.
        """
        there = torch.tensor([bool(text) for text in words])
        products = vectors @ self.vectors.T
        other = torch.tensor([[text != one for one in self.words] for text in words]).reshape(products.shape)
        rivals = other & (other.cumsum(1) < AMONG)
        cosine = (vectors * own).sum(1)
        beaten = products.masked_fill(~rivals, -torch.inf).amax(1) < cosine
        closeness, nearest = products.max(1)
        return Retrieval(there & beaten, there, rivals.sum(1) + 1, cosine, nearest, closeness)


def words_of(domain: Domain, pair: Pair, cond: Condition, n: int) -> list[str]:
    """Return the text of each of n examples as the pair reads it, several of one example joined; "" for none."""
    texts = pair.texts(cond)
    if not texts:
        return [""] * n
    there = have_text(texts, n).tolist()
    rows = domain.describe(texts)
    return [" | ".join(map(str, row.values())) if known else "" for row, known in zip(rows, there, strict=True)]


def rounded(vectors: Tensor) -> list[list[float]]:
    """Return vectors (N, E) as lists of numbers with `DIGITS` digits."""
    return [[float(f"{number:.{DIGITS}g}") for number in row] for row in vectors.tolist()]


def unit(z: Tensor) -> Tensor:
    """Return vectors (N, E) of length 1."""
    return functional.normalize(z.float(), dim=1)
