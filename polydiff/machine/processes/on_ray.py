"""Start a command again as several processes of a Ray cluster (Ray Train, https://docs.ray.io/en/latest/train).

Ray places the processes and joins them in a process group of torch, which `polydiff.machine.ranks.joined` finds. Which
cluster it is, Ray itself knows: that of the environment variable RAY_ADDRESS, else one that runs on this machine, else
one that Ray starts on this machine for the command.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from polydiff.support.errors import UserError
from polydiff.support.progress import log

PASSED_ON = "POLYDIFF_"
"""Beginning of the names of environment variables that the processes get."""


class EndedError(Exception):
    """A process has ended with an exit code other than 0, after a message of its own.

    Arguments:
        code: The exit code.
    """

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


def start(
    command: Callable[[Sequence[str]], int],
    words: Sequence[str],
    processes: int,
    restarts: int = 0,
    timeout: float = 300.0,
) -> int:
    """Run a command of polydiff in several processes of a Ray cluster and return the exit code.

    Each process has a GPU if the cluster has as many as there are processes, else a core. All processes see the files
    of this one under the same paths.

    Arguments:
        command: Runs words of a command line and returns an exit code.
        words: The command, such as ["train", "--domain", "audio"].
        processes: Number of processes.
        restarts: How often all of them are started again after one has failed.
        timeout: Seconds that an exchange of gradients waits for another process.

    Raises:
        UserError: Ray is not installed.
    """
    ray = installed_ray()
    if not ray.is_initialized():
        os.environ.setdefault("RAY_worker_niceness", "0")  # Ray would give processes on this machine the least priority
        ray.init(log_to_driver=True)
    use_gpu = ray.cluster_resources().get("GPU", 0) >= processes
    task = {
        "command": command,
        "words": list(words),
        "folder": Path.cwd(),
        "environment": {name: value for name, value in os.environ.items() if name.startswith(PASSED_ON)},
    }
    code = 0
    for attempt in range(restarts + 1):
        code = attempted({**task, "restarts": attempt}, processes, use_gpu, timeout)
        if code in (0, 2):  # done, or a mistake of the user, which another attempt would repeat
            break
    return code


def installed_ray() -> Any:
    """Return the module `ray`; UserError if it or Ray Train is not installed."""
    try:
        import ray
        import ray.train.torch
    except ImportError as error:
        raise UserError(
            f"launch.engine=ray needs Ray Train ({error}). Install it: pip install 'polydiff[ray]'."
        ) from error
    return ray


def attempted(task: Mapping[str, Any], processes: int, use_gpu: bool, timeout: float) -> int:
    """Run a task once in several processes and return its exit code."""
    from ray.train import RunConfig, ScalingConfig, WorkerGroupError
    from ray.train.torch import TorchConfig, TorchTrainer

    backend = "cpu:gloo,cuda:nccl" if use_gpu else "gloo"
    with tempfile.TemporaryDirectory(prefix="polydiff-ray-") as storage:  # the run's folder holds all that is kept
        trainer = TorchTrainer(
            work,
            train_loop_config=dict(task),
            scaling_config=ScalingConfig(num_workers=processes, use_gpu=use_gpu),
            torch_config=TorchConfig(backend=backend, timeout_s=max(1, round(timeout))),
            run_config=RunConfig(storage_path=storage),
        )
        try:
            trainer.fit()
        except WorkerGroupError as error:
            causes = [getattr(failure, "_base_exc", failure) for failure in error.worker_failures.values()]
            codes = [cause.code for cause in causes if isinstance(cause, EndedError)]
            if not codes:  # no process has said what went wrong
                log(str(error))
            return max(codes, default=1)
    return 0


def work(task: Mapping[str, Any]) -> None:
    """Run a task in this process, one of several that Ray has started."""
    os.environ |= {**task["environment"], "TORCHELASTIC_RESTART_COUNT": str(task["restarts"])}
    os.chdir(task["folder"])
    if code := task["command"](task["words"]):
        raise EndedError(code)
