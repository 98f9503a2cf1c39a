"""A session of training: what a run writes after which step, and how it stops."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from polydiff.config.merge import Settings
from polydiff.config.processes import process_of
from polydiff.config.saved import plugins_of
from polydiff.contract.abilities import quarantine_of
from polydiff.contract.data.quarantine import keep
from polydiff.contract.domain import Domain
from polydiff.contract.sections import Config
from polydiff.core.process import Generates
from polydiff.gallery.sets import write_samples
from polydiff.machine.environment import environment
from polydiff.model.model import Model
from polydiff.run.checkpoint import Checkpoint, prune
from polydiff.run.folder import Run, steps_saved
from polydiff.run.goal import write_evaluated_after
from polydiff.run.loss_by_level import Gathered
from polydiff.run.parents import Records
from polydiff.run.snapshots import save_snapshot
from polydiff.support.errors import UserError
from polydiff.support.protocols import provides
from polydiff.support.signals import Terminated
from polydiff.training.data import batches, worker_count
from polydiff.training.loop import NonFiniteError, Phase, Record, Training, fit
from polydiff.training.optimizers import optimizer_tensors
from polydiff.training.progress import Forecast, Progress, TrainingProgress

SHOWN = 16
"""Samples in each set that a run keeps during training."""


@dataclass
class Session:
    """A run in training.

    Arguments:
        run: The run's folder.
        settings: Its configuration, and the origin of each value.
        domain: Its domain, with statistics.
        training: Module, moving average, optimizer and step.
        seconds: Seconds of training so far, those of earlier sessions included.
        parents: Records of the runs that its configuration names (`polydiff.run.parents`).
        data: Identity of its training examples (`polydiff.contract.data.identity`); None: the domain does not tell.
    """

    run: Run
    settings: Settings
    domain: Domain
    training: Training[Any]
    seconds: float = 0.0
    parents: Records = field(default_factory=dict)
    data: Mapping[str, Any] | None = None

    @property
    def config(self) -> Config:
        """The run's configuration."""
        return self.settings.config

    @property
    def model(self) -> Model:
        """The current model, with averaged weights."""
        ema = self.training.ema
        device = next(ema.parameters()).device
        return Model(self.config, self.domain, ema, self.training.step, "ema", device, self.parents)

    @property
    def generates(self) -> bool:
        """Whether the process generates samples; without it, a run has neither samples nor an evaluation."""
        return provides(process_of(self.config), Generates)

    def checkpoint(self) -> Path:
        """Write a checkpoint, delete those beyond `train.keep`, and return its folder."""
        training = self.training
        state = {
            "config": self.config.model_dump(mode="json"),
            "provenance": self.settings.provenance,
            "statistics": dict(self.domain.statistics),
            "seconds": self.seconds,
            "examples": self.domain.size("train"),
            "environment": environment(str(self.model.device)),
            "parents": dict(self.parents),
            **({"plugins": plugins} if (plugins := plugins_of(self.config)) else {}),
            **({} if self.data is None else {"data": dict(self.data)}),
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
        """Write a checkpoint unless this step has one or no step is done."""
        if self.training.step > 0 and self.training.step not in steps_saved(self.run.checkpoints):
            self.checkpoint()

    def save_snapshot_if_due(self, step: int) -> None:
        """Save a snapshot of the power-function averages if one is due after this step."""
        train, averages = self.config.train, self.training.averages
        if averages is not None and step % max(1, train.steps // train.ema_snapshots) == 0:
            save_snapshot(self.run.averages, step, averages.tensors(), train.ema_snapshots)

    @property
    def sample_every(self) -> int:
        """Number of steps between sets of samples."""
        train = self.config.train
        return train.sample_every or max(1, train.steps // 6)

    def due_to_show(self, step: int) -> bool:
        """Return whether samples are saved after this step."""
        return step == self.config.train.steps or step % self.sample_every == 0

    def check_sampling(self) -> None:
        """Raise UserError if `show` could not use the guide or the negative conditions; no sample is drawn."""
        if self.generates:
            self.model.request().unwanted(self.config.seed, range(SHOWN))

    def forecast(self) -> Forecast:
        """Return the forecast of the time that the session still needs."""
        train, every = self.config.train, self.sample_every if self.generates else 0
        ahead = every and self.training.step < train.steps
        return Forecast(
            train.steps, train.batch_size, every, SHOWN, self.model.request().evaluations() if ahead else None
        )

    def show(self) -> None:
        """Save a set of samples. Each set has the same seed, so that sets can be compared."""
        if not self.generates:
            return
        model = self.model
        samples = model.sample(SHOWN, seed=self.config.seed)
        facts = {"step": model.step, "seed": self.config.seed, **self.config.sample.model_dump(mode="json")}
        write_samples(self.run.samples(model.step), self.domain, samples, facts)


def records_of(
    config: Config, domain: Domain, training: Training[Any], steps: int | None = None, phase: Phase = nullcontext
) -> Iterator[Record]:
    """Train and yield the record of each step (`polydiff.training.loop.fit`).

    Arguments:
        config: The run's configuration.
        domain: Provides the batches.
        training: What is trained.
        steps: Last step; None: `train.steps`.
        phase: Context in which each phase of a step runs, for profiles.
    """
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
    """Train a session to its last step, with checkpoints and samples, and return the run's folder."""
    config, run, settings = session.config, session.run, session.config.train
    forecast = session.forecast() if isinstance(progress, TrainingProgress) else None
    if forecast and isinstance(progress, TrainingProgress):
        progress.expect(forecast)
        if progress.evaluated is not None:
            write_evaluated_after(run, progress.evaluated)
    began, before = time.monotonic(), session.seconds
    stepping = began
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
            shown = session.due_to_show(record.step)
            stepped = time.monotonic()
            if shown:
                session.show()
            if forecast:
                forecast.record(stepped - stepping, time.monotonic() - stepped, shown)
            stepping = time.monotonic()
            if progress:
                progress(record, session.seconds)
            if interrupts.requested:
                session.checkpoint_if_new()
                raise interrupts.error()
    return run.path


@contextmanager
def saved_on_error(session: Session) -> Iterator[None]:
    """Save a checkpoint if a step fails before its update: a loss that is not finite, data that cannot be read.

    Other errors may have interrupted an update, so they save nothing; the run is then resumed from its last checkpoint.
    """
    try:
        yield
    except (NonFiniteError, UserError):
        session.checkpoint_if_new()
        raise
    finally:
        keep(quarantine_of(session.domain), session.run.path)


class Interrupts:
    """Turn the first Ctrl-C or SIGTERM into a request to stop after the step; a second one stops at once.

    Attributes:
        requested: Whether a stop is requested.
        error: The exception of this stop.
    """

    def __init__(self) -> None:
        self.requested = False
        self.error: type[KeyboardInterrupt] = KeyboardInterrupt
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Interrupts:
        if threading.current_thread() is threading.main_thread():  # elsewhere Python allows no handlers
            self._before = {s: signal.signal(s, self._request) for s in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, *error: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _request(self, number: int, frame: object) -> None:
        self.requested = True
        self.error = Terminated if number == signal.SIGTERM else KeyboardInterrupt
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
