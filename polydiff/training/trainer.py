"""Train a new run or resume one, and how a run begins."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from polydiff.config.data_defaults import suited_in_words
from polydiff.config.merge import Settings, resolve
from polydiff.config.saved import config_of_state, resolved_text
from polydiff.contract.data.identity import identity_of
from polydiff.contract.domain import Domain
from polydiff.contract.sections.run import Config
from polydiff.gallery.sets import write_samples
from polydiff.machine import contention
from polydiff.machine.environment import installed
from polydiff.machine.ranks import TIMEOUT, joined
from polydiff.model.assemble import restored_domain
from polydiff.run.bounds import building
from polydiff.run.checkpoint import Checkpoint, check_fit, latest, load_weights
from polydiff.run.folder import Run, steps_saved
from polydiff.run.goal import planned_steps, write_goal
from polydiff.run.parents import located, open_parents, renewed
from polydiff.run.reading import damaged
from polydiff.run.snapshots import drop_snapshots
from polydiff.stages.open import Stages, open_domain, open_stages, suited
from polydiff.support.errors import UserError, as_mapping, as_path
from polydiff.support.files import delete, write_atomic
from polydiff.support.launched import launched
from polydiff.support.progress import announce
from polydiff.support.yaml_text import dump_yaml
from polydiff.tracking.spec import check_trackers
from polydiff.training.batch_check import check_batch
from polydiff.training.checks import check_settings, check_strategy
from polydiff.training.data import order_of
from polydiff.training.duration.budget import seconds_per_step, with_steps, within_minutes
from polydiff.training.duration.progress import Progress, shown
from polydiff.training.finish import finish
from polydiff.training.loop import Training
from polydiff.training.optimizers import restore_optimizer
from polydiff.training.processes.agreement import check_same, held, prepared
from polydiff.training.resumed import check_data, warn_of_edits, warn_of_versions
from polydiff.training.saving import check_room, prune_if_possible
from polydiff.training.session import Session
from polydiff.training.steps import begin, initial_checkpoint, initial_domain

LONG = 200
"""Number of steps from which a training is worth a measurement of the machine."""


def start(settings: Settings, path: Path | str, progress: Progress | bool | None = None) -> Path:
    """Train a new run to its last step and return its folder.

    Arguments:
        settings: Configuration with provenance, from `polydiff.config.merge.resolve`.
        path: The run's folder, which must not contain a run yet.
        progress: Called after each step with its record and the run's seconds so far; True: show progress on stderr;
            False: show none; None: show it on a terminal and in a notebook.
    """
    run, config = Run(as_path("path", path)), settings.config
    check_settings(settings)
    if launched().restarts and steps_saved(run.checkpoints):
        return resume(path, progress=progress)
    with joined(config.launch.timeout) as together, ExitStack() as stack:
        stack.enter_context(held(run, together, run.check_free))
        show = stack.enter_context(shown(progress, config.train.steps))
        check_same(together, "versions", installed())
        check_same(together, "configuration", config.model_dump(mode="json"))
        with together.first_before_others():  # what the first one prepares, the others find in the cache
            parents = open_parents(config)
            source = initial_checkpoint(config, parents)
            stages = open_stages(config, parents=parents)
            domain = initial_domain(config, source, stages) if source else open_domain(config, stages=stages)
        order_of(domain, config.train.batch_size, config.seed, config.train.like_sizes)  # raises if it cannot be used
        settings, domain = suited(settings, domain)
        prepared(domain, together)
        if text := suited_in_words(settings):
            announce(text)
        check_batch(settings.config, domain)
        training = begin(settings.config, domain, source)
        if together.first:
            check_room(run, training, settings.config.train)
        advise(training, settings.config.train.steps)
        seconds = seconds_per_step(settings.config, domain)
        records = {key: parent.record(run.path) for key, parent in parents.items()}
        session = Session(run, settings, domain, training, parents=records, data=identity_of(domain))
        check_same(together, "data", session.data or {})
        session.check_sampling()
        session.settings = within_minutes(settings, session.forecast(), together.agree(seconds))
        if together.first:
            write_beginning(session, stages)
        together.wait_for_first()
        return finish(session, show)


def write_beginning(session: Session, stages: Stages) -> None:
    """Write what the folder of a new run holds before the first step, in place of what was there."""
    run, settings = session.run, session.settings
    run.rewind(0)
    drop_snapshots(run.averages, 0)
    delete(run.goal)
    delete(run.after)
    stages.save(run.path)
    write_atomic(run.input, dump_yaml(settings.user_values, {}))
    write_atomic(run.resolved, resolved_text(settings.config, settings.provenance))
    write_samples(run.samples("real"), session.domain, session.real(), {"split": "test"})


def train(
    domain: str,
    path: Path | str,
    *,
    preset: str | None = None,
    files: Sequence[Path] = (),
    overrides: Mapping[str, Any] | None = None,
    progress: Progress | bool | None = None,
) -> Path:
    """Train a new run of a domain and return its folder, as `polydiff train` does.

    Arguments:
        domain: Name of the domain, such as "image".
        path: The run's folder, which must not contain a run yet.
        preset: Name of the preset; None: the domain's first.
        files: YAML files of settings; later files override earlier ones and the preset.
        overrides: Dotted keys and values, such as {"train.steps": 2000} or {"sample.negative": {"label": 3}}; they
            override the files. Values are used as they are, not parsed.
        progress: Called after each step with its record and the run's seconds so far; True: show progress on stderr;
            False: show none; None: show it on a terminal and in a notebook.

    Raises:
        UserError: A key, value or name is wrong, the folder is in use, or the data cannot be used.
    """
    values = as_mapping("overrides", overrides)
    return start(resolve(domain, preset, files, values=values), as_path("path", path), progress)


def resume(
    path: Path | str,
    steps: int | None = None,
    progress: Progress | bool | None = None,
    allow_changed_data: bool = False,
    launch: Mapping[str, Any] | None = None,
    track: Mapping[str, Any] | None = None,
) -> Path:
    """Resume a run from its newest checkpoint, train it to its last step and return its folder.

    On a CPU the result has the same bits as that of a run that never stopped.

    Arguments:
        path: The run's folder.
        steps: Train to this step instead of the configuration's `train.steps`, which stretches a decaying learning
            rate; None: as configured.
        progress: Called after each step with its record and the run's seconds so far; True: show progress on stderr;
            False: show none; None: show it on a terminal and in a notebook.
        allow_changed_data: Whether to train on if the examples have changed; the run then has seen both.
        launch: Keys of the section `launch` that differ from the checkpoint's; None: none.
        track: The keys `track` and `track_options` if they differ from the checkpoint's; None: they do not.

    Raises:
        UserError: Another process trains the run, the run has done more steps, or its data have changed.
    """
    run, launched_as = Run.open(path), as_mapping("launch", launch)
    run.check_resumable()
    with joined(launched_as.get("timeout", TIMEOUT)) as together, held(run, together), ExitStack() as stack:
        together.wait()  # until the first process has deleted what a crash left
        check_same(together, "versions", installed())
        checkpoint = resumable(latest(run.checkpoints))
        check_same(together, "checkpoint", {"step": checkpoint.step, "config": checkpoint.state["config"]})
        saved = saved_settings(checkpoint, run.path, launched_as, as_mapping("track", track))
        check_strategy(saved.config)
        check_trackers(saved.config.track, saved.config.track_options)
        wanted = planned_steps(run, checkpoint.step, saved.config.train.steps) if steps is None else steps
        settings = trained_to(saved, wanted, checkpoint.step)
        show = stack.enter_context(shown(progress, settings.config.train.steps))
        with together.first_before_others():
            stages = open_stages(settings.config, run=run.path, records=checkpoint.state.get("parents"))
            domain = restored_domain(settings.config, checkpoint, run.path, stages)
        prepared(domain, together)
        warn_of_versions(checkpoint.state)
        warn_of_edits(run, settings.config, checkpoint.state["config"])
        data = check_data(domain, checkpoint.state, settings.config, allow_changed_data)
        training = restored(settings.config, domain, checkpoint, run.path)
        if together.first:
            check_room(run, training, settings.config.train)
        advise(training, settings.config.train.steps)
        parents = renewed(checkpoint.state.get("parents", {}), settings.config, run.path)
        seen = max((record["step"] for record in run.records()), default=0) if settings.config.track else 0
        session = Session(run, settings, domain, training, checkpoint.state["seconds"], parents, data, seen)
        if training.step < settings.config.train.steps:
            session.check_sampling()
        check_same(together, "configuration", settings.config.model_dump(mode="json"))
        check_same(together, "data", data or {})
        if together.first:
            rewind(session, steps is not None)
        together.wait_for_first()
        if session.due_to_show(checkpoint.step) and together.agree(not run.samples(checkpoint.step).exists()):
            session.show()  # a crash came between the checkpoint and its samples
        return finish(session, show)


def rewind(session: Session, longer: bool) -> None:
    """Delete what a run's folder holds of steps after the one it resumes from; `longer`: its last step was set anew."""
    run, settings, step = session.run, session.settings, session.training.step
    run.rewind(step)
    drop_snapshots(run.averages, step)
    prune_if_possible(run, settings.config.train.keep)  # a crash may have come between a save and its deletions
    if longer:
        write_goal(run, step, settings.config.train.steps)  # in case the run is stopped before its next checkpoint
        write_atomic(run.resolved, resolved_text(settings.config, settings.provenance))


def advise(training: Training[Any], steps: int) -> None:
    """Warn before a long training on a CPU if other processes make several threads slower than one.

    Arguments:
        training: What is trained.
        steps: Its last step.
    """
    on_cpu = next(training.module.parameters()).device.type == "cpu"
    text = contention.advice() if on_cpu and steps - training.step >= LONG else ""
    if text:
        warnings.warn(text, stacklevel=3)


def resumable(path: Path) -> Checkpoint:
    """Return a checkpoint that has all that training needs, which a model alone does not."""
    checkpoint = Checkpoint.load(path)
    for name in ("provenance", "seconds", "examples"):
        if checkpoint.state.get(name) is None:
            raise damaged(path, f"state.json lacks {name!r}")
    return checkpoint


def restored(config: Config, domain: Domain, checkpoint: Checkpoint, run: Path) -> Training[Any]:
    """Return the training of a checkpoint of the run in this folder."""
    with building(checkpoint.model, str(run)):
        training = begin(config, domain)
    load_weights(training.module, checkpoint.model)
    load_weights(training.ema, checkpoint.ema)
    restore_optimizer(training.module, training.optimizer, checkpoint.optimizer)
    if training.averages is not None:
        check_fit(training.averages.tensors(), checkpoint.averages, f"averages.safetensors of {run}")
        training.averages.restore(checkpoint.averages)
    training.step = checkpoint.step
    return training


def saved_settings(checkpoint: Checkpoint, run: Path, launch: Mapping[str, Any], track: Mapping[str, Any]) -> Settings:
    """Return the settings of a checkpoint of the run in this folder, with changed keys of the section `launch`.

    Arguments:
        checkpoint: The checkpoint.
        run: The run's folder.
        launch: Keys of the section `launch`.
        track: `track` and `track_options`, {} if they are as they were.
    """
    config = config_of_state(checkpoint.state, str(run))
    config = located(config, checkpoint.state.get("parents", {}), run)
    config = config.model_copy(update={"launch": config.launch.model_copy(update=dict(launch)), **track})
    return Settings(config, dict(checkpoint.state["provenance"]), {})


def trained_to(settings: Settings, steps: int, done: int) -> Settings:
    """Return settings with a number of training steps, at least those done; another number than planned ends a budget.

    Arguments:
        settings: Settings of the run.
        steps: The number of steps.
        done: Steps done.
    """
    if steps == settings.config.train.steps:
        return settings
    if steps < done:
        raise UserError(
            f"train.steps={steps}: the run has done {done} steps already. Set a larger number, or start a new run."
        )
    planned, decay = settings.config.train.steps, settings.config.optim.decay
    if done < steps < planned and decay != "constant":
        warnings.warn(
            f"train.steps={steps} is less than the {planned} steps that were planned: from step {done + 1} on, the "
            f"learning rate (optim.decay={decay}) follows a schedule that ends at step {steps}.",
            stacklevel=3,
        )
    return with_steps(without_budget(settings), steps, "resume")


def without_budget(settings: Settings) -> Settings:
    """Return settings without `train.minutes`."""
    if settings.config.train.minutes is None:
        return settings
    train = settings.config.train.model_copy(update={"minutes": None})
    config = settings.config.model_copy(update={"train": train})
    return settings._replace(config=config, provenance={**settings.provenance, "train.minutes": "resume"})
