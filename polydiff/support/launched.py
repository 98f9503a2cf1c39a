"""What torchrun says, by environment variables, of the processes that it started. Importing this imports no torch."""

from __future__ import annotations

import os
from typing import NamedTuple


class Launched(NamedTuple):
    """The place of this process among those that were started together.

    Attributes:
        rank: Number of this process, from 0.
        world: Number of processes.
        local: Number of this process on its machine, which is the number of its GPU.
        local_world: Number of processes on its machine.
        restarts: How often the processes were started again after a failure.
    """

    rank: int = 0
    world: int = 1
    local: int = 0
    local_world: int = 1
    restarts: int = 0


VARIABLES = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "TORCHELASTIC_RESTART_COUNT")


def launched() -> Launched:
    """Return what the environment says; a program that torchrun did not start is alone."""
    found = [os.environ.get(name, "") for name in VARIABLES]
    return Launched(
        *(int(value) if value.isdecimal() else usual for value, usual in zip(found, Launched(), strict=True))
    )
