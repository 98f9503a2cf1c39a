"""In the worker: what counts the calls of networks, stops a job, bounds it, and reports its progress."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from polydiff.serve.limits import Limits
from polydiff.support.errors import UserError

EVERY = 0.1
"""Least seconds between two reports of progress."""


class Stopped(BaseException):
    """The job was cancelled. A BaseException, as KeyboardInterrupt is, so that no `except Exception` catches it."""


@dataclass
class Meter:
    """What is called before each call of a network: it stops a job, bounds it, and reports its progress.

    Arguments:
        report: Called with the share that is done.
        stop: Set if the job should stop.
        most: Most calls.
        expected: Likely number of calls.
    """

    report: Callable[[float], None]
    stop: threading.Event
    most: float = math.inf
    expected: float = math.inf
    calls: int = 0
    reported: float = field(default_factory=time.monotonic)

    def __call__(self, *_: object) -> None:
        """Count a call.

        Raises:
            Stopped: The job should stop.
            UserError: These are more calls than the server allows.
        """
        if self.stop.is_set():
            raise Stopped
        self.calls += 1
        if self.calls > self.most:
            raise UserError(
                f"This takes more than {self.most:,.0f} calls of the network, the limit of this server. Lower steps."
            )
        if (now := time.monotonic()) - self.reported > EVERY:
            self.reported = now
            self.report(min(self.calls / self.expected, 0.99))

    def plan(self, calls: float | None, batches: int, limits: Limits, repeated: int = 1) -> None:
        """Set the bounds of a job.

        Arguments:
            calls: Calls of the network for a batch, None if they vary.
            batches: Number of batches.
            limits: The server's.
            repeated: How often its segments are run.
        """
        if calls is not None and calls * repeated > limits.calls:
            raise UserError(
                f"This takes {calls * repeated:,.0f} calls of the network for a sample, and this server allows "
                f"{limits.calls:,}. Lower steps."
            )
        self.most = limits.calls * batches
        self.expected = (calls or limits.calls / 4) * batches * repeated


def check_steps(steps: int, limits: Limits) -> None:
    """Raise UserError if the configured number of steps is more than the server allows."""
    if steps > limits.steps:
        raise UserError(f"steps={steps} is configured, and this server allows {limits.steps}. Set steps.")
