"""What makes the runs of tests cheap: one set of samples a run, and no wait for the disk.

Both hold for the process that calls `install`, and change no number that a test compares.
"""

from __future__ import annotations

import os
from typing import IO, Any

from polydiff.training.duration import progress


def install() -> None:
    """Draw samples after the last step alone, unless a test sets train.sample_every, and flush no file.

    Six sets of samples would cost more than the few steps between them. A flush waits for the disk, and matters only
    where the power fails: `tests/faults` plays that, on a simulated disk that records each flush.
    """
    progress.SETS = 1
    os.fsync = opened


def opened(file: int | IO[Any]) -> None:
    """Fail as os.fsync does for a file that is not open, and do nothing else."""
    os.fstat(file if isinstance(file, int) else file.fileno())
