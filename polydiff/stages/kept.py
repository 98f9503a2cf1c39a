"""Embeddings of some training examples with their conditions, from which new samples take theirs.

They are kept in the statistics of a run, so that samples can be drawn without its data.

Symbols: B samples, N examples, E numbers of an embedding.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from polydiff.contract.domain import Domain, conditions_of
from polydiff.core.conditions import Conditions, missing
from polydiff.core.streams import streams
from polydiff.stages.embedder import Embedder
from polydiff.stages.texts import AT_ONCE, rounded
from polydiff.support.progress import counted

MOST = 256
"""Largest number of training examples that are kept."""


@dataclass(frozen=True)
class Kept:
    """Training examples.

    Arguments:
        embeddings: Name of a condition -> embeddings (N, E).
        cond: Name of another condition, of those that words can specify -> values (N, ...).
    """

    embeddings: Mapping[str, Tensor]
    cond: Mapping[str, Tensor]

    @classmethod
    def measure(cls, domain: Domain, embedders: Mapping[str, Embedder]) -> Kept:
        """Return up to `MOST` training examples, evenly spread."""
        size, kinds = domain.size("train"), written_in_words(domain)
        n = min(size, MOST)
        vectors: dict[str, list[Tensor]] = {name: [] for name in embedders}
        values: dict[str, list[Tensor]] = {name: [] for name in kinds}
        for first in counted("batches embedded", -(-n // AT_ONCE), range(0, n, AT_ONCE)):
            indices = [i * size // n for i in range(first, min(first + AT_ONCE, n))]
            x, _, cond = domain.batch("train", indices, streams(0, "kept", indices))
            for name, embedder in embedders.items():
                vectors[name].append(embedder.embed(x))
            for name, found in values.items():
                found.append((cond or {})[name])
        measured = cls({k: torch.cat(v) for k, v in vectors.items()}, {k: torch.cat(v) for k, v in values.items()})
        return cls.of_json(measured.as_json(), domain, embedders)  # as a checkpoint will give them

    def as_json(self) -> dict[str, Any]:
        """Return the examples as JSON, for the statistics of a run; null: not given."""
        return {
            "embeddings": {name: rounded(value) for name, value in self.embeddings.items()},
            "cond": {name: plain(value.tolist()) for name, value in self.cond.items()},
        }

    @classmethod
    def of_json(cls, found: Mapping[str, Any], domain: Domain, embedders: Mapping[str, Embedder]) -> Kept:
        """Return the examples that statistics hold; ValueError if they do not fit the domain and the embedders."""
        kinds = written_in_words(domain)
        embeddings = {name: torch.tensor(value, dtype=torch.float32) for name, value in found["embeddings"].items()}
        if embeddings.keys() != embedders.keys() or found["cond"].keys() != kinds.keys():
            raise ValueError("the kept examples have other conditions than the run")
        cond = {
            name: torch.tensor(given(value, missing(kinds[name].dtype)), dtype=kinds[name].dtype)
            for name, value in found["cond"].items()
        }
        n = len(next(iter(embeddings.values())))
        wrong = [name for name, value in embeddings.items() if tuple(value.shape) != (n, embedders[name].width)]
        wrong += [name for name, value in cond.items() if kinds[name].mismatch(value, n)]
        if wrong or not n:
            raise ValueError(f"the kept examples have wrong values of {', '.join(wrong) or 'all conditions'}")
        return cls(embeddings, cond)

    def draw(self, generators: Sequence[torch.Generator]) -> dict[str, Tensor]:
        """Return the embedding and the conditions of an example for each generator, name -> tensor (B, ...)."""
        n = len(next(iter(self.embeddings.values())))
        places = [int(torch.randint(n, (), generator=generator)) for generator in generators]
        return {name: value[places] for name, value in {**self.embeddings, **self.cond}.items()}


def written_in_words(domain: Domain) -> Conditions:
    """Return the kinds of those conditions of a domain whose values words can specify."""
    return {name: kind for name, kind in conditions_of(domain).items() if kind.source == "words"}


def plain(value: Any) -> Any:
    """Return nested lists of numbers with null for NaN."""
    if isinstance(value, list):
        return [plain(part) for part in value]
    return None if math.isnan(value) else value


def given(value: Any, nothing: float) -> Any:
    """Return nested lists of numbers with a number in place of null."""
    if isinstance(value, list):
        return [given(part, nothing) for part in value]
    return nothing if value is None else value
