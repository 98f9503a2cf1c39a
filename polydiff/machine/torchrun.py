"""Start a command again as several processes, as torchrun does."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
import time
import uuid
from collections.abc import Sequence

from polydiff.machine.environment import cores
from polydiff.support.launched import launched
from polydiff.support.signals import end_signals

AGENT = "POLYDIFF_AGENT"
"""Environment variable with the number of the process that started several of them."""
WATCHED_EVERY = 1.0
"""Seconds between two looks at whether the agent lives."""
ENDING = 60.0
"""Seconds in which a process whose agent is gone may save and end."""


def end_with_agent() -> None:
    """Send this process SIGTERM when the agent that started it ends, as by SIGKILL, so that none is left behind."""
    agent = os.getppid()
    if os.environ.get(AGENT) == str(agent):
        threading.Thread(target=outlived, args=(agent,), name="polydiff-agent", daemon=True).start()


def outlived(agent: int) -> None:
    """Wait until a process is no longer the parent of this one, then send SIGTERM to this one, and later end it."""
    while os.getppid() == agent:  # Linux could do this (PR_SET_PDEATHSIG), but signals once for each of its threads
        time.sleep(WATCHED_EVERY)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(ENDING)
    os._exit(128 + signal.SIGTERM)  # it waits for a process that is stopped


def needed(processes: int) -> bool:
    """Return whether a command has to be started again as several processes: it is asked to, and torchrun did not."""
    return processes > 1 and launched().world == 1


def start(words: Sequence[str], processes: int, restarts: int = 0) -> int:
    """Run a command of polydiff in several processes on this machine, by torchrun's agent, and return the exit code.

    The agent ends all processes if one fails, and passes Ctrl-C, SIGTERM and its like on to them.

    Arguments:
        words: The command, such as ["train", "--domain", "audio"].
        processes: Number of processes.
        restarts: How often all of them are started again after one has failed.
    """
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher import api

    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, cores() // processes)))
    os.environ[AGENT] = str(os.getpid())
    logging.getLogger("torch.distributed.elastic").setLevel(logging.CRITICAL)  # the processes say what went wrong
    config = api.LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=processes,
        run_id=uuid.uuid4().hex,
        rdzv_backend="c10d",
        rdzv_endpoint="localhost:0",
        max_restarts=restarts,
        monitor_interval=0.1,
        signals_to_handle=",".join(["SIGINT", "SIGQUIT", *(number.name for number in end_signals())]),
    )
    try:
        api.elastic_launch(config, sys.executable)("-m", "polydiff", *words)
    except ChildFailedError as error:
        code = error.get_first_failure()[1].exitcode
        return code if code > 0 else 128 - code
    except SignalException as error:
        return 128 + error.sigval
    return 0
