"""Memory of the machine that can still be allocated. Imports no torch."""

from __future__ import annotations

import math
from contextlib import suppress
from pathlib import Path

MEMINFO, CGROUP = Path("/proc/meminfo"), Path("/sys/fs/cgroup")


def host_memory() -> float:
    """Return the memory that can still be allocated, in MiB; infinity if the system does not say."""
    found = [math.inf]
    with suppress(OSError, StopIteration):
        line = next(line for line in MEMINFO.read_text().splitlines() if line.startswith("MemAvailable"))
        found.append(int(line.split()[1]) / 2**10)
    with suppress(OSError, ValueError):  # no control group, or one without a limit ("max")
        limit, used = (int((CGROUP / name).read_text()) for name in ("memory.max", "memory.current"))
        found.append((limit - used) / 2**20)
    return max(min(found), 0.0)
