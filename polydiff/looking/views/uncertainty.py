r"""What is still open: the spread of estimates over noises, and of completions of one gap.

The spread over noises is that of D(x_0 + s eps, s) over draws of eps, for one example x_0: how much the estimate at a
level depends on the noise that hides the example. For data N(m, v) it is v s / (v + s^2). The spread over completions
is that of samples which share all known places: what the model takes for possible inside the gap.

Both are root mean squares over elements, relative to that of the data around their mean.

Symbols: L noise levels, B examples, K draws.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from polydiff.contract.domain import Samples
from polydiff.contract.likeness import Encodes, ShowsWeights
from polydiff.core.parts.product import WHOLE, as_parts, as_product
from polydiff.core.process.abilities import Inpaints
from polydiff.core.space import Batch, Euclidean
from polydiff.looking.errors import spread_of
from polydiff.looking.fragments import curve, show, table, to_one
from polydiff.looking.places import at_places
from polydiff.looking.subject import LEVELS, Subject, level_name
from polydiff.model.edit import inpaint
from polydiff.report.views import View
from polydiff.support.protocols import provides

TITLE = "What is still open"
DRAWS, COMPLETIONS = 8, 6
"""Numbers of noises at each level, and of completions of one gap."""
MEASURED = 32
"""Number of held-out examples on which the spread is measured."""
GAP = 0.5
"""Side of the gap in the middle, as a share of each axis."""


class Spread(NamedTuple):
    """The spread of estimates over noises.

    Attributes:
        levels: Falling noise levels, of the first part if there are several, L of them.
        parts: Name of a part -> root mean square of the spread at each level, relative to that of the data, (L,).
        maps: Variance over noises of each element of the estimates of the first part, (L, B, ...).
    """

    levels: Sequence[float]
    parts: Mapping[str, Tensor]
    maps: Tensor

    @property
    def relative(self) -> Tensor:
        """Spread of the first part, which is the whole state if it has one part, (L,)."""
        return next(iter(self.parts.values()))

    def as_json(self) -> dict[str, Any]:
        """Return the spread as JSON values, those of several parts by their names."""
        found = {name: values.tolist() for name, values in self.parts.items()}
        return {"levels": list(self.levels)} | ({"spread": found[WHOLE]} if WHOLE in found else {"parts": found})


@torch.no_grad()
def spread(subject: Subject, batch: Batch, draws: int = DRAWS, n: int = LEVELS) -> Spread:
    """Return the spread of one-step estimates over noises.

    Arguments:
        subject: The model, and the seed of the noises.
        batch: Examples as clean states with their conditions.
        draws: Number of noises, at least 2.
        n: Number of levels.
    """
    process, model = subject.estimates, subject.model
    batch = batch.to(model.device)
    plain, spaces = subject.deviations(batch), as_product(batch.space).parts
    levels, maps = process.levels(model, n), list[Tensor]()
    relative: dict[str, list[float]] = {name: [] for name in plain}
    for level in levels:
        found = [
            as_parts(process.estimate(model, batch._replace(x=process.noisy(model, batch, level, noise)), level))
            for noise in (subject.noise_streams(batch, f"look/{k}") for k in range(draws))
        ]
        over_draws = {name: spread_of(torch.stack([one[name] for one in found]), spaces[name]) for name in plain}
        maps.append(next(iter(over_draws.values())).cpu())
        for name, elements in over_draws.items():
            relative[name].append(math.sqrt(float(spaces[name].sum(elements).mean()) / plain[name]))
    parts = {name: torch.tensor(values, dtype=torch.float64) for name, values in relative.items()}
    return Spread(levels, parts, torch.stack(maps))


class Completions(NamedTuple):
    """Completions of one gap.

    Attributes:
        samples: K examples that agree outside of the gap.
        variance: Variance over them of each element of the state, of the shape (1, ...) of one state.
        relative: Root mean square of the spread inside the gap, relative to that of the data.
    """

    samples: Samples
    variance: Tensor
    relative: float


def completions(subject: Subject, known: Tensor, n: int = COMPLETIONS) -> Completions:
    """Return completions of the first example, each of another noise.

    Arguments:
        subject: The model, the example, the seed, and how samples are drawn.
        known: True where the example is known, booleans that broadcast against its state.
        n: Number of completions, at least 2.
    """
    domain = subject.model.domain
    assert provides(domain, Encodes)
    one = subject.repeated(n)
    made = inpaint(subject.model, one, known, seed=subject.seed, **subject.sampling)
    variance = domain.encode(made.examples).x.var(0, keepdim=True)
    data = subject.examples(MEASURED)
    plain = (data.x - subject.data_mean(data)).square().mean()
    return Completions(made, variance, float((variance[(~known).expand_as(variance)].mean() / plain).sqrt()))


def middle(x: Tensor) -> Tensor:
    """Return where states (B, C, *sizes) are known if the middle of each axis is a gap, booleans (1, 1, *sizes)."""
    known = torch.ones(1, 1, *x.shape[2:], dtype=torch.bool)
    known[
        (slice(None), slice(None), *(slice(round(n * (1 - GAP) / 2), round(n * (1 + GAP) / 2)) for n in x.shape[2:]))
    ] = False
    return known


def uncertainty_view(subject: Subject) -> View:
    """Return the spread of estimates by noise level, and completions of a gap if the model can make them."""
    domain = subject.model.domain
    found, batch = spread(subject, subject.examples(MEASURED)), subject.examples()
    examples = subject.decoded(batch.x, batch)
    name, levels = "spread of estimates against noise level", np.array(found.levels)
    rows = [("" if part == WHOLE else part, [curve(name, levels, own.numpy())]) for part, own in found.parts.items()]
    parts = [table(["spread of estimates over noises"], rows)]
    if provides(domain, ShowsWeights) and WHOLE in found.parts:
        maps = torch.stack([at_places(one, batch.space).sqrt() for one in spread(subject, batch).maps])
        shown = [
            (f"{level_name(subject.model)} {level:.3g}", [domain.show_weights(examples, one, [""] * len(examples))])
            for level, one in zip(found.levels, to_one(maps, together=True), strict=True)
        ]
        parts.append(table(["where it is"], shown))
    numbers = found.as_json()
    if can_complete(subject, batch):
        made = completions(subject, middle(batch.x))
        numbers["spread_of_completions"] = made.relative
        parts.append(completed(subject, made, examples))
    return View(
        "uncertainty",
        TITLE,
        f"One-step estimates of one example under {DRAWS} noises of a level differ by this spread, relative to that "
        "of the data: near 0 at high noise, where every estimate is the mean, and at low noise, where each is the "
        "example; greatest where the network decides. A network whose estimates still differ at the highest noise has "
        "not learned the mean.",
        "".join(parts),
        numbers,
    )


def can_complete(subject: Subject, batch: Batch) -> bool:
    """Return whether a gap in the middle of examples can be filled, and the spread inside it measured."""
    model = subject.model
    whole = model.config.codec is None and provides(model.domain, Encodes) and provides(model.process, Inpaints)
    return whole and isinstance(batch.space, Euclidean) and batch.x.ndim > 2


def completed(subject: Subject, made: Completions, examples: Samples) -> str:
    """Return completions, and where they differ, as HTML."""
    domain = subject.model.domain
    rows = [("completions", [show(domain, Samples(made.samples.examples))])]
    if provides(domain, ShowsWeights):
        drawn = domain.show_weights(examples.head(1), to_one(made.variance.sum(1).sqrt()), ["spread"])
        rows.append(("where they differ", [drawn]))
    return (
        "<h3>Completions of one gap</h3><p>The middle of the first example is made again, each time from other noise; "
        f"all else is given. Inside the gap the spread is {made.relative:.2g} times that of the data.</p>"
        + table([""], rows)
    )
