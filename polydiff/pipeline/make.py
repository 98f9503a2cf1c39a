"""Make a pipeline of runs that exist."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from polydiff.hub.names import hub_name, on_hub
from polydiff.pipeline.chain import Chain
from polydiff.pipeline.file import NAME, NAMED, Pipeline, Stage
from polydiff.pipeline.folder import PipelineFolder
from polydiff.run.folder import PIPELINE
from polydiff.run.parents import open_parent
from polydiff.support.errors import UserError, as_path, path_list
from polydiff.support.files import check_free, write_atomic


def make_pipeline(runs: Sequence[Path | str], path: Path | str) -> Path:
    """Write the file of a pipeline of runs that exist, with the digests of their weights, and return its folder.

    Arguments:
        runs: Folders of the runs, in order; the name of a folder names its stage.
        path: Folder of the pipeline, new or empty.

    Raises:
        UserError: A run does not exist, two have one name, or they do not fit together.
    """
    target, stages = as_path("path", path), dict[str, Stage]()
    check_free(target, "Choose another -o.")
    found = [open_parent("run", run) for run in path_list("runs", runs)]
    if not found:
        raise UserError("No run is given. Give at least one.")
    for parent in found:
        parent.check_domain(found[0].domain)
        path = parent.path if on_hub(parent.path) else parent.path.resolve()
        name = hub_name(path).repository.rpartition("/")[2] if on_hub(path) else path.name
        if not NAME.fullmatch(name):
            raise UserError(f"{parent.path}: {name!r} cannot name a stage, whose name consists of {NAMED}.")
        if name in stages:
            raise UserError(f"Two runs are named {name}, so they cannot name two stages. Rename a folder.")
        stages[name] = Stage(run=path, sha256=parent.sha256)
    pipeline = Pipeline(str(target / PIPELINE), target, found[0].domain, stages)
    Chain.of(PipelineFolder(target, pipeline))  # raises if the stages do not fit
    target.mkdir(parents=True, exist_ok=True)
    write_atomic(target / PIPELINE, pipeline.text(target))
    return target
