"""Send an exported model, or a run that is exported first, to the hub."""

from __future__ import annotations

import tempfile
from pathlib import Path

from polydiff.hub.client import client
from polydiff.hub.files import CARD, SAMPLES
from polydiff.hub.names import PREFIX, check_repository
from polydiff.hub.upload import files_in, send
from polydiff.pipeline.folder import PipelineFolder
from polydiff.run.folder import Run, check_own, is_pipeline
from polydiff.sharing.card import named
from polydiff.sharing.check import check_files
from polydiff.sharing.export import export
from polydiff.support.errors import UserError, as_path


def push(
    path: Path | str,
    repository: str,
    *,
    public: bool = False,
    license: str = "",
    samples: int = SAMPLES,
    message: str = "",
) -> str:
    """Send a model to the hub and return its address. Nothing else in polydiff sends anything.

    Arguments:
        path: Folder of an exported model; or of a run, a checkpoint or a pipeline, which is exported first.
        repository: user/name on the hub, which is created, private unless `public`, if it does not exist.
        public: Whether a new repository can be read by everybody.
        license: Identifier of the licence, for what is exported first.
        samples: Number of samples of its card, for what is exported first.
        message: Of the commit; "": a standard one.

    Raises:
        UserError: The path is none of these, a file of an exported model is missing or damaged, this machine has no
            right to write there, or the hub cannot be reached.
    """
    check_repository(repository, repository)
    check_own(path)
    source, name = as_path("path", path), f"{PREFIX}{repository}"
    client(name)  # before the work
    if is_exported(source):
        if license:
            raise UserError(f"{source} is exported already. State the licence in its {CARD}, or export again.")
        check_files(source)
        return send(with_name(source, name), repository, public=public, message=message)
    with tempfile.TemporaryDirectory(prefix="polydiff-") as temporary:
        folder = export(source, Path(temporary) / "model", license=license, samples=samples, name=name)
        return send(dict(files_in(folder)), repository, public=public, message=message)


def is_exported(path: Path) -> bool:
    """Return whether a path is the folder of an exported model or pipeline."""
    return PipelineFolder.open(path).exported if is_pipeline(path) else Run(path).exported


def with_name(folder: Path, name: str) -> dict[str, Path | bytes]:
    """Return the files of an exported model, with a card that calls it by its name on the hub."""
    files: dict[str, Path | bytes] = dict(files_in(folder))
    if CARD in files:
        files[CARD] = named((folder / CARD).read_text(encoding="utf-8"), name).encode()
    return files
