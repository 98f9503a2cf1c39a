r"""Walks: from one sample to another, from one condition to another, from one example to another.

Between two samples, or two examples, a walk goes along the arc between the noises to which the probability-flow ODE
takes them (`polydiff.interpolate`). Between two conditions the noise stays the same, and the estimate is

$$ (1 - u)\, D_a(x, s) + u\, D_b(x, s), $$

D_a and D_b the estimates under each: guidance of weight u away from a. At u = 0 and u = 1 these are the samples under
a and under b.
"""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from typing import Any

from polydiff.contract.abilities import task_conditions
from polydiff.contract.domain import Samples, conditions_of
from polydiff.contract.sections.sampling import ALL_LEVELS
from polydiff.core.condition_batch import withhold
from polydiff.core.process.abilities import Interpolates
from polydiff.core.space import Batch, state_to
from polydiff.core.streams import streams
from polydiff.looking.fragments import show, table
from polydiff.looking.subject import Subject, Unable
from polydiff.looking.views.guidance import guides
from polydiff.model.edit import interpolate, read
from polydiff.report.views import View
from polydiff.support.errors import UserError
from polydiff.support.protocols import provides

TITLE = "Walks"
SHARES = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
"""Shares of the way at which a walk is shown."""
WALKS, STEPS = 3, 24
"""Number of walks of each kind, and noise levels of each way there and back."""


def condition_walk(
    subject: Subject, a: Mapping[str, Any], b: Mapping[str, Any], shares: Sequence[float] = SHARES, n: int = WALKS
) -> list[Samples]:
    """Return n samples of the same noise at each share of the way from condition a to condition b.

    Arguments:
        subject: The model, the seed, and how samples are drawn.
        a: Condition at 0, as the user writes it.
        b: Condition at 1; it has the same names.
        shares: Shares of the way.
        n: Number of samples.
    """
    found = []
    for share in shares:
        how = {**subject.sampling, "guidance_method": "cfg", "guidance_interval": None, "guide": None}
        if share == 1:
            how |= {"guidance": 1.0}
        else:
            how |= {"guidance": share, "negative": dict(a), "guidance_interval": ALL_LEVELS}
        found.append(subject.model.request(b, **how).joined(range(n), subject.seed))
    return found


def example_walk(subject: Subject, a: Batch, b: Batch, shares: Sequence[float] = SHARES) -> list[Samples]:
    """Return examples at shares of the way from those of a to those of b; batches of clean states of one shape."""
    return interpolate(subject.model, a, b, shares, steps=STEPS, cond=subject.cond or None, seed=subject.seed)


def walks_view(subject: Subject) -> View:
    """Return the walks that the model can take; missing if its process does not interpolate."""
    model = subject.model
    if not provides(model.process, Interpolates):
        raise Unable(f"The process {model.process.name} does not interpolate between examples.")
    parts = []
    if ends := two_conditions(subject):
        a, b = ends
        heading = f"Between conditions: {as_text(a)} to {as_text(b)}; each walk has one noise"
        parts.append((heading, rows(subject, condition_walk(subject, a, b))))
    for what, ends_of in (("noises", two_samples), ("examples", two_examples)):
        try:
            drawn = rows(subject, example_walk(subject, *ends_of(subject)))
        except UserError as error:  # such as molecules of several sizes
            drawn = f"<p>Not drawn: {html.escape(str(error))}</p>"
        parts.append((f"Between {what}", drawn))
    return View(
        "walks",
        TITLE,
        "What lies between. Between conditions, the two estimates are mixed by a share at every noise level; between "
        "examples, the walk goes along the arc between the noises to which they lead. Where neighbours along a walk "
        "look like examples of their own, the model has learned what lies between; where two fade into each other, it "
        "has not.",
        "".join(f"<h3>{html.escape(heading)}</h3>{drawn}" for heading, drawn in parts),
        {"shares": list(SHARES)},
    )


def rows(subject: Subject, samples: Sequence[Samples]) -> str:
    """Return a row for each walk, from the left to the right, as HTML; `samples` has those at each share."""
    domain = subject.model.domain
    walks = [Samples([one[k] for one in samples]) for k in range(len(samples[0]))]
    ways = ", ".join(f"{share:.0%}" for share in SHARES)
    return table([ways], [(f"walk {k + 1}", [show(domain, walk)]) for k, walk in enumerate(walks)])


def as_text(cond: Mapping[str, Any]) -> str:
    """Return conditions as text."""
    return ", ".join(f"{name} {value}" for name, value in cond.items())


def two_conditions(subject: Subject) -> tuple[Mapping[str, Any], Mapping[str, Any]] | None:
    """Return the conditions of two held-out examples that differ; None if there are none or guidance has no effect.

    A requested condition takes the place of the first one.
    """
    domain, model = subject.model.domain, subject.model
    kinds = conditions_of(domain)
    free = [n for n, kind in kinds.items() if kind.source == "words" and n not in task_conditions(domain)]
    if not free or not guides(model):
        return None
    batch = subject.held_out(16)
    cond = {name: value for name, value in (batch.cond or {}).items() if name in free}
    if not cond:
        return None
    found = [{name: str(row[name]) for name in cond} for row in domain.describe(cond)]
    a = {**found[0], **{name: str(value) for name, value in subject.cond.items() if name in cond}}
    b = next((one for one in found if all(one[name] != a[name] for name in a)), None)
    return None if b is None else (a, b)


def two_samples(subject: Subject) -> tuple[Batch, Batch]:
    """Return the ends of walks between noises: samples without guidance, under the requested conditions or none."""
    request = subject.model.request(subject.cond, **{**subject.sampling, "guidance": 1.0})
    found = []
    for numbers in (range(WALKS), range(WALKS, 2 * WALKS)):
        space, cond = request.blank(numbers, subject.seed)
        cond = cond if subject.cond else withhold(cond, (cond or {}).keys()) or None
        found.append(Batch(state_to(request.states(space, cond, subject.seed, numbers), "cpu"), space, cond))
    return found[0], found[1]


def two_examples(subject: Subject) -> tuple[Batch, Batch]:
    """Return the ends of walks between examples: halves of the user's examples, or of held-out ones.

    Raises:
        UserError: There is only one example.
    """
    domain, model = subject.model.domain, subject.model
    if subject.files:
        n = len(subject.files) // 2
        if not n:
            raise UserError("A walk needs two examples. Name two files of one size.")
        return read(model, subject.files[:n]), read(model, subject.files[n : 2 * n])
    size = domain.size("test")
    numbers = [i * size // (2 * WALKS) for i in range(2 * WALKS)]
    first, second = (domain.batch("test", part, streams(0, "augment", part)) for part in (numbers[::2], numbers[1::2]))
    return first, second
