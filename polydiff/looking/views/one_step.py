r"""What is decided at which noise level: examples with noise, one-step estimates, and the error of these estimates.

With x_0 an example, x = x_0 + s eps, D the network's estimate and m the mean of the data, the relative error is

$$ r(s) = \frac{\mathrm E\, |x_0 - D(x, s)|^2}{\mathrm E\, |x_0 - m|^2}. $$

It is 1 where the network knows no more than the mean of all examples, and 0 where it knows the example. For data
N(m, v) it is s^2 / (s^2 + v).

Symbols: L noise levels, B examples.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from polydiff.contract.domain import Domain, Samples
from polydiff.core.space import Batch
from polydiff.looking.difference import squared
from polydiff.looking.fragments import curve, fitting, show, table
from polydiff.looking.subject import EXAMPLES, LEVELS, Subject, level_name
from polydiff.report.views import View
from polydiff.support.files import json_number

TITLE = "What is decided at which noise level"
MEASURED = 32
"""Number of held-out examples on which the error is measured."""
ROOM = 800_000
"""Largest number of bytes of the examples; fewer are shown if they have more."""


REAL = (
    "The error is the mean squared error of the estimate, relative to that of the mean of all training examples: 1 if "
    "nothing is known but this mean, 0 if the example is known"
)
LETTERS = (
    "A level is the share of letters that are lost. The error is the number of wrong letters, relative to that of the "
    "commonest letter at each place: 1 if nothing is known but these, 0 if the example is known"
)


class OneStep(NamedTuple):
    """Examples with noise, and one-step estimates.

    Attributes:
        levels: Falling noise levels, L of them.
        given: The examples.
        noisy: The examples with noise of each level, scaled to the spread of clean ones.
        estimates: The estimates of the examples at each level.
        relative: Error of the estimates relative to that of the data's mean, (L,), over all examples.
    """

    levels: Sequence[float]
    given: Samples
    noisy: Sequence[Samples]
    estimates: Sequence[Samples]
    relative: Tensor

    @property
    def half(self) -> float:
        """Noise level at which the relative error is 1/2, interpolated in log s; NaN if it does not cross 1/2."""
        values = self.relative.tolist()
        for (high, a), (low, b) in pairwise(zip(self.levels, values, strict=True)):
            if a >= 0.5 > b:
                share = (a - 0.5) / (a - b)
                return math.exp(math.log(high) + share * (math.log(low) - math.log(high)))
        return math.nan


@torch.no_grad()
def one_step(subject: Subject, batch: Batch, shown: int = EXAMPLES, n: int = LEVELS) -> OneStep:
    """Return estimates of examples at n noise levels, and their error over all examples of the batch.

    Arguments:
        subject: The model, and the seed of the noise.
        batch: Examples as clean states with their conditions.
        shown: Number of examples that are decoded.
        n: Number of levels.
    """
    process, model = subject.estimates, subject.model
    batch = batch.to(model.device)
    middle = subject.data_mean(batch)
    plain = float(batch.space.sum(squared(batch.x, middle)).mean())
    levels = process.levels(model, n)
    noisy, estimates, errors = [], [], []
    for level in levels:
        x = process.noisy(model, batch, level, subject.noise_streams(batch))
        estimate = process.estimate(model, batch._replace(x=x), level)
        errors.append(float(batch.space.sum(squared(batch.x, estimate)).mean()))
        noisy.append(subject.decoded(process.visible(model, x, level), batch).head(shown))
        estimates.append(subject.decoded(estimate, batch).head(shown))
    given = subject.decoded(batch.x, batch).head(shown)
    return OneStep(levels, given, noisy, estimates, torch.tensor(errors, dtype=torch.float64) / plain)


def one_step_view(subject: Subject) -> View:
    """Return examples with noise of eight levels, their estimates, and the error at each level."""
    batch = subject.examples(MEASURED)
    found = one_step(subject, batch)
    name = level_name(subject.model)
    whose = "Your examples" if subject.files else "Held-out examples"
    decided = (
        "" if math.isnan(found.half) else f" It is one half at {name} {found.half:.3g}: most is decided around there."
    )
    return View(
        "one_step",
        TITLE,
        f"{whose} with noise of eight levels, and the network's estimate of each by a single call, under their own "
        f"conditions. {REAL if name == 'noise' else LETTERS}, here over {batch.space.batch} examples.{decided}",
        fitting(lambda n: drawn(subject.model.domain, found, n, name), len(found.given), ROOM),
        {"levels": list(found.levels), "relative_error": found.relative.tolist(), "half": json_number(found.half)},
    )


def drawn(domain: Domain, found: OneStep, n: int, name: str) -> str:
    """Return the first n examples with noise, and their estimates, a row a level of this name, as HTML."""
    rows = [
        (f"{name} {level:.3g}\nerror {error:.2f}", [show(domain, noisy.head(n)), show(domain, estimate.head(n))])
        for level, noisy, estimate, error in zip(
            found.levels, found.noisy, found.estimates, found.relative.tolist(), strict=True
        )
    ]
    rows.append(("example", [show(domain, found.given.head(n)), plot(found)]))
    return table(["noisy example", "estimate by one call"], rows)


def plot(found: OneStep) -> str:
    """Return the curve of the relative error against the noise level."""
    return curve("error against noise level", np.array(found.levels), found.relative.numpy())
