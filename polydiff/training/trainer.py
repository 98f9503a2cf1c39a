"""A run from start to report: train, checkpoint, sample, evaluate, resume."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from polydiff.config.merge import Settings, resolve
from polydiff.config.processes import build_denoiser, process_of
from polydiff.config.saved import config_from, resolved_text
from polydiff.contract.abilities import quarantine_of
from polydiff.contract.discover import build_domain
from polydiff.contract.domain import Domain
from polydiff.contract.quarantine import keep
from polydiff.contract.sections import Config
from polydiff.core.process import Generates
from polydiff.gallery.sets import write_samples
from polydiff.machine.device import pick_device
from polydiff.machine.environment import environment
from polydiff.model.model import Model
from polydiff.run.averages import SIGMAS
from polydiff.run.checkpoint import Checkpoint, latest, load_weights, prune
from polydiff.run.folder import Run, steps_saved
from polydiff.run.loss_by_level import Gathered
from polydiff.run.parents import Parent, Records, located, open_parents, renewed
from polydiff.run.snapshots import drop_snapshots, save_snapshot
from polydiff.support.errors import UserError
from polydiff.support.files import write_atomic
from polydiff.support.protocols import provides
from polydiff.support.yaml_text import dump_yaml
from polydiff.training.checks import check_config
from polydiff.training.data import batches, worker_count
from polydiff.training.loop import NonFiniteError, Phase, Record, Training, fit
from polydiff.training.optimizers import optimizer_tensors, restore_optimizer

SHOWN = 16
"""Samples of each set that a run keeps while it trains."""

Progress = Callable[[Record, float], None]
"""Called after each step with its record and the run's seconds so far."""


@dataclass
class Session:
    """A run that is being trained.

    Arguments:
        run: Its folder.
        settings: Its configuration, and where each value came from.
        domain: Its domain, with statistics.
        training: Module, average, optimizer, step.
        seconds: Time that earlier sittings took.
        parents: What its checkpoints record of the runs that it stands on (`polydiff.run.parents`).
    """

    run: Run
    settings: Settings
    domain: Domain
    training: Training[Any]
    seconds: float = 0.0
    parents: Records = field(default_factory=dict)

    @property
    def config(self) -> Config:
        """Its configuration."""
        return self.settings.config

    @property
    def model(self) -> Model:
        """The model as it stands, with averaged weights."""
        ema = self.training.ema
        device = next(ema.parameters()).device
        return Model(self.config, self.domain, ema, self.training.step, "ema", device, self.parents)

    @property
    def generates(self) -> bool:
        """Whether the process generates samples; without it, a run has neither samples nor an evaluation."""
        return provides(process_of(self.config), Generates)

    def checkpoint(self) -> Path:
        """Write a checkpoint, then delete those that are no longer kept."""
        training = self.training
        state = {
            "config": self.config.model_dump(mode="json"),
            "provenance": self.settings.provenance,
            "statistics": dict(self.domain.statistics),
            "seconds": self.seconds,
            "examples": self.domain.size("train"),
            "environment": environment(str(self.model.device)),
            "parents": dict(self.parents),
        }
        path = Checkpoint(
            training.step,
            state,
            training.module.state_dict(),
            training.ema.state_dict(),
            optimizer_tensors(training.module, training.optimizer),
            training.averages.tensors() if training.averages else {},
        ).save(self.run.checkpoints)
        prune(self.run.checkpoints, self.config.train.keep)
        return path

    def checkpoint_if_new(self) -> None:
        """Write a checkpoint unless this step has one or nothing was learned yet."""
        if self.training.step > 0 and self.training.step not in steps_saved(self.run.checkpoints):
            self.checkpoint()

    def save_snapshot_if_due(self, step: int) -> None:
        """Keep a snapshot of the power-function averages where one is due."""
        train, averages = self.config.train, self.training.averages
        if averages is not None and step % max(1, train.steps // train.ema_snapshots) == 0:
            save_snapshot(self.run.averages, step, averages.tensors(), train.ema_snapshots)

    def due_to_show(self, step: int) -> bool:
        """Whether samples are kept after this step."""
        train = self.config.train
        return step == train.steps or step % (train.sample_every or max(1, train.steps // 6)) == 0

    def check_sampling(self) -> None:
        """Refuse a guide or conditions to guide away from that `show` could not use, at the cost of no sample."""
        if self.generates:
            self.model.request().unwanted(self.config.seed, range(SHOWN))

    def show(self) -> None:
        """Keep a set of samples, of the same seed each time so that the sets can be compared."""
        if not self.generates:
            return
        model = self.model
        samples = model.sample(SHOWN, seed=self.config.seed)
        facts = {"step": model.step, "seed": self.config.seed, **self.config.sample.model_dump(mode="json")}
        write_samples(self.run.samples(model.step), self.domain, samples, facts)


def start(settings: Settings, path: Path | str, progress: Progress | None = None) -> Path:
    """Train a new run to its end and return its folder.

    Arguments:
        settings: What to train, from `polydiff.config.merge.resolve`.
        path: The run's folder, which must not hold a run yet.
        progress: Called after each step.
    """
    run, config = Run(Path(path)), settings.config
    check_config(config)
    run.check_free()
    with run.locked():
        run.check_free()  # another process may have begun in the meantime
        parents = open_parents(config)
        source = initial_checkpoint(config, parents.get("train.init"))
        domain = build_domain(config, statistics=source.state["statistics"] if source else None)
        training = begin(config, domain, source.ema if source else None)
        records = {key: parent.record(run.path) for key, parent in parents.items()}
        session = Session(run, settings, domain, training, parents=records)
        session.check_sampling()
        run.rewind(0)
        drop_snapshots(run.averages, 0)
        write_atomic(run.input, dump_yaml(settings.user_values, {}))
        write_atomic(run.resolved, resolved_text(settings.config, settings.provenance))
        write_samples(run.samples("real"), domain, domain.examples("test", SHOWN), {"split": "test"})
        return finish(session, progress)


def train(
    domain: str,
    path: Path | str,
    *,
    preset: str | None = None,
    files: Sequence[Path] = (),
    overrides: Mapping[str, Any] | None = None,
    progress: Progress | None = None,
) -> Path:
    """Train a new run of a domain and return its folder: `polydiff train` as a function.

    Arguments:
        domain: Name of the domain.
        path: The run's folder, which must not hold a run yet.
        preset: Name of the preset; None: the domain's first.
        files: YAML files of settings.
        overrides: Dotted keys and values, such as {"train.steps": 2000} or {"sample.negative": {"label": 3}}; a value
            reaches the configuration as it is, never parsed.
        progress: Called after each step.
    """
    return start(resolve(domain, preset, files, values=overrides), path, progress)


def resume(path: Path | str, steps: int | None = None, progress: Progress | None = None) -> Path:
    """Go on with a run from its newest checkpoint, to the same bits as if it had not stopped.

    Arguments:
        path: The run's folder.
        steps: Train to this many steps instead of the configuration's; this changes a learning rate that decays.
        progress: Called after each step.

    Raises:
        UserError: The run is being trained elsewhere, has done more steps, or its data are not what they were.
    """
    run = Run.open(Path(path))
    with run.locked():
        checkpoint = Checkpoint.load(latest(run.checkpoints))
        settings = with_steps(saved_settings(checkpoint, run.path), steps, checkpoint.step)
        domain = build_domain(settings.config, statistics=checkpoint.state["statistics"])
        check_data(domain, checkpoint.state["examples"], settings.config)
        training = begin(settings.config, domain)
        load_weights(training.module, checkpoint.model)
        load_weights(training.ema, checkpoint.ema)
        restore_optimizer(training.module, training.optimizer, checkpoint.optimizer)
        if training.averages is not None:
            training.averages.restore(checkpoint.averages)
        training.step = checkpoint.step
        run.rewind(checkpoint.step)
        drop_snapshots(run.averages, checkpoint.step)
        parents = renewed(checkpoint.state.get("parents", {}), settings.config, run.path)
        session = Session(run, settings, domain, training, checkpoint.state["seconds"], parents)
        if training.step < settings.config.train.steps:
            session.check_sampling()
        if steps is not None:
            session.checkpoint()  # so that the new goal is not forgotten, whenever the run is stopped
            write_atomic(run.resolved, resolved_text(settings.config, settings.provenance))
        if session.due_to_show(checkpoint.step) and not run.samples(checkpoint.step).exists():
            session.show()  # a crash came between the checkpoint and its samples
        return finish(session, progress)


def saved_settings(checkpoint: Checkpoint, run: Path) -> Settings:
    """Return the settings that a checkpoint of the run in this folder holds."""
    config = config_from(checkpoint.state["config"], str(run))
    config = located(config, checkpoint.state.get("parents", {}), run)
    return Settings(config, dict(checkpoint.state["provenance"]), {})


def with_steps(settings: Settings, steps: int | None, done: int) -> Settings:
    """Return settings with another number of training steps, no fewer than are done; None: as they are."""
    if steps is None:
        return settings
    if steps < done:
        raise UserError(
            f"train.steps={steps}: the run has done {done} steps already; ask for more, or begin a new run."
        )
    train = settings.config.train.model_copy(update={"steps": steps})
    config = settings.config.model_copy(update={"train": train})
    return settings._replace(config=config, provenance={**settings.provenance, "train.steps": "resume"})


def check_data(domain: Domain, examples: int, config: Config) -> None:
    """Refuse to go on with data of another size: the order of examples, and so every later bit, would differ."""
    found = domain.size("train")
    if found != examples:
        where = f"in {config.data.path}" if config.data.path else f"of {config.data.name}"
        raise UserError(
            f"The run was trained on {examples} examples; {found} are found {where} now. Bring the data back as they "
            "were, or begin a new run."
        )


def initial_checkpoint(config: Config, parent: Parent | None) -> Checkpoint | None:
    """Return the checkpoint of the run that `train.init` names, None for a run from scratch."""
    if parent is None:
        return None
    parent.check_domain(config.domain)
    target = parent.config["target"]
    if target != config.target:
        raise UserError(
            f"{parent} predicts {target}, so its weights mean nothing to target={config.target}. Say target={target}."
        )
    return Checkpoint.load(parent.checkpoint)


def begin(config: Config, domain: Domain, weights: Mapping[str, Tensor] | None = None) -> Training[Any]:
    """Return the training of a configuration before its first step, with these weights or from scratch."""
    denoiser = build_denoiser(config, domain, pick_device(config.device))
    if weights is not None:
        load_weights(denoiser, initial_weights(weights, denoiser.state_dict()), f"train.init={config.train.init}")
    if config.train.compile:
        denoiser.compile()
    widths = SIGMAS if config.train.ema_snapshots else ()
    return Training(denoiser, process_of(config).objective(config), config.optim, widths=widths)


def initial_weights(weights: Mapping[str, Tensor], fresh: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return weights to begin with: the network's of another run, and what lies beside it.

    What a loss keeps begins anew; so does a learned schedule, unless the other run has one of the same size. Another
    schedule changes nothing for a network, which is told the noise level alone.
    """

    def schedule(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return {name: value for name, value in tensors.items() if name.startswith("schedule.")}

    def shapes(tensors: Mapping[str, Tensor]) -> dict[str, torch.Size]:
        return {name: value.shape for name, value in tensors.items()}

    path = schedule(weights) if shapes(schedule(weights)) == shapes(schedule(fresh)) else schedule(fresh)
    beside = ("aids.", "schedule.")
    network = {name: value for name, value in weights.items() if not name.startswith(beside)}
    return network | path | {name: value for name, value in fresh.items() if name.startswith("aids.")}


def records_of(
    config: Config, domain: Domain, training: Training[Any], steps: int | None = None, phase: Phase = nullcontext
) -> Iterator[Record]:
    """Train as a configuration says, its steps or others, and yield a record after each (`loop.fit`)."""
    settings, device = config.train, next(training.module.parameters()).device
    return fit(
        training,
        batches(domain, settings.batch_size, config.seed, settings.condition_dropout, settings.like_sizes),
        steps=steps or settings.steps,
        batch_size=settings.batch_size,
        ema=settings.ema,
        seed=config.seed,
        workers=worker_count(settings.workers, device),
        phase=phase,
    )


def finish(session: Session, progress: Progress | None = None) -> Path:
    """Train a session to its last step, with checkpoints and samples on the way and wherever it is stopped."""
    config, run, settings = session.config, session.run, session.config.train
    began, before = time.monotonic(), session.seconds
    records, levels = records_of(config, session.domain, session.training), Gathered()
    with Interrupts() as interrupts, saved_on_error(session):
        for record in records:
            session.seconds = before + time.monotonic() - began
            last = record.step == settings.steps
            levels.add(record.level, record.losses)
            if record.step % settings.log_every == 0 or last or record.step == 1:
                run.log(metrics_line(record, session.seconds, settings.batch_size) | bins_of(levels))
            session.save_snapshot_if_due(record.step)
            if record.step % settings.checkpoint_every == 0 or last:
                session.checkpoint()
            if session.due_to_show(record.step):
                session.show()
            if progress:
                progress(record, session.seconds)
            if interrupts.requested:
                session.checkpoint_if_new()
                raise KeyboardInterrupt
    return run.path


@contextmanager
def saved_on_error(session: Session) -> Iterator[None]:
    """Where a step cannot be done (it is not finite, its data are gone), leave a checkpoint of the last good one.

    Other errors may have struck in the middle of an update; then the last checkpoint is what a run goes on from.
    """
    try:
        yield
    except (NonFiniteError, UserError):
        session.checkpoint_if_new()
        raise
    finally:
        keep(quarantine_of(session.domain), session.run.path)


class Interrupts:
    """Turns the first Ctrl-C or SIGTERM into a request that is honoured between steps; a second one stops at once.

    Attributes:
        asked: Whether a stop was asked for.
    """

    def __init__(self) -> None:
        self.requested = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Interrupts:
        if threading.current_thread() is threading.main_thread():  # elsewhere Python allows no handlers
            self._before = {s: signal.signal(s, self._ask) for s in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, *error: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _ask(self, number: int, frame: object) -> None:
        self.requested = True
        self.__exit__()


def bins_of(levels: Gathered) -> dict[str, Any]:
    """Return the loss by noise level as part of a line of metrics.jsonl, {} for an objective without noise levels."""
    bins = levels.read()
    return {"bins": bins} if bins else {}


def metrics_line(record: Record, seconds: float, batch_size: int) -> dict[str, Any]:
    """Return a record as a line of metrics.jsonl."""
    return {
        "step": record.step,
        "loss": record.loss,
        "grad_norm": record.grad_norm,
        "lr": record.lr,
        "seconds": round(seconds, 3),
        "examples_per_second": round(record.step * batch_size / max(seconds, 1e-9), 1),
    }
