"""The files of a run's closer look (`polydiff.looking.kept`), as the page reads them."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

from pydantic import BaseModel, ValidationError

from polydiff.run.folder import Run
from polydiff.run.reading import read_text
from polydiff.support.errors import UserError
from polydiff.support.files import read_json

VIEWS = "views"
"""Folder of the views, beside the sets of samples."""
VERSION = 3
"""Version of the views; those of another version are drawn again."""


class View(NamedTuple):
    """A picture of the closer look.

    Attributes:
        name: Its name.
        title: Its heading.
        note: What it shows and how to read it.
        html: The domain's own HTML; "": none.
        numbers: What was measured for it, as JSON values by name; not kept in a run's folder.
    """

    name: str
    title: str
    note: str
    html: str
    numbers: Mapping[str, Any] = MappingProxyType({})

    @property
    def size(self) -> int:
        """Size on the page in bytes, including its frame."""
        return len((self.html + self.title + self.note).encode()) + 400


class Entry(BaseModel):
    """One view in views.json."""

    name: Literal["guidance", "trajectory", "one_step", "order", "nearest"]
    title: str
    note: str


class ViewsFile(BaseModel):
    """The file views.json."""

    version: int
    step: int
    weights: str
    seed: int
    views: list[Entry]


def read_views_file(run: Run) -> ViewsFile | None:
    """Return what a run's views.json says; None if there is none.

    Raises:
        UserError: The file lacks the structure that `polydiff.looking.kept` writes.
    """
    path = run.samples(VIEWS) / "views.json"
    found = read_json(path)
    if not found:
        return None
    try:
        return ViewsFile.model_validate(found)
    except ValidationError as error:
        where = ".".join(map(str, error.errors()[0]["loc"]))
        raise UserError(f"{path} was not written by polydiff ({where}). Delete the folder {path.parent}.") from error


def views_step(run: Run) -> int | None:
    """Return the training step of a run's views; None if there are none of this version."""
    found = read_views_file(run)
    return found.step if found and found.version == VERSION else None


def views_of(run: Run) -> tuple[int | None, list[View]]:
    """Return the training step of a run's views and the views."""
    found = read_views_file(run)
    if not found:
        return None, []
    folder = run.samples(VIEWS)
    return found.step, [View(v.name, v.title, v.note, read_text(folder / f"{v.name}.html")) for v in found.views]
