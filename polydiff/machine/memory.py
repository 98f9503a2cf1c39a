"""How much memory work takes: the peak of the process or of the GPU, and what it rose by."""

from __future__ import annotations

import ctypes
import resource
import sys
from contextlib import suppress
from pathlib import Path

import torch

CLEAR, STATUS = Path("/proc/self/clear_refs"), Path("/proc/self/status")


class Peak:
    """The most memory taken since this was made, in MiB: of torch's allocator on a GPU, else of this process.

    Linux counts a process's peak anew when asked to; elsewhere it is the peak since the process began.

    Arguments:
        device: Where the work is done.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
            self.before = torch.cuda.memory_allocated(device) / 2**20
            return
        give_back()
        with suppress(OSError):  # not Linux, or a sandbox that forbids it
            CLEAR.write_text("5")  # "the peak is what is held now" (man 5 proc)
        self.before = process_peak()

    def total(self) -> float:
        """Return the peak."""
        if self.device.type == "cuda":
            return torch.cuda.max_memory_allocated(self.device) / 2**20
        return process_peak()

    def risen(self) -> float:
        """Return by how much the peak is above what was held at the beginning."""
        return self.total() - self.before


def give_back() -> None:
    """Give memory that earlier work freed back to the system, where it would hide what later work takes."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None  # glibc's
    if trim is not None:
        trim(0)


def process_peak() -> float:
    """Return the most memory that this process held, in MiB."""
    if STATUS.exists():
        line = next(line for line in STATUS.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) / 2**10
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)


def size(*modules: torch.nn.Module) -> float:
    """Return the memory of modules' parameters and buffers, in MiB."""
    tensors = [t for module in modules for t in (*module.parameters(), *module.buffers())]
    return sum(t.numel() * t.element_size() for t in tensors) / 2**20
