"""The page of all views of a model: one file that fetches nothing, at most 5 MB."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from polydiff.core.process.process import lacks
from polydiff.core.process.sampling import Generates
from polydiff.gallery.page import script, scripts_of
from polydiff.looking.subject import Subject
from polydiff.looking.views.table import VIEWS, Missing, attempted
from polydiff.model.edit import read
from polydiff.model.model import Model, check_model
from polydiff.report.page import LIMIT, views_within
from polydiff.report.templates import rendered
from polydiff.report.views import View
from polydiff.support.errors import UserError, as_paths, unknown
from polydiff.support.files import quoted, write_atomic
from polydiff.support.progress import counted
from polydiff.support.protocols import provides

FRAME_BYTES = 40_000
"""Room for all of the page but its views and the domain's scripts."""


@dataclass(frozen=True)
class Look:
    """What was seen in a model.

    Arguments:
        subject: What was looked at.
        views: The views, in the order of the page.
        missing: Views that the model cannot have, with the reasons.
    """

    subject: Subject
    views: Sequence[View]
    missing: Sequence[Missing]

    @property
    def numbers(self) -> dict[str, Any]:
        """What was measured for each view, as JSON values by the names of views."""
        return {view.name: dict(view.numbers) for view in self.views if view.numbers}

    def page(self, name: str = "model", limit: int = LIMIT) -> str:
        """Return the page's HTML, at most `limit` bytes; views that do not fit are left out, the largest first.

        Arguments:
            name: What the page calls the model, such as the path of its run.
            limit: Largest number of bytes.
        """
        scripts = [script(text) for text in scripts_of(self.subject.model.domain).values()]
        room = limit - FRAME_BYTES - sum(len(text.encode()) for text in scripts)
        views = views_within(self.views, room)
        shown = {view.name for view, _ in views}
        parts = {
            "name": Path(name).name or name,
            "about": about(self.subject.model),
            "facts": facts(self.subject),
            "views": views,
            "missing": self.missing,
            "left_out": [view.title for view in self.views if view.name not in shown],
            "command": command(self.subject, name),
            "scripts": scripts,
        }
        return rendered("polydiff.looking", parts)

    def save(self, path: Path | str, name: str = "model") -> Path:
        """Write the page to a file and return its path."""
        write_atomic(Path(path), self.page(name))
        return Path(path)


def look(
    model: Model,
    *,
    cond: Mapping[str, Any] | None = None,
    files: Sequence[Path | str] | Path | str = (),
    only: Sequence[str] = (),
    seed: int = 0,
    **sampling: Any,
) -> Look:
    """Look into a model: from noise to samples, what is decided at which level, nearest training examples, and more.

        polydiff.look(model, cond={"label": 7}).save("look.html")

    Arguments:
        model: The model of a run.
        cond: Requested conditions, as in `Model.sample`.
        files: The user's own examples to look at; (): held-out ones.
        only: Names of the views (`polydiff.looking.views.table.VIEWS`); (): all.
        seed: Random seed.
        sampling: Keys of the configuration's section `sample`, as in `Model.sample`.

    Raises:
        UserError: A name is unknown, a file cannot be read, or the model generates no samples by itself.
    """
    check_model(model)
    for name in only:
        if name not in VIEWS:
            raise unknown("view", name, VIEWS)
    if not provides(model.process, Generates):
        raise lacks(model.process, "generate samples, which are what a look shows")
    if model.restores:
        raise UserError("This model restores degraded examples. A look shows models that generate examples.")
    paths = as_paths(files) if files else []
    subject = Subject(model, dict(cond or {}), paths, seed, sampling, thorough=True)
    subject.request()[0].blank([0], seed)  # a wrong condition is an error of the command, not of each view
    if paths:
        read(model, paths)
    names = [name for name in VIEWS if not only or name in only]
    found = list(counted("views drawn", len(names), (attempted(name, subject) for name in names)))
    return Look(
        subject,
        [view for view in found if isinstance(view, View)],
        [view for view in found if isinstance(view, Missing)],
    )


def about(model: Model) -> str:
    """Return what a model is, in a sentence."""
    size = sum(p.numel() for p in model.denoiser.parameters())
    return (
        f"A diffusion model for the domain {model.config.domain}, {model.config.backbone.name} with {size:,} weights, "
        f"after {model.step:,} training steps."
    )


def facts(subject: Subject) -> dict[str, str]:
    """Return what was looked at."""
    found = {
        "Conditions": ", ".join(f"{name}={value}" for name, value in subject.cond.items()),
        "Examples": ", ".join(path.name for path in subject.files) or "held out from training",
        "Weights": subject.model.weights,
        "Seed": str(subject.seed),
    }
    return {name: value for name, value in found.items() if value}


def command(subject: Subject, name: str) -> str:
    """Return the command that makes the page again."""
    cond = (f"--cond {quoted(f'{key}={value}')}" for key, value in subject.cond.items())
    files = (quoted(path) for path in subject.files)
    seed = [f"--seed {subject.seed}"] if subject.seed else []
    return " ".join(["polydiff look", quoted(name), *files, *cond, *seed])
