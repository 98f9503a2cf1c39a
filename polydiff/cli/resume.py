"""The verb `resume`."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from polydiff.cli.parsing import Parser, not_negative, read_words
from polydiff.cli.pipeline import resume_pipeline
from polydiff.cli.train import EVALUATED, JUDGE_HELP, start_processes, train_and_finish
from polydiff.config.merge import resolve
from polydiff.contract.sections.training import LaunchConfig
from polydiff.machine import torchrun
from polydiff.run.folder import is_pipeline
from polydiff.support.errors import UserError, nearest
from polydiff.support.files import quoted
from polydiff.support.progress import log
from polydiff.support.reading import first_problem
from polydiff.training.duration.progress import TrainingProgress

TRACKED = ("track", "track_options")
"""Keys on trackers, which a resumed run may have anew."""


def resume(words: Sequence[str]) -> int:
    """Run `polydiff resume` and return its exit code."""
    parser = Parser("resume", "Resume a run from its newest checkpoint. The result is the same as without the stop.")
    parser.usage = "polydiff resume RUN [train.steps=N] [launch.KEY=VALUE] [track=NAME] [--allow-changed-data]"
    parser.add_argument("run", metavar="RUN", type=Path, help="folder of the run")
    parser.add_argument(
        "--allow-changed-data", action="store_true", help="train on although the examples have changed since the start"
    )
    parser.add_argument("--judge", metavar="N", type=not_negative, help=f"{JUDGE_HELP}; default: as before; 0: none")
    args, rest = parser.parse_known_args(words)
    from polydiff.machine.ranks import joined
    from polydiff.run.checkpoint import checkpoint_path
    from polydiff.run.folder import run_of
    from polydiff.run.goal import evaluated_after
    from polydiff.training import trainer

    if is_pipeline(args.run):
        return resume_pipeline(args, rest, words)
    run_of(checkpoint_path(args.run)).check_resumable()
    keys = read_words(rest)
    started = launched_as(args.run, {key: keys.pop(key) for key in list(keys) if key.startswith("launch.")})
    track = tracked_as(args.run, {key: keys.pop(key) for key in list(keys) if key.split(".")[0] in TRACKED})
    steps = requested_steps(args.run, keys)
    if torchrun.needed(started.processes):
        return start_processes(["resume", *words], started)
    total = steps or planned_steps(args.run)
    if saved_state(args.run)["step"] == total:
        log(f"All {total:,} steps are done. Set train.steps=N to train longer.")

    judged = evaluated_after(run_of(checkpoint_path(args.run)), EVALUATED) if args.judge is None else args.judge

    def work(progress: TrainingProgress) -> Path:
        return trainer.resume(args.run, steps, progress, args.allow_changed_data, started.model_dump(), track)

    with joined(started.timeout):
        return train_and_finish(args.run, TrainingProgress(total, judged), work)


def planned_steps(path: Path) -> int:
    """Return the number of steps to which a run is trained if it is resumed without another number."""
    from polydiff.config.saved import config_of_state
    from polydiff.run import goal
    from polydiff.run.checkpoint import checkpoint_path
    from polydiff.run.folder import run_of

    state = saved_state(path)
    run = run_of(checkpoint_path(path))
    return goal.planned_steps(run, state["step"], config_of_state(state, str(path)).train.steps)


def saved_state(path: Path) -> Mapping[str, Any]:
    """Return the state in the newest checkpoint of a run: configuration, origin of its values, ..."""
    from polydiff.run.checkpoint import read_newest, read_state

    return read_newest(path, read_state)[0]


def launched_as(run: Path, words: Mapping[str, str]) -> LaunchConfig:
    """Return the section `launch` of a run's newest checkpoint, with keys that the user sets anew."""
    state = saved_state(run)["config"]
    saved = state.get("launch", {})
    try:
        section = LaunchConfig.model_validate(saved)
    except ValidationError as error:
        raise UserError(f"The checkpoint of {run} is damaged: launch: {first_problem(error)}.") from error
    if not words:
        return section
    values = {f"launch.{key}": value for key, value in saved.items()}
    return resolve(state["domain"], words=dict(words), values=values).config.launch


def tracked_as(run: Path, words: Mapping[str, str]) -> dict[str, Any]:
    """Return `track` and `track_options` of a run that is resumed with words that set them anew, {} without any."""
    if not words:
        return {}
    saved = saved_state(run)["config"]
    values = {key: saved[key] for key in TRACKED if key in saved and key not in words}
    if "track" in words and not any(key.startswith("track_options") for key in words):
        named = [name.strip() for name in words["track"].strip("[]").split(",")]
        values["track_options"] = {name: one for name, one in saved.get("track_options", {}).items() if name in named}
    config = resolve(saved["domain"], words=dict(words), values=values).config
    return {key: getattr(config, key) for key in TRACKED}


def requested_steps(run: Path, words: dict[str, str]) -> int | None:
    """Return N of train.steps=N, None if not set.

    Raises:
        UserError: Another key is set, which cannot change in a resumed run, or N is not a whole number above 0.
    """
    for key, value in words.items():
        if key != "train.steps":
            taken = "train.steps=N, launch.KEY=VALUE and track=NAME"
            raise UserError(f"A resumed run takes {taken} only. {advice(run, key, value)}")
    if not words:
        return None
    (value,) = words.values()
    if not value.isdecimal() or int(value) < 1:
        raise UserError(f"train.steps={value} is not a whole number above 0.")
    return int(value)


def advice(run: Path, key: str, value: str) -> str:
    """Return what to do about a key that a resumed run does not take: correct it, or start a new run."""
    keys = saved_state(run)["provenance"]
    if key not in keys:
        near = nearest(key, keys)
        return f"There is no key {key!r}." + (f" Did you mean {near!r}?" if near else "")
    new = f"polydiff train -c {quoted(run / 'config.resolved.yaml')} {shlex.quote(f'{key}={value}')}"
    return f"To change {key}, start a new run: {new}"
