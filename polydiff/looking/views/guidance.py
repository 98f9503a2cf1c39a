"""The effect of guidance: samples of the same noise and conditions at several weights."""

from __future__ import annotations

from collections.abc import Sequence

from polydiff.contract.abilities import task_conditions
from polydiff.contract.domain import Samples
from polydiff.looking.fragments import table
from polydiff.looking.subject import Subject, Unable
from polydiff.model.model import Model
from polydiff.report.views import View

TITLE = "The effect of guidance"
WEIGHTS = (1.0, 2.0, 4.0)
"""Guidance weights that are compared."""
GUIDED = 8
"""Number of samples at each weight."""


def guidance_view(subject: Subject) -> View:
    """Return samples at each weight; missing if guidance has no effect on the model."""
    model = subject.model
    free = model.domain.conditions.keys() - task_conditions(model.domain)
    if not free or not 0 < model.config.train.condition_dropout < 1 or not guides(model):
        raise Unable(
            "Guidance has no effect: the model was not trained both with conditions and without them, or its process "
            "does not guide.",
        )
    rows = [
        (f"guidance {weight:g}{' (none)' if weight == 1 else ''}", [model.domain.show(samples)])
        for weight, samples in zip(WEIGHTS, guided(subject), strict=True)
    ]
    return View(
        "guidance",
        TITLE,
        "Samples in the same place have the same condition and the same noise; only the guidance weight differs.",
        table([""], rows),
    )


def guided(subject: Subject, weights: Sequence[float] = WEIGHTS, most: int = GUIDED) -> list[Samples]:
    """Return up to so many samples of the same noise and conditions at each guidance weight."""
    found = []
    for weight in weights:
        request, n = subject.request(guidance=weight)
        found.append(request.joined(range(min(n, most)), subject.seed))
    return found


def guides(model: Model) -> bool:
    """Return whether the process reads the guidance weight."""
    keys = getattr(model.process, "keys", None)
    return model.process.name == "gaussian" if keys is None else "sample.guidance" in keys
