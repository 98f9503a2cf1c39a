"""What is decided at which noise level: examples with noise, one-step estimates, and the error of these estimates.

`polydiff.looking.errors` defines the errors.

Symbols: L noise levels, B examples.
"""

from __future__ import annotations

import html
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from polydiff.contract.domain import Samples
from polydiff.core.parts.letters import Letters
from polydiff.core.parts.manifolds import Manifold
from polydiff.core.parts.product import WHOLE, as_parts, as_product
from polydiff.core.process.abilities import EstimatesParts
from polydiff.core.space import Batch, Space
from polydiff.looking.errors import PartErrors, nats, relative_error, squared_error, unseen_error
from polydiff.looking.fragments import curve, fitting, show, table
from polydiff.looking.subject import EXAMPLES, LEVELS, Subject, level_name
from polydiff.report.views import View
from polydiff.support.protocols import provides

TITLE = "What is decided at which noise level"
MEASURED = 32
"""Number of held-out examples on which the error is measured."""
ROOM = 800_000
"""Largest number of bytes of the examples; fewer are shown if they have more."""

REAL = (
    "The error of real numbers is the mean squared error of the estimate, relative to that of the mean of all training "
    "examples: 1 if nothing is known but this mean, 0 if the example is known."
)
LETTERS = (
    "The level of letters is the share of letters that are lost. Their error is the number of wrong letters, relative "
    "to that of the commonest letter, at each place if all examples have one size: 1 if nothing is known but these, 0 "
    "if the example is known. Nats are -log of the probability of the right letter, averaged over all letters, seen "
    "ones included."
)
CURVED = (
    "The error of angles and rotations is the mean squared angle between estimate and example, relative to that of a "
    "uniform draw."
)


class OneStep(NamedTuple):
    """Examples with noise, and one-step estimates.

    Attributes:
        levels: Falling levels of the first part, L of them.
        given: The examples.
        noisy: The examples with noise of each level, scaled to the spread of clean ones.
        estimates: The estimates of the examples at each level.
        parts: Name of a part -> errors of its estimates over all examples; of a state of one part, `WHOLE`.
    """

    levels: Sequence[float]
    given: Samples
    noisy: Sequence[Samples]
    estimates: Sequence[Samples]
    parts: Mapping[str, PartErrors]

    @property
    def first(self) -> PartErrors:
        """Errors of the first part, which is the whole state if it has one part."""
        return next(iter(self.parts.values()))

    def as_json(self) -> dict[str, Any]:
        """Return the errors as JSON values, those of several parts by their names."""
        found = {name: own.as_json() for name, own in self.parts.items()}
        return {"levels": list(self.levels), **found.get(WHOLE, {"parts": found})}


class AtLevel(NamedTuple):
    """Examples with noise of one level, and their estimates.

    Attributes:
        levels: Name of a part -> its level.
        noisy: The examples with noise, scaled to the spread of clean ones.
        estimate: Their estimates.
        errors: Name of a part -> mean squared error over all examples.
        nats: Name of a part of letters -> nats a letter over all examples.
    """

    levels: Mapping[str, float]
    noisy: Samples
    estimate: Samples
    errors: Mapping[str, float]
    nats: Mapping[str, float]


@torch.no_grad()
def one_step(subject: Subject, batch: Batch, shown: int = EXAMPLES, n: int = LEVELS) -> OneStep:
    """Return estimates of examples at n noise levels, and their error over all examples of the batch.

    Arguments:
        subject: The model, and the seed of the noise.
        batch: Examples as clean states with their conditions.
        shown: Number of examples that are decoded.
        n: Number of levels.
    """
    batch = batch.to(subject.model.device)
    levels = subject.estimates.levels(subject.model, n)
    found = [at_level(subject, batch, level, shown) for level in levels]
    unseen, spaces = subject.unseen(batch), as_product(batch.space).parts
    parts = {}
    for name, x_0 in as_parts(batch.x).items():
        errors, law = torch.tensor([one.errors[name] for one in found]).double(), unseen[name].log_law
        parts[name] = PartErrors(
            [one.levels[name] for one in found],
            relative_error(errors, unseen_error(x_0, unseen[name], spaces[name])),
            torch.tensor([one.nats[name] for one in found]).double() if name in found[0].nats else None,
            None if law is None else nats(x_0, law, spaces[name]),
        )
    given = subject.decoded(batch.x, batch).head(shown)
    return OneStep(levels, given, [one.noisy for one in found], [one.estimate for one in found], parts)


def at_level(subject: Subject, batch: Batch, level: float, shown: int) -> AtLevel:
    """Return examples with noise of one level of the first part, and their estimates; arguments as of `one_step`."""
    process, model, spaces = subject.estimates, subject.model, as_product(batch.space).parts
    noisy = batch._replace(x=process.noisy(model, batch, level, subject.noise_streams(batch)))
    estimate, x_0 = process.estimate(model, noisy, level), as_parts(batch.x)
    levels: Mapping[str, float] = {WHOLE: level}
    log_laws: Mapping[str, Tensor] = {}
    if provides(process, EstimatesParts):
        levels, log_laws = process.part_levels(model, level), process.log_laws(model, noisy, level)
    return AtLevel(
        levels,
        subject.decoded(process.visible(model, noisy.x, level), batch).head(shown),
        subject.decoded(estimate, batch).head(shown),
        {name: float(squared_error(x_0[name], own, spaces[name]).mean()) for name, own in as_parts(estimate).items()},
        {name: nats(x_0[name], law, spaces[name]) for name, law in log_laws.items()},
    )


def one_step_view(subject: Subject) -> View:
    """Return examples with noise of eight levels, their estimates, and the error at each level."""
    batch = subject.examples(MEASURED)
    found = one_step(subject, batch)
    whose = "Your examples" if subject.files else "Held-out examples"
    spaces = as_product(batch.space).parts
    several = " The level of the first part determines those of all others." if len(spaces) > 1 else ""
    return View(
        "one_step",
        TITLE,
        f"{whose} with noise of eight levels, and the network's estimate of each by a single call, under their own "
        f"conditions.{several} {meanings(spaces.values())} Over {batch.space.batch} examples.{summary(subject, found)}",
        fitting(lambda n: drawn(subject, found, n), len(found.given), ROOM),
        found.as_json(),
    )


def meanings(spaces: Iterable[Space]) -> str:
    """Return what the errors of parts that live in these spaces mean, in sentences."""
    kinds = [LETTERS if provides(s, Letters) else CURVED if provides(s, Manifold) else REAL for s in spaces]
    return " ".join(dict.fromkeys(kinds))


def summary(subject: Subject, found: OneStep) -> str:
    """Return at which level half of each part is known, and the nats of its marginal law, in sentences."""
    text = ""
    for name, own in found.parts.items():
        whose = "" if name == WHOLE else f" of {name}"
        if not math.isnan(own.half):
            level = f"{part_level(subject, found, name)} {own.half:.3g}"
            text += f" The error{whose} is one half at {level}: most is decided around there."
        if own.marginal is not None:
            text += f" The marginal law{whose or ' of the data'} has {own.marginal:.3g} nats a letter."
    return text


def part_level(subject: Subject, found: OneStep, name: str) -> str:
    """Return what the levels of a part are called."""
    return level_name(subject.model) if found.parts[name] is found.first else "level"


def drawn(subject: Subject, found: OneStep, n: int) -> str:
    """Return the first n examples with noise, and their estimates, a row a level, as HTML."""
    domain = subject.model.domain
    rows = [
        (label(subject, found, i), [show(domain, noisy.head(n)), show(domain, estimate.head(n))])
        for i, (noisy, estimate) in enumerate(zip(found.noisy, found.estimates, strict=True))
    ]
    rows.append(("example", [show(domain, found.given.head(n)), plots(found)]))
    return table(["noisy example", "estimate by one call"], rows)


def label(subject: Subject, found: OneStep, i: int) -> str:
    """Return the levels and errors of all parts in row i."""
    lines = []
    for name, own in found.parts.items():
        level = f"{part_level(subject, found, name)} {own.levels[i]:.3g}"
        lines.append(level if name == WHOLE else f"{name}, {level}")
        if not math.isnan(relative := float(own.relative[i])):
            lines.append(f"error {relative:.2f}")
        if own.nats is not None:
            lines.append(f"{float(own.nats[i]):.2f} nats")
    return "\n".join(lines)


def plots(found: OneStep) -> str:
    """Return the curve of each part's relative error against its level, if it has one."""
    drawable = {name: own for name, own in found.parts.items() if not own.relative.isnan().any()}
    curves = {name: curve("error against level", *arrays(own)) for name, own in drawable.items()}
    return "".join(drawn if name == WHOLE else f"<p>{html.escape(name)}</p>{drawn}" for name, drawn in curves.items())


def arrays(errors: PartErrors) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return levels and relative errors for a plot."""
    return np.array(errors.levels), errors.relative.numpy()
