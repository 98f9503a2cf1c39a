"""A fault in one process of several that train the ring: `FAULT` in the environment is "NAME RANK STEP".

The option --plugin of the program imports this. A fault happens at the first start of the processes only.
"""

from __future__ import annotations

import errno
import os
import signal
import threading
from collections.abc import Callable
from typing import Any

import ring_domain
import torch

from polydiff.run.checkpoint import Checkpoint
from polydiff.support.errors import UserError
from polydiff.support.launched import launched
from polydiff.training import session, trainer
from polydiff.training.processes.losses import Losses

name, rank, step = os.environ["FAULT"].split()
counts: dict[str, int] = {}
lock = threading.Lock()


def due(what: str, lasting: bool = False) -> bool:
    """Return whether this is the call of something at which the fault happens; `lasting`: or a later one."""
    with lock:
        counts[what] = counts.get(what, 0) + 1
        return counts[what] >= int(step) if lasting else counts[what] == int(step)


def wrapped(owner: Any, attribute: str, at: Callable[..., Any]) -> None:
    """Replace a function by one that calls `at` with the original and the arguments."""
    original = getattr(owner, attribute)
    setattr(owner, attribute, lambda *args, **more: at(original, *args, **more))


def send(number: signal.Signals, to: Callable[[], int] = os.getpid) -> None:
    """Send a signal after the step, in a callback of the session at the end of the step."""

    def stepped(original: Any, self: Any, *args: Any) -> Any:
        found = original(self, *args)
        if due("step"):
            os.kill(to(), number)
        return found

    wrapped(session.Session, "save_snapshot_if_due", stepped)


def in_data(make: Callable[[], Exception]) -> None:
    """Let the data of the step raise an exception."""

    def batch(original: Any, self: Any, split: str, *args: Any) -> Any:
        if split == "train" and due("batch"):
            raise make()
        return original(self, split, *args)

    wrapped(ring_domain.Ring, "batch", batch)


def not_finite() -> None:
    """Let this process's losses of the step be NaN."""

    def forward(original: Any, self: Any, *args: Any) -> Any:
        minimised, outcome = original(self, *args)
        if not due("loss"):
            return minimised, outcome
        return minimised * torch.nan, outcome._replace(losses=outcome.losses * torch.nan)

    wrapped(Losses, "forward", forward)


def full_disk() -> None:
    """Let the checkpoint and all later ones fail."""

    def save(original: Any, self: Any, *args: Any) -> Any:
        if due("save", lasting=True):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "model.safetensors")
        return original(self, *args)

    wrapped(Checkpoint, "save", save)


def other_seed() -> None:
    """Let the configuration differ."""

    def start(original: Any, settings: Any, *args: Any) -> Any:
        return original(settings._replace(config=settings.config.model_copy(update={"seed": 5})), *args)

    wrapped(trainer, "start", start)


FAULTS: dict[str, Callable[[], None]] = {
    "kill": lambda: send(signal.SIGKILL),
    "hang": lambda: send(signal.SIGSTOP),
    "terminate": lambda: send(signal.SIGTERM),
    "interrupt": lambda: send(signal.SIGINT),
    "terminate-all": lambda: send(signal.SIGTERM, os.getppid),
    "interrupt-all": lambda: send(signal.SIGINT, os.getppid),
    "kill-agent": lambda: send(signal.SIGKILL, os.getppid),
    "data": lambda: in_data(lambda: UserError("bird.png is damaged.")),
    "bug": lambda: in_data(lambda: KeyError("lost")),
    "loss": not_finite,
    "disk": full_disk,
    "seed": other_seed,
    "examples": lambda: wrapped(trainer, "identity_of", lambda original, domain: {"sha256": "other"}),
    "version": lambda: wrapped(trainer, "installed", lambda original: {"torch": "0.1"}),
}

if launched().world > 1 and launched().rank == int(rank) and not launched().restarts:
    FAULTS[name]()
