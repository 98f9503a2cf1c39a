"""How long work takes: the fastest of a few calls, since other load can only slow one."""

from __future__ import annotations

import time
from collections.abc import Callable

import torch


def waiter(device: torch.device) -> Callable[[], object]:
    """Return a function that waits until all work on a device is done; a CPU has none left when a call returns."""
    return torch.cuda.synchronize if device.type == "cuda" else lambda: None


def fastest(work: Callable[[], object], device: torch.device, within: float) -> float:
    """Return the seconds of the fastest call.

    Arguments:
        work: What is timed. It is called at least twice, since the first call allocates.
        device: Where it computes.
        within: Seconds for which calls are repeated.
    """
    wait, times, end = waiter(device), list[float](), time.perf_counter() + within
    while len(times) < 2 or time.perf_counter() < end:
        wait()
        start = time.perf_counter()
        work()
        wait()
        times.append(time.perf_counter() - start)
    return min(times)
