"""Functions that run in several processes of a test, joined as torchrun joins them (gloo, on this machine)."""

from __future__ import annotations

import os
import pickle
import socket
import traceback
from collections.abc import Callable
from multiprocessing import get_context
from multiprocessing.queues import Queue
from queue import Empty
from typing import Any

PATIENCE = 500
"""Seconds after which processes that have not answered are killed."""


def together(world: int, job: Callable[..., Any], *args: Any) -> list[Any]:
    """Call a function of a module of `tests/helpers` in several processes and return its results, by rank.

    Its results and arguments are pickled. An exception of any process fails the test with its traceback.
    """
    context = get_context("spawn")
    answers: Queue[tuple[int, Any, str]] = context.Queue()
    port = free_port()
    processes = [context.Process(target=call, args=(answers, rank, world, port, job, args)) for rank in range(world)]
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


def call(answers: Any, rank: int, world: int, port: int, job: Callable[..., Any], args: tuple[Any, ...]) -> None:
    place = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": world, "LOCAL_WORLD_SIZE": world, "MASTER_PORT": port}
    os.environ |= {name: str(value) for name, value in place.items()} | {"MASTER_ADDR": "localhost"}
    try:
        answers.put((rank, pickle.dumps(job(*args)), ""))
    except BaseException:  # noqa: BLE001 - whatever it is, the test shows it
        answers.put((rank, b"", traceback.format_exc()))
