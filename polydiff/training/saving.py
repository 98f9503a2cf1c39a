"""Saving a run's checkpoints: whether the disk has room for them, and what follows if one cannot be written.

A checkpoint that cannot be written is tried once more. If that fails, too, training ends with an error: the work since
the last whole checkpoint is lost, never more. What is worth less, such as samples, only warns (`Session.tolerating`).
"""

from __future__ import annotations

import resource
import time
import warnings
from pathlib import Path
from typing import Any

from torch import nn

from polydiff.contract.sections.training import TrainConfig
from polydiff.run.checkpoint import Checkpoint, prune
from polydiff.run.folder import Run, steps_saved
from polydiff.support.disk import WriteError, free_space, in_units
from polydiff.support.errors import UserError, amount
from polydiff.support.files import quoted
from polydiff.training.loop import Training
from polydiff.training.optimizers import moments_bytes, optimizer_tensors

WAIT = 5.0
"""Seconds before a checkpoint is tried once more."""


def tensors_bytes(module: nn.Module) -> int:
    """Return the bytes of a module's parameters and buffers."""
    return sum(tensor.nbytes for tensor in module.state_dict().values())


def file_sizes(training: Training[Any]) -> list[int]:
    """Return about how many bytes the files of a checkpoint have: weights, average, optimizer, further averages."""
    weights, kept = tensors_bytes(training.module), optimizer_tensors(training.module, training.optimizer)
    optimizer = sum(tensor.nbytes for tensor in kept.values()) if kept else moments_bytes(training.optimizer)
    averages = training.averages.tensors() if training.averages else {}
    return [weights, weights, optimizer, sum(tensor.nbytes for tensor in averages.values())]


def check_room(run: Run, training: Training[Any], train: TrainConfig) -> None:
    """Raise UserError if the disk has no room for the files of a run; one checkpoint more than are kept is written.

    Arguments:
        run: The run.
        training: What is saved, unless all steps are done.
        train: How many checkpoints and snapshots are kept.
    """
    if training.step >= train.steps:
        return
    sizes = file_sizes(training)
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)[0]
    if resource.RLIM_INFINITY != limit < max(sizes):
        raise UserError(
            f"A file of a checkpoint has about {in_units(max(sizes))}, but this process may write files of "
            f"{in_units(limit)}. Raise the limit (`ulimit -f unlimited`)."
        )
    more = max(1, train.keep + 1 - len(steps_saved(run.checkpoints)))
    need = more * sum(sizes) + max(0, train.ema_snapshots - len(steps_saved(run.averages))) * sizes[-1]
    free = free_space(run.path)
    if free is not None and free < need:
        raise UserError(
            f"{run.path} has no room for the run: {amount(more, 'checkpoint')} of {in_units(sum(sizes))} each"
            f"{', and the snapshots of averages,' if sizes[-1] else ''} need {in_units(need)}, and {in_units(free)} "
            "are free. Delete files there, train in a folder on a larger disk, or keep fewer (train.keep=1)."
        )


def save(checkpoint: Checkpoint, run: Run, keep: int) -> Path:
    """Write a checkpoint of a run, delete those beyond `keep`, and return the new one's folder.

    Before a second try, the checkpoint that this one replaces is deleted; the newest is always kept.

    Raises:
        WriteError: It could not be written twice; the last whole checkpoint is unharmed.
        NonFiniteError: A tensor is not finite; nothing is written.
    """
    try:
        path = checkpoint.save(run.checkpoints)
    except WriteError as error:
        warnings.warn(f"{error} It is tried once more in {WAIT:g} seconds.", stacklevel=3)
        time.sleep(WAIT)
        prune_if_possible(run, max(keep - 1, 1))
        try:
            path = checkpoint.save(run.checkpoints)
        except WriteError as second:
            raise WriteError(f"{second} {what_is_left(run)}", second) from second
    prune_if_possible(run, keep)
    return path


def prune_if_possible(run: Run, keep: int) -> None:
    """Delete all but the newest checkpoints; warn if they cannot be deleted, which harms no run."""
    try:
        prune(run.checkpoints, keep)
    except OSError as error:
        warnings.warn(f"Older checkpoints of {run.checkpoints} cannot be deleted ({error.strerror}).", stacklevel=3)


def what_is_left(run: Run) -> str:
    """Return from which checkpoint a run can be resumed, in words."""
    steps = steps_saved(run.checkpoints)
    return (
        f"Step {steps[-1]} is saved; resume with: polydiff resume {quoted(run.path)}"
        if steps
        else "No checkpoint of the run is saved."
    )
