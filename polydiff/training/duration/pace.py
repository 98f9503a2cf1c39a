"""The times of a session's steps, from which the time left and the steps within a budget of time follow."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING

from polydiff.config.saved import resolved_text
from polydiff.support.files import write_atomic
from polydiff.training.duration.budget import Watch, planned
from polydiff.training.duration.progress import Progress, TrainingProgress

if TYPE_CHECKING:
    from polydiff.training.session import Session


class Pace:
    """The times of a session's steps, from which the time left and the steps within a budget of time follow.

    Arguments:
        session: What trains.
        progress: Shows the time left if it is a `TrainingProgress`.
    """

    def __init__(self, session: Session, progress: Progress | None) -> None:
        train = session.config.train
        self.session = session
        self.bar = progress if isinstance(progress, TrainingProgress) else None
        self.watch = None if train.minutes is None else Watch(train.minutes, train.sample_every)
        self.forecast = session.forecast() if self.bar or self.watch else None
        self.expect()
        self.began = self.mark = self.sampling = monotonic()

    def expect(self) -> None:
        """Show the progress towards the last step of the forecast."""
        if self.bar and self.forecast:
            self.bar.expect(self.forecast)

    def elapsed(self) -> float:
        """Return the seconds since the session began to train."""
        return monotonic() - self.began

    def stepped(self) -> None:
        """Note the end of a step and its checkpoint."""
        self.sampling = monotonic()
        if self.watch:
            self.watch.record(self.sampling - self.mark)

    def sampled(self, drawn: bool) -> None:
        """Note the end of all that belongs to a step; `drawn`: a set of samples was drawn after it."""
        now = monotonic()
        if self.forecast:
            self.forecast.record(self.sampling - self.mark, now - self.sampling, drawn)
        self.mark = now

    def lower_steps_if_due(self) -> bool:
        """Plan fewer steps if the session exceeds its budget of time clearly, and return whether it does."""
        session, step = self.session, self.session.training.step
        if not (self.watch and self.forecast):
            return False
        settings = self.watch.lowered(session.settings, self.forecast, step, session.seconds)
        if settings is None:
            return False
        session.settings = settings
        self.forecast = planned(self.forecast, self.watch.sample_every, settings.config.train.steps)
        self.expect()
        if session.ranks.first:
            with session.tolerating("a renewed config.resolved.yaml"):
                write_atomic(session.run.resolved, resolved_text(settings.config, settings.provenance))
        return True
