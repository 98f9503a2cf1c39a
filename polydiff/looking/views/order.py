"""The order in which the letters of samples appeared."""

from __future__ import annotations

from polydiff.looking.fragments import table
from polydiff.looking.subject import Subject, Unable
from polydiff.looking.views.trajectory import sampling_text
from polydiff.model.parts.appearance import appearance
from polydiff.report.order import pictures
from polydiff.report.views import View

TITLE = "The order in which letters appeared"
ORDERED = 16
"""Number of samples in the picture."""


def order_view(subject: Subject) -> View:
    """Return at which steps the letters of samples appeared; missing if no part of the states is masked letters."""
    request, n = subject.request()
    found = appearance(request, min(n, ORDERED), subject.seed)
    if found is None:
        raise Unable("No part of the states consists of masked letters.")
    return View(
        "order",
        TITLE,
        f"The darker, the later, among {found.steps} calls of the network ({sampling_text(request)}). If letters are "
        "masked again, the last time counts. Even noise, or the same grey in a mean, is a random order, as of "
        "ancestral sampling; bands show what is decided first.",
        table([""], [(label, [str(drawn)]) for label, drawn in pictures(found)]),
    )
