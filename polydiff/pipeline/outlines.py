"""Whether the stages of a pipeline fit, from their configurations alone, before any of them is trained."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from polydiff.config.merge import Settings
from polydiff.config.processes import process_of
from polydiff.config.saved import config_of_state
from polydiff.contract.sections.run import Config
from polydiff.core.process.abilities import Embeds, Reconstructs
from polydiff.core.process.sampling import Generates
from polydiff.pipeline.folder import PipelineFolder
from polydiff.pipeline.links import Outline, UsedPair, check_level_of, links
from polydiff.run.folder import run_of
from polydiff.run.parents import open_parent
from polydiff.stages.codec import CODEC
from polydiff.stages.conditioned import TELL
from polydiff.stages.parts import kept_part
from polydiff.support.errors import UserError
from polydiff.support.protocols import provides

Pairs = Callable[[str, Path], UsedPair | None]
"""Returns the pair that a key names by a path, None if the path is that of another kind of run."""


def check_stages_fit(folder: PipelineFolder, planned: Mapping[str, Settings]) -> None:
    """Raise UserError unless the stages of a pipeline can be used together once they are trained.

    Arguments:
        folder: The pipeline.
        planned: Name of each stage that it trains -> settings.
    """
    source, coming = folder.pipeline.source, {folder.runs[name]: of.config for name, of in planned.items()}
    stages: dict[str, Outline] = {}
    for name, path in folder.runs.items():
        try:
            config = coming.get(path)
            outline = existing_stage(path) if config is None else planned_stage(config, coming)
        except UserError as error:
            raise UserError(f"{source}: stage {name}: {error}") from error
        if provides(process_of(outline.config), Generates):
            stages[name] = outline
    try:
        follows = links(stages)
    except UserError as error:
        raise UserError(f"{source}: {error}") from error
    for name, stage in stages.items():
        try:
            check_choice(folder.pipeline.sample.get(name, {}), stage, stages.get(follows.get(name, "")))
        except UserError as error:
            raise UserError(f"{source}: sample.{name}: {error}") from error


def check_choice(how: Mapping[str, Any], stage: Outline, earlier: Outline | None) -> None:
    """Raise UserError if a stage cannot draw with the noise or the number of draws that the file says.

    Arguments:
        how: Keys of the section `sample` with level, keep and of.
        stage: The stage.
        earlier: The stage that it follows; None: none.
    """
    if "level" in how:
        if earlier is None:
            raise UserError(f"The stage follows no other, so level={how['level']} has no effect. Leave it out.")
        check_level_of(how["level"], stage, earlier)
    if how.get("of", 1) > 1 and not stage.draws:
        raise UserError(f"of={how['of']} takes a stage in the codes of a contrastive pair (codec=PAIR). Leave it out.")


def planned_stage(config: Config, coming: Mapping[Path, Config]) -> Outline:
    """Return the outline of a stage that is still to be trained.

    Arguments:
        config: Its configuration.
        coming: Folder of each run that the pipeline trains -> configuration.

    Raises:
        UserError: Its codec is trained as none, or a run that should be a contrastive pair is trained as another one.
    """

    def pair(key: str, path: Path) -> UsedPair | None:
        if path in coming:
            check_use(key, path.name, coming[path])
            return UsedPair(f"{key}={path.name}", str(path)) if is_pair(coming[path]) else None
        parent = open_parent(key, path)
        found = config_of_state(parent.state, str(parent))
        check_use(key, str(path), found)
        return UsedPair(str(parent), parent.sha256) if is_pair(found) else None

    return outline(config, pair)


def existing_stage(run: Path) -> Outline:
    """Return the outline of a run that exists, by the copies that it keeps of the runs that it needs."""
    parent = open_parent("run", run)
    records = parent.state.get("parents", {})

    def pair(key: str, path: Path) -> UsedPair | None:
        part = kept_part(key, path, run_of(run).path, records.get(key, {}))
        return UsedPair(f"{key}={path}", part.sha256) if is_pair(config_of_state(part.state, part.name)) else None

    return outline(config_of_state(parent.state, str(parent)), pair)


def outline(config: Config, pair: Pairs) -> Outline:
    """Return the outline of a stage; `pair` finds the pairs that its keys name."""
    draws = pair(CODEC, config.codec) if config.codec else None
    takes = [pair(f"{TELL}.{name}", path) for name, path in config.tell.items()]
    return Outline(config, draws, [used for used in takes if used])


def is_pair(config: Config) -> bool:
    """Return whether a run of this configuration is a contrastive pair."""
    return provides(process_of(config), Embeds)


def check_use(key: str, name: str, config: Config) -> None:
    """Raise UserError unless a run is what a key needs: a codec, or a contrastive pair.

    Arguments:
        key: "codec" or "tell.NAME".
        name: Stage or folder of the run, for the message.
        config: Its configuration.
    """
    if is_pair(config) or (key == CODEC and provides(process_of(config), Reconstructs)):
        return
    needed = "learn=encode or learn=match" if key == CODEC else "learn=match"
    raise UserError(f"{key}={name} has learn={config.learn}. It should be a run with {needed}.")
