"""Attention of places to words and to other places, by noise level and layer.

A map is the softmax weight of each place to one token, averaged over heads; on a page also over layers and levels
(Tang et al., DAAM, 2022, https://arxiv.org/abs/2210.04885).
"""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from polydiff.contract.domain import Samples
from polydiff.contract.likeness import LocatesWords, ShowsWeights
from polydiff.core.space import Batch
from polydiff.looking.attended import Attended, attention, token_names
from polydiff.looking.capture import attending_layers, sending_layers
from polydiff.looking.fragments import above_even, heat_table, layer_name, peak, table
from polydiff.looking.located import Located, located
from polydiff.looking.subject import Subject, Unable, level_name
from polydiff.looking.views.messages import MESSAGES, message_parts
from polydiff.report.views import View
from polydiff.support.protocols import provides

TITLE = "Where the network looks"


def attention_view(subject: Subject) -> View:
    """Return where places look, over examples; missing if the network or the domain cannot show it."""
    domain = subject.model.domain
    attends, sends = attending_layers(subject.model.denoiser), sending_layers(subject.model.denoiser)
    if not attends and not sends:
        raise Unable(
            f"The network {subject.model.config.backbone.name} has no layer that shows its attention (`Attends`) or "
            "its messages (`Sends`).",
        )
    if not provides(domain, ShowsWeights):
        raise Unable("The domain does not draw weights over its examples (`ShowsWeights`).")
    if not attends:
        fragment, numbers = message_parts(subject, domain)
        return View("attention", TITLE, MESSAGES, fragment, numbers)
    batch = subject.examples()
    found, examples = attention(subject, batch), subject.decoded(batch.x, batch)
    name, parts, numbers = level_name(subject.model), [], {}
    if found.to_tokens:
        parts.append(word_maps(domain, found, examples, batch, name))
    if found.to_tokens and provides(domain, LocatesWords):
        measured = located(subject)
        parts += [measured_table(found.levels, kind, times, measured) for kind, times in measured.times.items()]
        numbers = measured.as_json()
    if found.to_places:
        parts.append(place_maps(domain, found, examples, name))
    return View("attention", TITLE, NOTE, "".join(parts), numbers)


NOTE = (
    "Examples with noise, and the softmax weights of the network, averaged over heads. A map shows how strongly each "
    "place looks at one word; the learned token before all words, which is always there, takes what no word does. "
    "Colour is attention above the mean of a map, and the number its greatest weight as a multiple of that mean, so 1 "
    "is an even map. Attention is what a layer reads, not proof that it uses it: compare with what the estimate "
    "depends on."
)


def word_maps(domain: Any, found: Attended, examples: Samples, batch: Batch, name: str) -> str:
    """Return the maps of each word of the examples, and those of one word by level and layer, as HTML."""
    average = found.mean_map()
    names = token_names(domain, batch.cond, len(examples), average.shape[1])
    rows = []
    for b, own in enumerate(names):
        places = [t for t, name in enumerate(own) if name]
        maps = average[b, places]
        captions = [f"{own[t]} \N{MULTIPLICATION SIGN}{peak(average[b, t]):.2g}" for t in places]
        drawn = domain.show_weights(examples.take([b] * len(places)), above_even(maps), captions)
        rows.append((f"example {b + 1}", [drawn]))
    given = [t for t, name in enumerate(names[0]) if name and t]
    word = max(given, key=lambda t: concentration(average[0, t]), default=0)
    by_level = by_level_and_layer(
        domain, found.levels, {n: w[:, 0, word] for n, w in found.to_tokens.items()}, examples, name
    )
    heading = f"<h3>{html.escape(names[0][word])}, by noise level and layer</h3>"
    return table(["mean over layers and levels"], rows) + heading + by_level


def place_maps(domain: ShowsWeights, found: Attended, examples: Samples, name: str) -> str:
    """Return where one place of the first example looks, by level and layer, as HTML."""
    first = examples.take([0])
    marked = {name: domain.show_weights(first, where[:1], ["the place"]) for name, where in found.origin.items()}
    maps = {name: weights[:, 0] for name, weights in found.to_places.items()}
    return (
        "<h3>One place to all others</h3><p>From the place that differs most from the mean of the data.</p>"
        + table(["the place"], [("", [next(iter(marked.values()))])])
        + by_level_and_layer(domain, found.levels, maps, examples, name)
    )


def by_level_and_layer(
    domain: ShowsWeights, levels: Sequence[float], maps: Mapping[str, Tensor], examples: Samples, name: str
) -> str:
    """Return maps (L, *sizes) of the first example as HTML, a row a level of this name and a column a layer."""
    rows = []
    for i, level in enumerate(levels):
        cells = [
            domain.show_weights(
                examples.take([0]), above_even(weights[i : i + 1]), [f"\N{MULTIPLICATION SIGN}{peak(weights[i]):.2g}"]
            )
            for weights in maps.values()
        ]
        rows.append((f"{name} {level:.3g}", cells))
    return table([layer_name(name) for name in maps], rows)


def measured_table(levels: Sequence[float], kind: str, times: Mapping[str, Tensor], measured: Located) -> str:
    """Return how many times as much attention words of a kind give to the things that they name, as HTML."""
    share, factor = measured.overall[kind]
    rows = [(f"noise {level:.3g}", [float(values[i]) for values in times.values()]) for i, level in enumerate(levels)]
    return (
        f"<h3>Words of {html.escape(kind)} inside what they name</h3><p>Attention inside the thing as a multiple of "
        f"the thing's share of the area; 1: it does not know the thing. Over {measured.words[kind]} words of held-out "
        f"examples. Averaged over layers and levels, {share:.0%} of a word's attention lies inside its thing, "
        f"{factor:.2g} times its share of the area.</p>" + heat_table([layer_name(name) for name in times], rows)
    )


def concentration(weights: Tensor) -> float:
    """Return the divergence of weights from even ones, in nats."""
    p = weights.flatten() / weights.sum()
    return float((p * (p * p.numel()).clamp(min=1e-12).log()).sum())
