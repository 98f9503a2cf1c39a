"""The folder of a pipeline: its file, and the runs of its stages.

runs/dalle2-001/
  pipeline.yaml     the stages in order (`polydiff.pipeline.file`)
  stages/           pair/, prior/, ...: ordinary runs
  samples/          sets that `polydiff sample` draws
  evaluation.json   the last evaluation of the whole and of each stage
  report.html       one page, which links the page of each stage
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from polydiff.config.saved import config_of_state
from polydiff.hub.download import local
from polydiff.pipeline.file import Pipeline, pipeline_of
from polydiff.run.checkpoint import read_newest, read_state
from polydiff.run.folder import PIPELINE, ResultsFolder, Run, is_pipeline
from polydiff.run.goal import planned_steps
from polydiff.run.parents import open_parent
from polydiff.run.reading import read_text
from polydiff.support.errors import UserError, as_path
from polydiff.support.files import quoted
from polydiff.support.yaml_text import yaml_mapping

STAGES = "stages"


@dataclass(frozen=True)
class PipelineFolder(ResultsFolder):
    """Paths in a pipeline's folder.

    Arguments:
        path: The folder.
        pipeline: Contents of its file.
    """

    pipeline: Pipeline

    @classmethod
    def open(cls, path: Path | str) -> PipelineFolder:
        """Return an existing pipeline."""
        path = local(as_path("path", path))
        if not is_pipeline(path):
            raise UserError(f"There is no pipeline in {path}. `polydiff train -c FILE -o {quoted(path)}` trains one.")
        source = str(path / PIPELINE)
        values = yaml_mapping(read_text(path / PIPELINE), source)
        return cls(path, pipeline_of(values, source, path.expanduser().absolute()))

    @property
    def runs(self) -> dict[str, Path]:
        """Name of a stage -> folder of its run, absolute."""
        inside = self.path.resolve() / STAGES
        return {name: local(stage.run or inside / name) for name, stage in self.pipeline.stages.items()}

    @property
    def steps(self) -> dict[str, int]:
        """Name of a stage -> training steps that are done."""
        return {name: steps_of(run)[0] for name, run in self.runs.items()}

    @property
    def exported(self) -> bool:
        """Whether the folder is that of an exported pipeline: its stages are exported models in it."""
        inside = self.path.resolve() / STAGES
        return all(run.parent == inside and Run(run).exported for run in self.runs.values())

    def check_resumable(self) -> None:
        """Raise UserError if the folder is that of an exported pipeline, whose stages are not trained further."""
        if self.exported:
            raise UserError(
                f"{self.path} is an exported pipeline, without the optimizers and the history that resuming needs."
            )


def check_existing(folder: PipelineFolder, name: str) -> None:
    """Raise UserError unless a stage that is a run that exists is there, and is the run that the file means."""
    stage = folder.pipeline.stages[name]
    if stage.run is None:
        return
    if not local(stage.run).is_dir():
        raise UserError(
            f"{folder.pipeline.source}: stage {name}: there is no run {stage.run}. Bring it back, or correct the path."
        )
    try:
        parent = open_parent("run", stage.run)
        parent.check_domain(folder.pipeline.domain)
    except UserError as error:
        raise UserError(f"{folder.pipeline.source}: stage {name}: {error}") from error
    if stage.sha256 not in (None, parent.sha256):
        raise UserError(
            f"{folder.pipeline.source}: stage {name}: {stage.run} has other weights now (step {parent.step:,}) than "
            "when the pipeline was made. Make it again with `polydiff chain`."
        )


def steps_of(path: Path) -> tuple[int, int]:
    """Return the steps that a run has done and those that are planned; (0, 0) before its first checkpoint."""
    run = Run(path)
    if run.newest is None:
        run.check_whole()
        return 0, 0
    state, _ = read_newest(path, read_state)
    step = int(state["step"])
    return step, planned_steps(run, step, config_of_state(state, str(path)).train.steps)
