"""Functions that run in several processes of a test, joined as torchrun joins them (gloo, on this machine).

They are forked from one that has imported torch and the trainer (`forked`).
"""

from __future__ import annotations

import os
import pickle
import socket
import traceback
from collections.abc import Callable
from multiprocessing.queues import Queue
from queue import Empty
from typing import Any

from forked import forks, take_over

PATIENCE = 500
"""Seconds after which processes that have not answered are killed."""


def together(world: int, job: Callable[..., Any], *args: Any) -> list[Any]:
    """Call a function of a module of `tests/helpers` in several processes and return its results, by rank.

    Its results and arguments are pickled. An exception of any process fails the test with its traceback.
    """
    context = forks()
    answers: Queue[tuple[int, Any, str]] = context.Queue()
    port = free_port()
    processes = [
        context.Process(target=call, args=(answers, {**os.environ, **place(rank, world, port)}, job, args))
        for rank in range(world)
    ]
    for process in processes:
        process.start()
    found: dict[int, Any] = {}
    try:
        for _ in processes:
            rank, value, problem = answers.get(timeout=PATIENCE)
            assert not problem, f"Process {rank} of {world} failed:\n{problem}"
            found[rank] = pickle.loads(value)
    except Empty:
        raise AssertionError(f"Of {world} processes, {sorted(found)} answered in {PATIENCE} s.") from None
    finally:
        for process in processes:
            process.join(10 if len(found) == world else 0)
            process.kill()
    return [found[rank] for rank in range(world)]


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("localhost", 0))
        port: int = listener.getsockname()[1]
        return port


def place(rank: int, world: int, port: int) -> dict[str, str]:
    """Return the variables by which torchrun describes a process to itself."""
    found = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": world, "LOCAL_WORLD_SIZE": world, "MASTER_PORT": port}
    return {name: str(value) for name, value in found.items()} | {"MASTER_ADDR": "localhost"}


def call(answers: Any, environment: dict[str, str], job: Callable[..., Any], args: tuple[Any, ...]) -> None:
    """Put what a job returns in this process, which is new, on the queue: (rank, pickled result, traceback)."""
    take_over(environment)
    rank = int(environment["RANK"])
    try:
        answers.put((rank, pickle.dumps(job(*args)), ""))
    except BaseException:  # noqa: BLE001 - whatever it is, the test shows it
        answers.put((rank, b"", traceback.format_exc()))
