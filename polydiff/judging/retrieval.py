"""Evaluation of a contrastive pair: does an example find its text among others, and a text its example?"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from polydiff.core.process.abilities import Embeds
from polydiff.core.space import Batch
from polydiff.machine.processes.dealing import dealt
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
    k, text = find(vectors, texts, first)
    _, example = find(texts, vectors, first)
    if not k:
        raise UserError("A pair is evaluated on held-out examples with at least two different texts.")
    how = f"among {k} different held-out texts; chance is {1 / k:.3g}."
    return {
        "text_found": Metric.of(
            share(sum(text), len(text)), "", "higher", f"Share of examples that find their text {how}"
        ),
        "example_found": Metric.of(
            share(sum(example), len(example)), "", "higher", f"Share of texts that find their example {how}"
        ),
    }


def find(a: Tensor, b: Tensor, places: Sequence[int]) -> tuple[int, list[bool]]:
    """Return the size of a group, and whether each vector is nearest to its counterpart among those of its group.

    The places form groups of `AMONG`, or one group if they are fewer; a smaller rest of them is left out.

    Arguments:
        a: Unit vectors that look for their counterparts, (N, E).
        b: The counterparts, unit vectors (N, E).
        places: Rows of both that take part; with fewer than two, the size is 0 and nothing is found.
    """
    k = min(AMONG, len(places))
    if k < 2:
        return 0, []
    groups = [list(places[i : i + k]) for i in range(0, len(places) - k + 1, k)]
    products = [a[group] @ b[group].T for group in groups]
    return k, [bool(hit) for each in products for hit in each.argmax(1) == torch.arange(k)]


def embedded(model: Model, batches: list[Batch]) -> tuple[Tensor, Tensor]:
    """Return unit vectors of examples and of their texts, (N, E) each."""
    assert provides(model.process, Embeds)
    process = model.process
    pairs = list(dealt(batches, lambda batch: process.embed(model, batch.x, batch.cond or {})))
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
