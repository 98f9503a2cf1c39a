"""Timing: the fastest of several calls, since other load on the machine can only make a call slower."""

from __future__ import annotations

import time
from collections.abc import Callable

import torch


def waiter(device: torch.device) -> Callable[[], object]:
    """Return a function that waits for all work on a device; on a CPU there is nothing to wait for."""
    return torch.cuda.synchronize if device.type == "cuda" else lambda: None


def fastest(work: Callable[[], object], device: torch.device, within: float) -> float:
    """Return the time of the fastest call in seconds.

    Arguments:
        work: The call to time. It is repeated at least once, since the first call also allocates memory.
        device: Device of the work.
        within: Seconds for which to repeat the call.
    """
    wait, times, end = waiter(device), list[float](), time.perf_counter() + within
    while len(times) < 2 or time.perf_counter() < end:
        wait()
        start = time.perf_counter()
        work()
        wait()
        times.append(time.perf_counter() - start)
    return min(times)
