r"""What the estimate depends on: each condition, and each word of a text, withheld while all else stays the same.

With D_c the estimate under all conditions and D the estimate without one of them, the effect of that one is

$$ e(s) = \frac{\mathrm E\, |D_c(x, s) - D(x, s)|^2}{\mathrm E\, |x_0 - m|^2}, $$

relative to the spread of the data around their mean m. It is 0 for a condition that the network ignores. States of
several parts have an effect on each; `polydiff.looking.errors` defines the distances.

Symbols: L noise levels, B examples.
"""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from polydiff.contract.abilities import task_conditions
from polydiff.contract.domain import Domain, conditions_of
from polydiff.contract.likeness import ShowsWeights
from polydiff.core.condition_batch import withhold
from polydiff.core.conditions import Condition, Text, given
from polydiff.core.parts.product import WHOLE, as_parts, as_product
from polydiff.core.space import Batch
from polydiff.looking.attended import words_at
from polydiff.looking.errors import squared_path
from polydiff.looking.fragments import heat_table, table, to_one
from polydiff.looking.places import at_places
from polydiff.looking.subject import LEVELS, Subject, Unable, level_name
from polydiff.report.views import View
from polydiff.support.protocols import provides

TITLE = "What the estimate depends on"
MEASURED = 32
"""Number of held-out examples on which the effect of conditions is measured."""


class Sensitivity(NamedTuple):
    """The effect of conditions on estimates.

    Attributes:
        levels: Falling noise levels, of the first part if there are several, L of them.
        parts: Name of a part -> condition -> its effect at each level, (L,), over all examples.
        maps: Condition -> squared change of the estimate of the first part, (L, B, ...) of the shape of its states.
    """

    levels: Sequence[float]
    parts: Mapping[str, Mapping[str, Tensor]]
    maps: Mapping[str, Tensor]

    @property
    def effects(self) -> Mapping[str, Tensor]:
        """Effects on the first part, which is the whole state if it has one part."""
        return next(iter(self.parts.values()))

    def as_json(self) -> dict[str, Any]:
        """Return the effects as JSON values, those on several parts by their names."""
        found = {part: {name: e.tolist() for name, e in effects.items()} for part, effects in self.parts.items()}
        return {"levels": list(self.levels)} | ({"effects": found[WHOLE]} if WHOLE in found else {"parts": found})


@torch.no_grad()
def sensitivity(subject: Subject, batch: Batch, without: Mapping[str, Condition], n: int = LEVELS) -> Sensitivity:
    """Return the effect of parts of the conditions on the estimates of examples with noise of n levels.

    Arguments:
        subject: The model, and the seed of the noise.
        batch: Examples as clean states with their conditions.
        without: Name of a part -> the conditions of the examples without it.
        n: Number of levels.
    """
    process, model = subject.estimates, subject.model
    batch = batch.to(model.device)
    plain, spaces = subject.deviations(batch), as_product(batch.space).parts
    levels = process.levels(model, n)
    changes: dict[str, dict[str, list[Tensor]]] = {part: {name: [] for name in without} for part in plain}
    for level in levels:
        noisy = batch._replace(x=process.noisy(model, batch, level, subject.noise_streams(batch)))
        whole = as_parts(process.estimate(model, noisy, level))
        for name, cond in without.items():
            fewer = noisy._replace(cond={key: value.to(model.device) for key, value in cond.items()})
            other = as_parts(process.estimate(model, fewer, level))
            for part, found in changes.items():
                found[name].append(squared_path(whole[part], other[part], spaces[part]))
    effects = {
        part: {
            name: torch.stack([spaces[part].sum(one).mean() for one in maps]).double().cpu() / plain[part]
            for name, maps in found.items()
        }
        for part, found in changes.items()
    }
    first = next(iter(changes.values()))
    return Sensitivity(levels, effects, {name: torch.stack(maps).cpu() for name, maps in first.items()})


def without_each(domain: Domain, cond: Condition) -> dict[str, Condition]:
    """Return the conditions of examples without each of them that is given: name -> all other conditions."""
    free = [name for name in cond if name in conditions_of(domain) and name not in task_conditions(domain)]
    return {name: withhold(cond, {name}) for name in free if bool(given(cond[name]).any())}


def without_words(domain: Domain, cond: Condition) -> dict[str, Condition]:
    """Return the conditions without each word of the first example's texts: word -> all others, of all examples."""
    found: dict[str, Condition] = {}
    for name, kind in conditions_of(domain).items():
        if not isinstance(kind, Text) or name not in cond:
            continue
        value = cond[name]
        for place in range(value.shape[1]):
            if word := words_at(domain, name, value[:1, place : place + 1])[0]:
                left = value.clone()
                left[0, place] = int(kind.missing)
                label = word if word not in found else f"{word} ({place + 1})"
                found[label] = {**cond, name: left}
    return found


def sensitivity_view(subject: Subject) -> View:
    """Return the effect of each condition by noise level, and where in examples it and each word has its effect."""
    domain = subject.model.domain
    batch = subject.examples(MEASURED)
    without = without_each(domain, batch.cond or {})
    if not without:
        raise Unable("The examples have no condition that can be withheld.")
    found, name = sensitivity(subject, batch, without), level_name(subject.model)
    parts = []
    for part, effects in found.parts.items():
        rows = [
            (f"{name} {level:.3g}", [float(e[i]) for e in effects.values()]) for i, level in enumerate(found.levels)
        ]
        parts += [f"<h3>{html.escape(part)}</h3>"] * (part != WHOLE) + [heat_table(list(effects), rows)]
    if provides(domain, ShowsWeights) and WHOLE in found.parts:
        parts += where(domain, subject)
    trained = subject.model.config.train.condition_dropout
    caution = (
        ""
        if 0 < trained < 1
        else " Training never withheld a condition, so an estimate without one is a guess beyond it."
    )
    return View(
        "sensitivity",
        TITLE,
        "The squared change of the one-step estimate if a condition is withheld, relative to the spread of the data: 0 "
        f"for a condition that is ignored at that noise level. Over {batch.space.batch} examples.{caution}",
        "".join(parts),
        found.as_json(),
    )


def where(domain: Any, subject: Subject) -> list[str]:
    """Return where conditions, and words of the first example, change the estimates of a few examples, as HTML.

    Each is drawn at the noise level of its greatest effect.

    Arguments:
        domain: Draws weights over examples.
        subject: The model, and the examples.
    """
    batch = subject.examples()
    cond, n = batch.cond or {}, batch.space.batch
    conditions, words = without_each(domain, cond), without_words(domain, cond)
    found, examples = sensitivity(subject, batch, {**conditions, **words}), subject.decoded(batch.x, batch)
    rows = []
    for name in conditions:
        best = int(found.effects[name].argmax())
        drawn = domain.show_weights(examples, to_one(at_places(found.maps[name][best], batch.space)), [""] * n)
        rows.append((f"{name}, {level_name(subject.model)} {found.levels[best]:.3g}", [drawn]))
    if words:
        best = int(torch.stack([found.effects[word] for word in words]).sum(0).argmax())
        changes = torch.stack([at_places(found.maps[word][best], batch.space)[0] for word in words])
        total = changes.flatten(1).sum(1)
        captions = [
            f"{word} {share:.0%}"
            for word, share in zip(words, (total / total.max().clamp(min=1e-12)).tolist(), strict=True)
        ]
        drawn = domain.show_weights(examples.take([0] * len(words)), to_one(changes, together=True), captions)
        rows.append((f"each word, {level_name(subject.model)} {found.levels[best]:.3g}", [drawn]))
    return [
        "<h3>Where it changes, at the level of the greatest effect; of words, relative to the greatest</h3>",
        table([""], rows),
    ]
