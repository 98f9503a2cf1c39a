"""The steps of a session of training: what is written after which step, and how a run stops."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import closing, contextmanager, nullcontext
from pathlib import Path
from typing import Any

from polydiff.contract.abilities import quarantine_of
from polydiff.contract.data.quarantine import keep
from polydiff.run.goal import write_evaluated_after
from polydiff.run.loss_by_level import Gathered
from polydiff.support.disk import WriteError
from polydiff.support.errors import NonFiniteError, UserError
from polydiff.support.signals import Interrupts, stop_by
from polydiff.tracking.session import Trackers, tracked
from polydiff.training.duration.pace import Pace
from polydiff.training.duration.progress import Progress, TrainingProgress
from polydiff.training.loop import Record
from polydiff.training.session import Session
from polydiff.training.steps import records_of


def records_while_planned(session: Session) -> Iterator[Record]:
    """Train to the last step that the session plans, and yield each step's record; the plan may change meanwhile."""
    while session.training.step < session.config.train.steps:
        steps = session.config.train.steps
        with closing(records_of(session.config, session.domain, session.training)) as records:
            for record in records:
                yield record
                if session.config.train.steps != steps:
                    break


def finish(session: Session, progress: Progress | None = None) -> Path:
    """Train a session to its last step, with checkpoints and samples, and return the run's folder."""
    run, settings, pace = session.run, session.config.train, Pace(session, progress)
    before, levels, first = session.seconds, Gathered(), session.ranks.first
    if first and isinstance(progress, TrainingProgress) and progress.evaluated is not None:
        write_evaluated_after(run, progress.evaluated)
    telling = tracked(run, session.config, session.training.step, session.seen) if first else nullcontext(Trackers())
    with Interrupts() as interrupts, saved_on_error(session), telling as session.trackers:
        for record in records_while_planned(session):
            session.seconds = before + pace.elapsed()
            lowered = pace.lower_steps_if_due()
            last = record.step == session.config.train.steps
            levels.add(record.level, record.losses)
            if first and (record.step % settings.log_every == 0 or last or record.step == 1):
                line = metrics_line(record, session.seconds, settings.batch_size) | bins_of(levels)
                with session.tolerating("lines of metrics.jsonl"):
                    run.log(line)
                session.trackers.record(line)
            snapshot = session.save_snapshot_if_due(record.step)
            saved = record.step % settings.checkpoint_every == 0 or last or lowered
            if saved:
                session.checkpoint()
            shown = session.due_to_show(record.step)
            pace.stepped()
            if shown:
                session.show()
            pace.sampled(shown)
            if saved or shown or snapshot:
                session.ranks.wait_for_first()  # it writes, maybe for longer than a step may take
            if progress:
                progress(record, session.seconds)
            if session.ranks.any(interrupts.requested):
                number = max(session.ranks.collect(interrupts.number))  # all end with one exit code, whoever got it
                session.checkpoint_if_new()
                session.ranks.wait_for_first()  # a process that ends earlier would end it, too
                raise stop_by(number)
    return run.path


@contextmanager
def saved_on_error(session: Session) -> Iterator[None]:
    """Save a checkpoint if a step fails before its update: a loss that is not finite, data that cannot be read.

    The other processes fail at the same step or are still at it, so the weights are those of the last whole step.
    Other errors may have interrupted an update, so they save nothing; the run is then resumed from its last checkpoint.
    Processes that hold a part of the weights each can save only what fails in all of them, as a loss does.
    """
    try:
        yield
    except WriteError:
        raise
    except (NonFiniteError, UserError) as error:
        try:
            if isinstance(error, NonFiniteError) or not session.training.sharding:
                session.checkpoint_if_new()
            if isinstance(error, NonFiniteError):
                session.ranks.wait_for_first()
        except (NonFiniteError, WriteError) as second:
            if str(second) != str(error):
                warnings.warn(str(second), stacklevel=3)
        raise
    finally:
        if session.ranks.first:
            with session.tolerating("data.json"):
                keep(quarantine_of(session.domain), session.run.path)


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
