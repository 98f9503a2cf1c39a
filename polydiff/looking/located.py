r"""How much of the attention of a word falls inside the thing that it names.

With w the weights of all places to the word and M the places of the thing, the share inside is

$$ \frac{\sum_{i \in M} w_i}{\sum_i w_i}. $$

Divided by the share of M in the area, it is 1 for a map that does not know the thing.

Symbols: L noise levels, B examples, T tokens.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from polydiff.contract.domain import Domain
from polydiff.contract.likeness import LocatesWords
from polydiff.core.conditions import Condition
from polydiff.core.streams import streams
from polydiff.looking.attended import Attended, attention, coarse, token_names
from polydiff.looking.subject import Subject
from polydiff.support.protocols import provides

LOCATED = 64
"""Number of held-out examples on which attention inside things is measured."""


class Located(NamedTuple):
    """Attention of words inside the things that they name.

    Attributes:
        share: Kind of word -> layer -> mean share of a map inside the thing, (L,).
        times: The same, divided by the mean share of things in the area.
        overall: Kind of word -> share of the map that is averaged over layers and levels, and that divided by the
            share in the area.
        words: Kind of word -> number of words that were measured.
    """

    share: Mapping[str, Mapping[str, Tensor]]
    times: Mapping[str, Mapping[str, Tensor]]
    overall: Mapping[str, tuple[float, float]]
    words: Mapping[str, int]

    def as_json(self) -> dict[str, Any]:
        """Return all numbers as JSON values."""
        return {
            kind: {
                "share": self.overall[kind][0],
                "times_area": self.overall[kind][1],
                "words": self.words[kind],
                "times_area_by_layer": {layer: values.tolist() for layer, values in self.times[kind].items()},
            }
            for kind in self.overall
        }


def located(subject: Subject, n: int = LOCATED) -> Located:
    """Return how much of the attention of words falls inside the things that they name, over n held-out examples.

    Raises:
        UserError: The process has no one-step estimates.
    """
    domain = subject.model.domain
    assert provides(domain, LocatesWords)
    numbers = range(min(n, domain.size("test")))
    batch = domain.batch("test", numbers, streams(0, "augment", numbers))
    masks = domain.word_places("test", numbers)
    if not any(masks):
        return Located({}, {}, {}, {})
    return inside(attention(subject, batch), masks, domain, batch.cond)


def inside(
    found: Attended, masks: Sequence[Mapping[str, Mapping[str, Tensor]]], domain: Domain, cond: Condition | None
) -> Located:
    """Return how much of attention falls inside the places of words.

    Arguments:
        found: The attention.
        masks: For each example, kind of word -> word -> mask (`polydiff.contract.likeness.LocatesWords`).
        domain: Names the tokens.
        cond: Conditions of the examples.
    """
    count = next(iter(found.to_tokens.values())).shape[2]
    names, average = token_names(domain, cond, len(masks), count), found.mean_map()
    kinds = sorted({kind for one in masks for kind in one})
    share: dict[str, dict[str, Tensor]] = {}
    times: dict[str, dict[str, Tensor]] = {}
    overall, number = {}, {}
    for kind in kinds:
        cases = [
            (b, names[b].index(word), mask)
            for b, one in enumerate(masks)
            for word, mask in one.get(kind, {}).items()
            if word in names[b]
        ]
        area = sum(float(mask.float().mean()) for _, _, mask in cases) / len(cases)
        share[kind] = {
            layer: torch.tensor(
                [
                    sum(share_inside(weights[i, b, t], mask)[0] for b, t, mask in cases) / len(cases)
                    for i in range(len(found.levels))
                ]
            )
            for layer, weights in found.to_tokens.items()
        }
        times[kind] = {layer: shares / area for layer, shares in share[kind].items()}
        mean = sum(share_inside(average[b, t], mask)[0] for b, t, mask in cases) / len(cases)
        overall[kind], number[kind] = (mean, mean / area), len(cases)
    return Located(share, times, overall, number)


def share_inside(weights: Tensor, mask: Tensor) -> tuple[float, float]:
    """Return the share of weights inside a mask, and the share of the mask in the area.

    Arguments:
        weights: Numbers of at least 0, (*sizes).
        mask: Booleans of a finer grid, which is averaged on that of the weights.
    """
    inside = coarse(mask[None, None].float(), weights.shape)[0]
    return float((weights * inside).sum() / weights.sum()), float(inside.mean())
