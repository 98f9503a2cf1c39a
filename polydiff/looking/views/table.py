"""All views, in the order of a page, and what becomes of one that a model cannot have."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

from polydiff.looking.subject import Subject, Unable
from polydiff.looking.views import (
    attention,
    guidance,
    nearest,
    one_step,
    order,
    probe,
    sensitivity,
    trajectory,
    uncertainty,
    walks,
)
from polydiff.report.views import View
from polydiff.support.errors import UserError


class Entry(NamedTuple):
    """A view.

    Attributes:
        title: Its heading.
        draw: Draws it; raises `Unable` for a model that cannot have it.
    """

    title: str
    draw: Callable[[Subject], View]


class Missing(NamedTuple):
    """A view that was not drawn.

    Attributes:
        title: Its heading.
        reason: Why, in sentences.
        failed: Whether the model can have it, and drawing it failed.
    """

    title: str
    reason: str
    failed: bool


VIEWS: Mapping[str, Entry] = {
    "trajectory": Entry(trajectory.TITLE, trajectory.trajectory_view),
    "one_step": Entry(one_step.TITLE, one_step.one_step_view),
    "attention": Entry(attention.TITLE, attention.attention_view),
    "sensitivity": Entry(sensitivity.TITLE, sensitivity.sensitivity_view),
    "guidance": Entry(guidance.TITLE, guidance.guidance_view),
    "order": Entry(order.TITLE, order.order_view),
    "nearest": Entry(nearest.TITLE, nearest.nearest_view),
    "uncertainty": Entry(uncertainty.TITLE, uncertainty.uncertainty_view),
    "walks": Entry(walks.TITLE, walks.walks_view),
    "probe": Entry(probe.TITLE, probe.probe_view),
}
"""Name -> view."""


def attempted(name: str, subject: Subject) -> View | Missing:
    """Return a view; if it fails, such as by samples that explode under a large guidance weight, why it is missing."""
    title, draw = VIEWS[name]
    try:
        return draw(subject)
    except Unable as error:
        return Missing(title, str(error), failed=False)
    except UserError as error:
        return Missing(title, str(error), failed=True)
