"""Agreement of examples with their texts, judged by a contrastive pair from another run (learn=match).

The pair maps an example and a text to unit vectors. Their scalar product, the cosine, is compared within one pair only:
its scale depends on the pair's training. So each number stands beside that of held-out examples with their own texts,
and that of noise under these texts (Hessel et al., CLIPScore, 2021, https://arxiv.org/abs/2104.08718; top 1 among
texts: Xu et al., AttnGAN, 2018, https://arxiv.org/abs/1711.10485).

Symbols: N examples, E numbers of a vector.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from torch import Tensor

from polydiff.contract.domain import Samples
from polydiff.contract.likeness import Encodes
from polydiff.core.conditions import ANY, Condition
from polydiff.core.process.abilities import Embeds
from polydiff.core.process.process import written
from polydiff.judging.retrieval import AMONG, embedded, find, first_of_each, texts_in
from polydiff.metrics.results import Metric
from polydiff.metrics.standard_error import mean, share
from polydiff.model.edit import AT_ONCE
from polydiff.model.model import Model
from polydiff.support.errors import UserError, amount
from polydiff.support.protocols import provides

FIELDS = "conditions"
"""What a domain's statistics call the fields of its conditions, with the vocabulary of each text."""


@dataclass(frozen=True)
class PairJudge:
    """A contrastive pair that judges the examples of a model.

    Arguments:
        model: Whose examples are judged.
        pair: The pair (learn=match).

    Raises:
        UserError: The pair is none, of another domain or size, or reads no text that the model has.
    """

    model: Model
    pair: Model

    def __post_init__(self) -> None:
        model, pair = self.model, self.pair
        if not provides(pair.process, Embeds):
            raise UserError(f"A pair is a run with learn=match, and this one has {written(pair.process)}.")
        if pair.config.domain != model.config.domain:
            raise UserError(f"The pair is of the domain {pair.config.domain}, this run of {model.config.domain}.")
        ours, theirs = (form(each) for each in (model, pair))
        if ours != theirs:
            raise UserError(
                f"The pair judges {theirs}, and this run makes {ours}. Train a pair with the section data of this run."
            )
        if not self.names:
            has = ", ".join(model.domain.conditions) or "none"
            raise UserError(f"The pair reads {', '.join(self.read)}, and the conditions of this run are: {has}.")
        if not self.same_fields:
            warnings.warn(
                "The pair learned the captions of other data than this run. Compare samples with real data alone: both "
                "are judged alike.",
                stacklevel=4,
            )

    @property
    def read(self) -> list[str]:
        """Names of the conditions that the pair reads."""
        return list(self.pair.denoiser.texts(self.pair.domain.conditions))

    @property
    def names(self) -> list[str]:
        """Those of them that the model has."""
        return [name for name in self.read if name in self.model.domain.conditions]

    @cached_property
    def same_fields(self) -> bool:
        """Whether both runs have the same vocabularies, so that tokens of one are those of the other."""
        ours, theirs = (each.domain.statistics.get(FIELDS) for each in (self.model, self.pair))
        return ours is not None and ours == theirs

    def texts(self, cond: Condition | None) -> Condition:
        """Return the texts among the conditions of examples (N, ...) as the pair reads them."""
        own = {name: value for name, value in (cond or {}).items() if name in self.names}
        if self.same_fields or not own:
            return own
        described = self.model.domain.describe(own)
        values = [{name: text for name, text in row.items() if text != ANY} for row in described]
        return {name: value for name, value in encoder(self.pair).encode_conditions(values).items() if name in own}

    def __call__(self, samples: Samples) -> dict[str, Metric]:
        """Return how well examples agree with their own texts."""
        vectors, texts, words = self.embedded(samples)
        there = [i for i, text in enumerate(words) if text]
        cosines = (vectors * texts).sum(1)[there]
        k, right = find(vectors, texts, first_of_each(words))
        how = f"a contrastive pair trained for {amount(self.pair.step, 'step')}"
        lacking = "" if k else "it needs two different captions"
        return {
            "caption_cosine": Metric.of(
                mean(cosines.tolist()),
                "",
                "higher",
                f"Mean cosine of the vectors that {how} gives an example and its caption. Its scale is the pair's: "
                "compare it with real data alone.",
            )._replace(n=len(there)),
            "caption_found": Metric.of(
                share(sum(right), len(right)),
                "",
                "higher",
                f"Share of examples whose own caption is the nearest among {k or AMONG} different ones, by {how}; "
                f"chance is {1 / (k or AMONG):.3g}.",
            )._replace(n=len(right), reason=lacking),
        }

    def embedded(self, samples: Samples) -> tuple[Tensor, Tensor, list[str]]:
        """Return unit vectors of examples and of their texts, (N, E) each, and the texts, "" for none."""
        texts, batches = self.texts(samples.cond), []
        for first in range(0, len(samples), AT_ONCE):
            batch = encoder(self.pair).encode(samples.examples[first : first + AT_ONCE])
            own = {name: value[first : first + AT_ONCE] for name, value in texts.items()}
            batches.append(batch._replace(cond=own))
        return *embedded(self.pair, batches), texts_in(self.pair, batches)


def encoder(model: Model) -> Encodes:
    """Return a model's domain with its ability to encode examples; a domain without it raises a UserError."""
    if not provides(model.domain, Encodes):
        raise UserError(f"The domain {model.config.domain} has no contrastive pairs: its examples cannot be encoded.")
    return model.domain


def form(model: Model) -> str:
    """Return the size of a model's examples in words."""
    return encoder(model).form


def agreement(judge: PairJudge | None, sets: Mapping[str, Samples]) -> dict[str, dict[str, Metric]]:
    """Return the agreement of sets of examples with their texts, by the name of the set; {} without a judge."""
    return {row: judge(samples) for row, samples in sets.items()} if judge else {}
