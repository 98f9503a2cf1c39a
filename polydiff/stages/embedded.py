"""A domain seen through a contrastive pair: its examples are the pair's embeddings of examples.

A diffusion of this domain, conditioned on texts, is the prior of unCLIP (Ramesh et al., 2022,
https://arxiv.org/abs/2204.06125). A pair encodes and does not decode, so an example is a unit vector of E numbers and
a state is this vector at unit scale (`polydiff.stages.embedder`). Conditions are those of the domain that is seen.
Nothing else of that domain is forwarded: its abilities concern pictures or sounds.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from polydiff.contract.abilities import HasIdentity, HasPrompts, TellsTogether, quarantine_of
from polydiff.contract.backbone import build_backbone
from polydiff.contract.data.noise_range import suited_range
from polydiff.contract.data.quarantine import Quarantine
from polydiff.contract.domain import Domain, Samples, conditions_of
from polydiff.contract.sections.run import Config
from polydiff.core.condition_batch import same_conditions
from polydiff.core.conditions import Condition, Conditions
from polydiff.core.space import Batch, Euclidean, Space, State
from polydiff.core.streams import streams
from polydiff.metrics.principal import principal_std
from polydiff.metrics.results import Metric
from polydiff.metrics.standard_error import mean, share
from polydiff.stages.codec import CODEC, PRINCIPAL, check_replaceable
from polydiff.stages.embedder import ARRAY, Embedder
from polydiff.stages.table import table
from polydiff.stages.texts import AT_ONCE, Retrieval, Texts, unit, words_of
from polydiff.support.errors import UserError
from polydiff.support.progress import counted
from polydiff.support.protocols import provides

NO_TEXT = "no sample has a text"
NO_TRUTH = "samples are compared with held-out examples only under the conditions of these"


class Embedded:
    """A domain whose states and examples are embeddings.

    Arguments:
        config: The run's configuration.
        domain: The domain that is seen, with the statistics that the pair was trained with.
        embedder: Embeds its states and texts.
        found: What was measured of the embeddings, from the statistics of a checkpoint; None: measured now.
    """

    def __init__(
        self, config: Config, domain: Domain, embedder: Embedder, found: Mapping[str, Any] | None = None
    ) -> None:
        self.config, self.seen, self.embedder = config, domain, embedder
        check_replaceable(config, domain, embedder.name, "embeddings")
        if config.train.codes == "cache":
            raise UserError(
                f"{embedder.name}: train.codes=cache is for codes of an autoencoder, not for embeddings. Leave it out."
            )
        if found is None:
            self.texts, self.principal = Texts.measure(domain, embedder), spread(domain, embedder)
        else:
            self.texts, self.principal = Texts.of_json(found["texts"], embedder), float(found["principal_std"])
        measured = {"principal_std": self.principal, "texts": self.texts.as_json()}
        self.statistics: Mapping[str, Any] = {**domain.statistics, CODEC: measured}
        self.conditions: Conditions = conditions_of(domain)
        self.known: dict[tuple[str, int], Samples] = {}
        if not provides(domain, HasIdentity):
            self.identity = None  # type: ignore[assignment,method-assign] # the domain lacks the ability

    def size(self, split: str) -> int:
        return self.seen.size(split)

    def identity(self, split: str) -> Mapping[str, Any]:
        """Return the identity of the examples of a split (`polydiff.contract.abilities.HasIdentity`)."""
        assert provides(self.seen, HasIdentity)
        return self.seen.identity(split)

    @property
    def quarantine(self) -> Quarantine | None:
        """Data that the domain excludes (`polydiff.contract.abilities.HasQuarantine`)."""
        return quarantine_of(self.seen)

    @property
    def together(self) -> Sequence[str]:
        """Conditions that are withheld together (`polydiff.contract.abilities.TellsTogether`)."""
        return self.seen.together if provides(self.seen, TellsTogether) else ()

    @property
    def prompts(self) -> Mapping[str, str]:
        """Splits under whose conditions samples are judged (`polydiff.contract.abilities.HasPrompts`)."""
        return (self.seen.prompts if provides(self.seen, HasPrompts) else {}) or {"test": ""}

    def batch(self, split: str, indices: Sequence[int], generators: Sequence[torch.Generator]) -> Batch:
        return self.embedded(self.seen.batch(split, indices, generators))

    def read(self, paths: Sequence[Path]) -> Batch:
        """Return the embeddings of files (`polydiff.contract.abilities.Reads`), or those that .npy files hold."""
        z = self.embedder.read(self.seen, paths)
        blank = {name: kind.blank(len(z)) for name, kind in self.conditions.items()}
        return Batch(z, self.space(len(z)), blank or None)

    def embedded(self, batch: Batch) -> Batch:
        """Return a batch of the domain that is seen with the embeddings of its states."""
        return Batch(self.embedder.embed(batch.x), self.space(batch.space.batch), batch.cond)

    def space(self, n: int) -> Euclidean:
        """Return the space of n embeddings."""
        return Euclidean(n, (self.embedder.width,))

    def blank(
        self, generators: Sequence[torch.Generator], requested: Mapping[str, Any]
    ) -> tuple[Space, Condition | None]:
        return self.space(len(generators)), self.seen.blank(generators, requested)[1]

    def backbone(self) -> nn.Module:
        return build_backbone(self.config.backbone, channels=self.embedder.width, dims=0, conditions=self.conditions)

    def suited(self, free: Collection[str]) -> Mapping[str, Any]:
        """Return the noise range that the embeddings need (`polydiff.contract.abilities.SuitsData`)."""
        return suited_range(self.config, self.principal, free)

    def decode(self, x: State, space: Space) -> list[Any]:
        return list(unit(x).unbind())

    def examples(self, split: str, n: int) -> Samples:
        size = self.size(split)
        n = min(n, size)
        parts = []
        for first in range(0, n, AT_ONCE):
            indices = [i * size // n for i in range(first, min(first + AT_ONCE, n))]
            x, space, cond = self.batch(split, indices, streams(0, "augment", indices))
            parts.append(Samples(self.decode(x, space), {k: v for k, v in (cond or {}).items() if k[0] != "_"}))
        return Samples.join(parts)

    def evaluate(self, samples: Samples) -> dict[str, Metric]:
        """Return how often embeddings find their own text, and their cosines to it and to the true embedding."""
        found = self.retrieval(samples)
        there = found.there
        among, reason = int(found.among.max()), "" if there.any() else NO_TEXT
        true = self.truth(samples)
        cosines = [] if true is None else (torch.stack(list(samples.examples)) * true).sum(1).tolist()
        hits = share(int(found.found.sum()), int(there.sum()))
        return {
            "text_found": Metric.of(
                hits, "", "higher",
                f"Share of embeddings that are nearer to their own text than to others, among {among} different "
                f"held-out texts, by the pair; chance is {1 / among:.3g}.",
            )._replace(reason=reason),
            "text_cosine": Metric.of(
                mean(found.cosine[there].tolist()), "", "higher",
                "Cosine of an embedding and its text. What real embeddings reach is the goal, not 1.",
            )._replace(reason=reason),
            "true_cosine": Metric.of(
                mean(cosines), "", "higher",
                "Cosine of an embedding and that of the held-out example whose conditions it has. Where a text leaves "
                "much open, a right embedding of another example has a low one.",
            )._replace(reason="" if true is not None else NO_TRUTH),
        }  # fmt: skip

    def agreement(self, samples: Samples) -> dict[str, Metric]:
        """Return how well embeddings agree with their texts (`polydiff.contract.abilities.HasPrompts`)."""
        return self.evaluate(samples)

    def scores(self, samples: Samples) -> Tensor:
        """Return the cosine of each embedding and its text, 0 for one without (`contract.following.Scores`)."""
        own = self.embedder.embed_text(samples.cond or {}, len(samples)) / self.embedder.scale
        return (torch.stack(list(samples.examples)) * own).sum(1).nan_to_num(0.0)

    def retrieval(self, samples: Samples) -> Retrieval:
        """Return how samples compare with their own texts and with held-out ones."""
        n, cond = len(samples), samples.cond or {}
        own = self.embedder.embed_text(cond, n) / self.embedder.scale
        return self.texts.compare(torch.stack(list(samples.examples)), own, self.words(cond, n))

    def truth(self, samples: Samples) -> Tensor | None:
        """Return the embeddings of the held-out examples whose conditions samples have, row by row; None: of others."""
        for split in self.prompts:
            key = (split, len(samples))
            real = self.known[key] = self.known.get(key) or self.examples(*key)
            if len(real) == len(samples) and same_conditions(real.cond, samples.cond):
                return torch.stack(list(real.examples))
        return None

    def words(self, cond: Condition, n: int) -> list[str]:
        """Return the text of each of n samples, "" for none."""
        return words_of(self.seen, self.embedder.pair, cond, n)

    def show(self, samples: Samples) -> str:
        found, words = self.retrieval(samples), self.words(samples.cond or {}, len(samples))
        rows = [
            (
                words[i] or "-",
                f"{found.cosine[i]:.3f}" if math.isfinite(found.cosine[i]) else "-",
                self.texts.words[found.nearest[i]],
                f"{found.closeness[i]:.3f}",
            )
            for i in range(len(samples))
        ]
        return table(("text", "cosine", f"nearest of {len(self.texts.words)} held-out texts", "cosine"), rows)

    def save(self, samples: Samples, directory: Path) -> list[dict[str, Any]]:
        """Write a unit vector, float32 (E,), to a .npy file for each sample."""
        directory.mkdir(parents=True, exist_ok=True)
        names = [f"sample-{i:05d}{ARRAY}" for i in range(len(samples))]
        for name, vector in zip(names, samples.examples, strict=True):
            np.save(directory / name, vector.numpy(), allow_pickle=False)
        return [{"file": name} for name in names]

    def archive(self, samples: Samples) -> Mapping[str, NDArray[Any] | str]:
        """Return arr_0, the unit vectors in float32 (B, E) (`polydiff.contract.abilities.Archives`)."""
        return {"arr_0": torch.stack(list(samples.examples)).numpy()}

    def converters(self) -> Mapping[str, Callable[[Sequence[Any]], Any]]:
        """Return the conversion to an array float32 (N, E) (`polydiff.contract.abilities.Converts`)."""
        return {"numpy": lambda vectors: torch.stack(list(vectors)).numpy()}

    def describe(self, cond: Condition) -> list[dict[str, Any]]:
        return self.seen.describe(cond)


def spread(domain: Domain, embedder: Embedder) -> float:
    """Return the largest principal standard deviation of the embeddings of training examples."""
    size = domain.size("train")
    n = min(size, PRINCIPAL)
    kept = []
    for first in counted("batches embedded", -(-n // AT_ONCE), range(0, n, AT_ONCE)):
        indices = [i * size // n for i in range(first, min(first + AT_ONCE, n))]
        kept.append(embedder.embed(domain.batch("train", indices, streams(0, "codes", indices)).x))
    return principal_std(torch.cat(kept))
