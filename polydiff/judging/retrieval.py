"""Evaluation of a contrastive pair: does an example find its text among others, and a text its example?"""

from __future__ import annotations

import torch
from torch import Tensor

from polydiff.core.process import Embeds
from polydiff.core.space import Batch
from polydiff.metrics.results import Metric
from polydiff.metrics.standard_error import share
from polydiff.model.edit import held_out
from polydiff.model.model import Model
from polydiff.stages.texts import words_of
from polydiff.support.errors import UserError
from polydiff.support.protocols import provides

AMONG = 100
"""Largest number of different texts among which one is found."""


def judge_pair(model: Model, n: int) -> dict[str, Metric]:
    """Return how often held-out examples find their texts, and texts their examples.

    Held-out examples with different texts form groups of up to `AMONG`; of equal texts the first example counts.

    Arguments:
        model: The pair.
        n: Number of held-out examples to take the different texts from.
    """
    batches = held_out(model, n)
    vectors, texts = embedded(model, batches)
    first = first_of_each(texts_in(model, batches))
    groups = [first[i : i + AMONG] for i in range(0, len(first), AMONG)]
    groups = [group for group in groups if len(group) == min(AMONG, len(first))]
    if not groups or len(groups[0]) < 2:
        raise UserError("A pair is evaluated on held-out examples with at least two different texts.")
    k, found = len(groups[0]), {"text": 0, "example": 0}
    for group in groups:
        a, b = vectors[group], texts[group]
        right = torch.arange(k)
        found["text"] += int(((a @ b.T).argmax(1) == right).sum())
        found["example"] += int(((b @ a.T).argmax(1) == right).sum())
    of = len(groups) * k
    how = f"among {k} different held-out texts; chance is {1 / k:.3g}."
    return {
        "text_found": Metric.of(
            share(found["text"], of), "", "higher", f"Share of examples that find their text {how}"
        ),
        "example_found": Metric.of(
            share(found["example"], of), "", "higher", f"Share of texts that find their example {how}"
        ),
    }


def embedded(model: Model, batches: list[Batch]) -> tuple[Tensor, Tensor]:
    """Return unit vectors of examples and of their texts, (N, E) each."""
    assert provides(model.process, Embeds)
    pairs = [model.process.embed(model, batch.x, batch.cond or {}) for batch in batches]
    return torch.cat([a for a, _ in pairs]), torch.cat([b for _, b in pairs])


def texts_in(model: Model, batches: list[Batch]) -> list[str]:
    """Return the text of each example, several of one example joined; "" for none."""
    words: list[str] = []
    for batch in batches:
        words += words_of(model.domain, model.denoiser, batch.cond or {}, batch.space.batch)
    return words


def first_of_each(texts: list[str]) -> list[int]:
    """Return the places of the first occurrence of each text that is not empty."""
    found = {text: i for i, text in reversed(list(enumerate(texts))) if text}
    return sorted(found.values())
