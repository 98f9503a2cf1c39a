"""Train a pipeline: its stages in order, each as an ordinary run.

A stage that is done is not trained again, and one that was stopped is resumed, so that a pipeline that was interrupted
anywhere ends in the same bits, on a CPU, as one that was not. Processes that are joined train each stage together.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from os import PathLike
from pathlib import Path
from typing import Any, NamedTuple

from polydiff.config.keys import leaves
from polydiff.config.merge import Settings
from polydiff.contract.discover import domain_config_class, load_domain_spec
from polydiff.contract.sections.training import LaunchConfig
from polydiff.machine.processes.dealing import by_first
from polydiff.machine.ranks import joined, ranks
from polydiff.pipeline.file import Pipeline, pipeline_of, read_pipeline
from polydiff.pipeline.folder import PipelineFolder, check_existing, steps_of
from polydiff.pipeline.outlines import check_stages_fit
from polydiff.pipeline.settings import NO_WORDS, Words, check_trained, flat, stage_settings
from polydiff.run.folder import PIPELINE, Run, is_pipeline, steps_saved
from polydiff.support.errors import UserError, as_mapping, as_path, check_type
from polydiff.support.files import quoted, write_atomic
from polydiff.support.launched import launched
from polydiff.support.replace import remove_drafts
from polydiff.support.yaml_text import plain
from polydiff.training import trainer
from polydiff.training.duration.progress import Progress


class Turn(NamedTuple):
    """The turn of a stage.

    Attributes:
        name: Its name.
        path: Folder of its run.
        number: Its number among all stages, from 1.
        total: Number of stages.
        steps: Steps that it is trained in all; None: it is done already.
    """

    name: str
    path: Path
    number: int
    total: int
    steps: int | None

    @property
    def title(self) -> str:
        """What is trained, in words."""
        return f"Stage {self.number} of {self.total}, {self.name}, in {self.path}"


Train = Callable[[Progress | bool | None], Path]
"""Trains a stage with the progress to call after each step, and returns the folder of its run."""
Work = Callable[[Turn, Train], object]
"""Called for each stage in order: it calls what trains the stage, and does what belongs to a stage beside that."""


def begin(pipeline: Pipeline, path: Path, words: Words = NO_WORDS) -> PipelineFolder:
    """Check all stages and write the file of a new pipeline to its folder; nothing is trained.

    Of processes that are joined, the first one checks and writes.

    Arguments:
        pipeline: The pipeline.
        path: Its folder, which must hold neither a run nor a pipeline.
        words: Keys of the command line.
    """

    def write() -> None:
        if is_pipeline(path) and launched().restarts:  # it was begun before these processes were started again
            return
        check_not_begun(path)
        remove_drafts(path)  # of a start that was killed
        Run(path).check_free()
        folder = PipelineFolder(path, pipeline)
        _, kept = planned(folder, words)
        path.mkdir(parents=True, exist_ok=True)
        write_atomic(path / PIPELINE, kept.text(path))

    by_first(write)
    return PipelineFolder.open(path)


def check_not_begun(path: Path) -> None:
    """Raise UserError if a folder holds a pipeline or a run: processes that are started again would resume it."""
    if is_pipeline(path):
        raise UserError(
            f"{path} already contains a pipeline. Resume it with `polydiff resume {quoted(path)}`, or choose another "
            "-o."
        )
    if steps_saved(Run(path).checkpoints):
        Run(path).check_free()


def planned(folder: PipelineFolder, words: Words = NO_WORDS) -> tuple[dict[str, Settings], Pipeline]:
    """Return the settings of the stages to train, and the pipeline with the words as its keys, all checked.

    Raises:
        UserError: As `stage_settings` does, a run that exists is not there or of another domain, a stage does not
            fit the examples of those before it, or stages differ in `launch`.
    """
    for name in folder.pipeline.stages:
        check_existing(folder, name)
    settings, kept = stage_settings(folder.pipeline, folder.runs, words)
    same_launch(folder.pipeline, settings)
    check_stages_fit(folder, settings)
    return settings, kept


def launch_of(folder: PipelineFolder, words: Words = NO_WORDS) -> LaunchConfig:
    """Return the section `launch` of the stages to train, which is the same for all except `strategy`.

    Raises:
        UserError: Stages differ in it, or a key or value is wrong.
    """
    return same_launch(folder.pipeline, stage_settings(folder.pipeline, folder.runs, words)[0])


def same_launch(pipeline: Pipeline, settings: Mapping[str, Settings]) -> LaunchConfig:
    """Return the section `launch` of stages, by name of a stage; a UserError if they differ in more than `strategy`."""
    launches = {name: chosen.config.launch for name, chosen in settings.items()}
    if not launches:  # the pipeline is one of runs that exist
        return LaunchConfig()
    first, *others = launches
    for name in others:
        for key, value in launches[name]:
            if key != "strategy" and value != getattr(launches[first], key):
                raise UserError(
                    f"{pipeline.source}: the same processes train all stages, but launch.{key} is "
                    f"{getattr(launches[first], key)} in stage {first} and {value} in stage {name}. Set it for all "
                    "stages."
                )
    return launches[first]


def train_stages(folder: PipelineFolder, work: Work, words: Words = NO_WORDS) -> None:
    """Train the stages of a pipeline in order, from where they are.

    Processes that are joined train each stage together.

    Arguments:
        folder: The pipeline.
        work: Called for each stage with its turn and what trains it, also for one that is done: then this does nothing.
        words: Keys of the section `launch` that differ from the pipeline's.
    """

    def settings_of(name: str) -> Settings:
        return stage_settings(folder.pipeline, runs, words, [name])[0][name]  # defaults may follow from earlier stages

    for name in folder.pipeline.stages:  # one that is gone would be noticed only after the last training
        check_existing(folder, name)
    runs = folder.runs

    def found() -> dict[str, tuple[int, int]]:
        remove_drafts(folder.path)
        return {name: steps_of(path) for name, path in runs.items()}

    steps = by_first(found)
    for number, (name, path) in enumerate(runs.items(), 1):
        done, planned = steps[name]
        turn = Turn(name, path, number, len(runs), None)
        trained = folder.pipeline.stages[name].run is None
        if not trained or done >= planned > 0:
            work(turn, partial(nothing_to_do, path))
        elif done:
            launch = settings_of(name).config.launch.model_dump() if words.every else None
            work(turn._replace(steps=planned), partial(trainer.resume, path, None, launch=launch))
        else:
            settings = settings_of(name)
            work(turn._replace(steps=settings.config.train.steps), partial(trainer.start, settings, path))
        ranks().wait()  # until the first one has written the stage's last files


def nothing_to_do(path: Path, progress: Progress | bool | None) -> Path:
    """Return the folder of a run that is done."""
    return path


def train_pipeline(
    source: Path | str | Mapping[str, Any],
    path: Path | str,
    *,
    overrides: Mapping[str, Any] | None = None,
    progress: bool | None = None,
) -> Path:
    """Train a new pipeline and return its folder.

    Arguments:
        source: File of the pipeline, or its contents as nested mappings, such as
            {"domain": "image", "stages": {"ae": {"learn": "encode"}, "diffusion": {"codec": "ae"}}}.
        path: Folder of the pipeline.
        overrides: Name of a stage -> nested or dotted keys and values, such as {"ae": {"train.steps": 500}}.
        progress: Whether to show progress on stderr; None: on a terminal and in a notebook.
    """
    folder = as_path("path", path)
    if isinstance(source, Mapping):
        pipeline = pipeline_of(plain(source, "the pipeline"), "the pipeline", Path.cwd())
    else:
        check_type("source", source, str | PathLike, "the file of a pipeline or its contents as nested mappings")
        pipeline = read_pipeline(Path(source))
    fields = leaves(domain_config_class(load_domain_spec(pipeline.domain)))
    for name, values in as_mapping("overrides", overrides).items():
        check_trained(pipeline, name)
        own = as_mapping(f"overrides[{name!r}]", plain(values, name))
        pipeline = pipeline.with_values(name, dict(flat(own, fields)))
    with joined(launch_of(PipelineFolder(folder, pipeline)).timeout):
        train_stages(begin(pipeline, folder), lambda turn, train: train(progress))
    return folder


def resume_pipeline(path: Path | str, progress: bool | None = None) -> Path:
    """Train the stages of a pipeline that are not done, and return its folder."""
    folder = PipelineFolder.open(path)
    with joined(launch_of(folder).timeout):
        train_stages(folder, lambda turn, train: train(progress))
    return folder.path
