"""Other processes on the cores of this machine, which can make several threads slower than one.

The threads of a computation wait for each other by spinning. If another process holds one of their cores, all wait for
the thread that has none, at each of the many short operations of a network.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable

import torch

from polydiff.machine.environment import cores

COMPARED = 0.1
"""Time in seconds for which one thread, and all threads, are measured."""
SLOWER = 1.2
"""How many times as long several threads must take as one for the advice to use one."""

Clock = Callable[[], float]


def advice(clock: Clock = time.perf_counter) -> str:
    """Return a line of advice if several threads of torch are slower than one at the moment, else "".

    A convolution is timed on one thread and on all of them, which takes a fifth of a second on a quiet machine. The
    number of threads is the same afterwards, so results keep their bits.

    Arguments:
        clock: Returns the time in seconds.
    """
    threads = torch.get_num_threads()
    if threads == 1:
        return ""
    ratio = several_against_one(threads, clock)
    if ratio < SLOWER:
        return ""
    load = f", load {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
    return (
        f"A convolution takes {ratio:.1f} times as long on {threads} threads as on one ({cores()} cores{load}): other "
        "processes seem to use this machine. OMP_NUM_THREADS=1 is faster until they end."
    )


def several_against_one(threads: int, clock: Clock) -> float:
    """Return the mean time of a convolution on several threads, relative to that on one.

    Arguments:
        threads: Number of threads.
        clock: Returns the time in seconds.
    """
    before = torch.get_num_threads()
    try:
        several = mean_time(threads, clock)
        return several / mean_time(1, clock)
    finally:
        torch.set_num_threads(before)


def mean_time(threads: int, clock: Clock) -> float:
    """Return the mean time in seconds of a convolution on a number of threads, which torch has afterwards."""
    torch.set_num_threads(threads)
    weight, x, calls = torch.ones(64, 64, 3, 3), torch.ones(8, 64, 32, 32), 0
    torch.nn.functional.conv2d(x, weight)  # the first call starts the threads
    start = clock()
    while calls == 0 or clock() - start < COMPARED:
        torch.nn.functional.conv2d(x, weight)
        calls += 1
    return (clock() - start) / calls
