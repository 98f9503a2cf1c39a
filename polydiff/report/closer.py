"""A closer look at a model: pictures that need the model, drawn once for each checkpoint and kept in the run's folder.

Each view is a fragment of HTML made of the domain's own pictures (`Domain.show`), so every domain has them: the effect
of the guidance weight, the way from noise to samples, and the nearest training examples of samples. All are of the
first samples of the sets that training saves. The page is then made from the files alone (`polydiff.report.page`).
"""

from __future__ import annotations

import html
import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path

from polydiff.config.processes import states_of
from polydiff.contract.abilities import task_conditions
from polydiff.contract.domain import Samples
from polydiff.contract.likeness import FindsNearest
from polydiff.core.process.sampling import Generates
from polydiff.gallery.page import keep_scripts
from polydiff.gallery.sets import SCRIPTS
from polydiff.model.model import Model
from polydiff.model.parts.appearance import appearance
from polydiff.model.prompted import shown_request
from polydiff.model.request import Request
from polydiff.model.trace import trace
from polydiff.report.order import pictures
from polydiff.report.page import newest_state
from polydiff.report.views import VERSION, VIEWS, View, views_step
from polydiff.run.folder import Run
from polydiff.support.errors import UserError, amount
from polydiff.support.files import folder_atomic
from polydiff.support.protocols import provides

WEIGHTS = (1.0, 2.0, 4.0)
"""Guidance weights that are compared."""
GUIDED, TRACED, ORDERED, MATCHED = 8, 4, 16, 8
"""Numbers of samples: at each guidance weight, on their way, in the picture of their order, beside their nearest
training examples."""
LEVELS = 8
"""Largest number of moments on the way from noise to samples."""
GRID = "display:grid;gap:14px 18px;align-items:start;grid-template-columns:"
NUMBER = "font:600 12px/1.4 sans-serif;color:#444;font-variant-numeric:tabular-nums"


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
    with folder_atomic(run.samples(VIEWS)) as draft:
        if provides(model.process, Generates) and not model.restores:
            for name, draw in DRAWN.items():
                view = attempted(name, draw, model)
                if view is not None:
                    drawn.append(view)
                    (draft / f"{name}.html").write_text(view.html, encoding="utf-8")
        facts = {"version": VERSION, "step": model.step, "weights": model.weights, "seed": model.config.seed}
        entries = [{"name": view.name, "title": view.title, "note": view.note} for view in drawn]
        (draft / "views.json").write_text(json.dumps({**facts, "views": entries}, indent=1) + "\n", encoding="utf-8")
    keep_scripts(model.domain, run.samples(SCRIPTS))


def attempted(name: str, draw: Callable[[Model], View | None], model: Model) -> View | None:
    """Return a view; if samples fail, such as under a large guidance weight, one that states why."""
    try:
        return draw(model)
    except UserError as error:
        return View(name, f"Not drawn: {name}", str(error), "")


def guidance_view(model: Model) -> View | None:
    """Return samples of the same noise and conditions at several guidance weights; None if guidance has no effect."""
    free = model.domain.conditions.keys() - task_conditions(model.domain)
    if not free or not 0 < model.config.train.condition_dropout < 1 or not guides(model):
        return None
    rows = []
    for weight in WEIGHTS:
        request, n = shown_request(model.request(guidance=weight))
        samples = request.joined(range(min(n, GUIDED)), model.config.seed)
        label = f"{weight:g}{' (none)' if weight == 1 else ''}"
        rows.append((f"guidance {label}", [model.domain.show(samples)]))
    return View(
        "guidance",
        "The effect of guidance",
        "Samples in the same place have the same condition and the same noise; only the guidance weight differs.",
        table([""], rows),
    )


def guides(model: Model) -> bool:
    """Return whether the process reads the guidance weight."""
    keys = getattr(model.process, "keys", None)
    return model.process.name == "gaussian" if keys is None else "sample.guidance" in keys


REAL = (
    "Left: the noisy state, divided by its spread so that it can be seen. Right: what the network expects the clean "
    "example to be, given that state. It begins near the mean of all examples of the condition and gains detail as the "
    "noise falls."
)
OTHER = (
    "A level is the share of an example that is lost. Left: the state, of which lost parts are masked or replaced. "
    "Right: what is most probable at each place, given that state. Places are judged one by one, so the guess need not "
    "be an example of its own."
)


def trajectory_view(model: Model) -> View | None:
    """Return the way from noise to samples with the estimates on it; None if the process does not show its way."""
    request, n = shown_request(model.request())
    scenes = trace(request, range(min(n, TRACED)), model.config.seed, LEVELS)
    if not scenes:
        return None
    real = states_of(model.config) == "real"
    name = "noise" if real else "level"
    rows = [
        (
            f"{name} {scene.level:.3g}" if scene.level else "sample",
            [show(model, scene.state), show(model, scene.estimate)],
        )
        for scene in scenes
    ]
    return View(
        "trajectory",
        "From noise to samples",
        f"Top to bottom: {len(scenes)} of the {'noise ' * real}levels of {words(request)}. {REAL if real else OTHER}",
        table(["noisy state", "estimate of the clean example"], rows),
    )


def order_view(model: Model) -> View | None:
    """Return at which steps the letters of samples appeared; None if no part of the states is masked letters."""
    request, n = shown_request(model.request())
    found = appearance(request, min(n, ORDERED), model.config.seed)
    if found is None:
        return None
    return View(
        "order",
        "The order in which letters appeared",
        f"The darker, the later, among {found.steps} calls of the network ({words(request)}). If letters are masked "
        "again, the last time counts. Even noise, or the same grey in a mean, is a random order, as of ancestral "
        "sampling; bands show what is decided first.",
        table([""], [(label, [str(drawn)]) for label, drawn in pictures(found)]),
    )


def nearest_view(model: Model) -> View | None:
    """Return samples beside their nearest training examples; None if the domain does not search for them."""
    domain = model.domain
    if not provides(domain, FindsNearest):
        return None
    request, n = shown_request(model.request())
    samples = request.joined(range(min(n, MATCHED)), model.config.seed)
    found = domain.nearest(samples)
    cells = "".join(
        pair_cell(model, one(samples, i), one(found.examples, i), distance)
        for i, distance in enumerate(found.distances)
    )
    typical = "" if math.isnan(found.typical) else f" That of held-out examples is {found.typical:.3g} (median)."
    return View(
        "nearest",
        "Nearest training examples",
        f"Each pair is a sample and, to its right, the training example nearest to it in {found.meaning}, with the "
        f"distance.{typical} A much smaller distance means a copy.",
        f'<div style="{GRID}repeat(auto-fill,minmax(14rem,1fr))">{cells}</div>',
    )


def pair_cell(model: Model, sample: Samples, near: Samples, distance: float) -> str:
    """Return a sample beside its nearest training example as HTML; alone if their distance is NaN."""
    compared = not math.isnan(distance)
    pictures = [show(model, sample), *([show(model, near)] if compared else [])]
    words = f"distance {distance:.3g}" if compared else "cannot be compared"
    return (
        f'<div style="display:flex;gap:8px;align-items:flex-start;flex-wrap:wrap">{"".join(pictures)}'
        f'<span style="{NUMBER};flex-basis:100%">{words}</span></div>'
    )


DRAWN: dict[str, Callable[[Model], View | None]] = {
    "guidance": guidance_view,
    "trajectory": trajectory_view,
    "order": order_view,
    "nearest": nearest_view,
}


def show(model: Model, samples: Samples) -> str:
    """Return a domain's picture of samples in a box that may be narrower than it."""
    return f'<div style="min-width:0;overflow-x:auto">{model.domain.show(samples)}</div>'


def one(samples: Samples, i: int) -> Samples:
    """Return sample i with its conditions."""
    return samples.take([i])


def words(request: Request) -> str:
    """Return how samples are drawn."""
    how = request.how
    guidance = "no guidance" if how.guidance == 1 else f"guidance {how.guidance:g}"
    return f"{how.sampler}, {amount(how.steps, 'step')}, {guidance}"


def table(heads: Sequence[str], rows: Sequence[tuple[str, Sequence[str]]]) -> str:
    """Return rows of a label and fragments, under the heads of the columns, as HTML.

    Arguments:
        heads: Heads of the columns after that of labels; "" for none.
        rows: A label, and a fragment for each column.
    """
    head = "".join(f'<div style="{NUMBER}">{html.escape(text)}</div>' for text in ("", *heads)) if any(heads) else ""
    body = "".join(
        f'<div style="{NUMBER}">{html.escape(label)}</div>' + "".join(f"<div>{cell}</div>" for cell in cells)
        for label, cells in rows
    )
    return f'<div style="{GRID}minmax(4rem,max-content) repeat({len(heads)},minmax(0,1fr))">{head}{body}</div>'
