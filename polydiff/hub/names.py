"""Names of models on the hub, which stand wherever a run's folder can: hf:user/name, or hf:user/name@revision."""

from __future__ import annotations

import re
from os import PathLike, fspath
from typing import NamedTuple

from polydiff.support.errors import UserError

PREFIX = "hf:"
REPOSITORY = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9_][\w.-]{0,95}", re.ASCII)


class HubName(NamedTuple):
    """A model on the hub.

    Attributes:
        repository: user/name.
        revision: Branch, tag or commit; None: the newest commit of the main branch.
    """

    repository: str
    revision: str | None = None

    def __str__(self) -> str:
        return f"{PREFIX}{self.repository}" + (f"@{self.revision}" if self.revision else "")


def on_hub(path: PathLike[str] | str) -> bool:
    """Return whether a path is the name of a model on the hub."""
    return fspath(path).startswith(PREFIX)


def hub_name(path: PathLike[str] | str) -> HubName:
    """Return the model that hf:user/name or hf:user/name@revision names.

    Raises:
        UserError: The text has another form.
    """
    repository, at, revision = fspath(path).removeprefix(PREFIX).partition("@")
    check_repository(repository, f"{path}")
    if at and not re.fullmatch(r"[\w./-]+", revision):
        raise UserError(f"{path}: the revision after @ should be a branch, a tag or a commit, such as @main.")
    return HubName(repository, revision or None)


def check_repository(repository: str, shown: str) -> None:
    """Raise UserError unless a text is user/name; the message calls it `shown`."""
    if not REPOSITORY.fullmatch(repository) or ".." in repository or "--" in repository:
        raise UserError(f"{shown} should name a user and a model, such as {PREFIX}anna/digits.")
