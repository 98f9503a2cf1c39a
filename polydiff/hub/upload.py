"""Sending a model to the hub. Nothing is sent without the verb `push`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from polydiff.hub.client import translated
from polydiff.hub.files import is_file_of_model
from polydiff.hub.names import PREFIX, check_repository


def send(files: Mapping[str, Path | bytes], repository: str, *, public: bool = False, message: str = "") -> str:
    """Send a model to a repository in one commit and return its address; the repository is created if need be.

    Files of an earlier model there that this one lacks are deleted in the same commit; the history keeps them.

    Arguments:
        files: Name in the repository -> file on this machine, or content.
        repository: user/name.
        public: Whether a new repository can be read by everybody; one that exists stays as it is.
        message: Of the commit; "": a standard one.

    Raises:
        UserError: The name is none, this machine has no right to write there, or the hub cannot be reached.
    """
    check_repository(repository, repository)
    with translated(f"{PREFIX}{repository}", writes=True) as hub:
        api = hub.HfApi()
        place = api.create_repo(repository, private=not public, exist_ok=True)
        gone = [name for name in api.list_repo_files(repository) if is_file_of_model(name) and name not in files]
        operations = [
            *(hub.CommitOperationDelete(path_in_repo=name) for name in gone),
            *(hub.CommitOperationAdd(path_in_repo=name, path_or_fileobj=data) for name, data in files.items()),
        ]
        api.create_commit(repository, operations, commit_message=message or "Upload a model of polydiff")
    return str(place)


def files_in(folder: Path) -> Iterator[tuple[str, Path]]:
    """Yield the name and the path of each file of an exported model; other files, and links, are left out."""
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        regular = path.is_file() and not path.is_symlink()
        if regular and is_file_of_model(name) and not any(part.startswith(".") for part in name.split("/")):
            yield name, path
