"""A closer look at a model: views that need the model, drawn once for each checkpoint and kept in the run's folder.

Each view is a fragment of HTML made of the domain's own pictures (`Domain.show`), so every domain has them: the effect
of the guidance weight, the way from noise to samples, what is decided at which noise level, and the nearest training
examples of samples. All are of the first samples of the sets that training saves. The page of the run is then made from
the files alone (`polydiff.report.page`). `polydiff.looking.page` makes a page of all views.
"""

from __future__ import annotations

import json
from pathlib import Path

from polydiff.core.process.sampling import Generates
from polydiff.gallery.page import keep_scripts
from polydiff.gallery.sets import SCRIPTS
from polydiff.looking.subject import Subject
from polydiff.looking.views.table import Missing, attempted
from polydiff.model.model import Model
from polydiff.report.page import newest_state
from polydiff.report.views import VERSION, VIEWS, View, views_step
from polydiff.run.folder import Run
from polydiff.support.errors import UserError
from polydiff.support.files import folder_atomic
from polydiff.support.protocols import provides

KEPT = ("guidance", "trajectory", "one_step", "order", "nearest")
"""Names of the views that every run keeps, in the order of its page."""


def refresh_views(path: Path) -> str:
    """Draw the views of a run's newest checkpoint unless they are there, and return why none could be drawn, or "".

    Arguments:
        path: The run's folder.
    """
    run = Run.open(path)
    if run.newest is None or views_step(run) == newest_state(run)["step"]:
        return ""
    try:
        draw_views(Model.load(path), run)
    except UserError as error:
        return str(error)
    return ""


def draw_views(model: Model, run: Run) -> None:
    """Draw the views that a model can have, and write them to a run's folder, in place of older ones.

    A view that a model cannot have, such as the effect of guidance without conditions, is left out; one that fails is
    replaced by the reason. A process that generates nothing and a model trained for restoration have none.
    """
    drawn: list[View] = []
    subject = Subject(model, seed=model.config.seed)
    with folder_atomic(run.samples(VIEWS)) as draft:
        if provides(model.process, Generates) and not model.restores:
            found = ((name, attempted(name, subject)) for name in KEPT)
            drawn = [kept for name, view in found if (kept := entry(name, view))]
        for view in drawn:
            (draft / f"{view.name}.html").write_text(view.html, encoding="utf-8")
        facts = {"version": VERSION, "step": model.step, "weights": model.weights, "seed": model.config.seed}
        entries = [{"name": view.name, "title": view.title, "note": view.note} for view in drawn]
        (draft / "views.json").write_text(json.dumps({**facts, "views": entries}, indent=1) + "\n", encoding="utf-8")
    keep_scripts(model.domain, run.samples(SCRIPTS))


def entry(name: str, view: View | Missing) -> View | None:
    """Return a view, or one that states why it failed; None if the model cannot have it."""
    if isinstance(view, View):
        return view
    return View(name, f"Not drawn: {view.title}", view.reason, "") if view.failed else None
