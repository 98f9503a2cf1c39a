"""Memory: the peak of this process or of a GPU during some work, and the size of modules."""

from __future__ import annotations

import ctypes
import resource
import sys
from contextlib import suppress
from pathlib import Path

import torch

from polydiff.machine.host_memory import host_memory

CLEAR, STATUS = Path("/proc/self/clear_refs"), Path("/proc/self/status")


class Peak:
    """The peak of memory since this object was created, in MiB: of torch's allocator on a GPU, else of this process.

    On Linux, the peak of the process is reset first. Elsewhere it is the peak since the process started.

    Arguments:
        device: Device of the work.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
            self.before = torch.cuda.memory_allocated(device) / 2**20
            return
        give_back()
        with suppress(OSError):  # not Linux, or a sandbox that forbids it
            CLEAR.write_text("5")  # resets the peak to the memory in use now (man 5 proc)
        self.before = process_peak()

    def total(self) -> float:
        """Return the peak in MiB."""
        if self.device.type == "cuda":
            return torch.cuda.max_memory_allocated(self.device) / 2**20
        return process_peak()

    def risen(self) -> float:
        """Return in MiB how far the peak is above the memory in use when this object was created."""
        return self.total() - self.before


def give_back() -> None:
    """Return freed memory to the system (glibc only); otherwise, later work could use it without a rise of the peak."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None  # glibc's
    if trim is not None:
        trim(0)


def process_peak() -> float:
    """Return the peak of the memory of this process, in MiB."""
    if STATUS.exists():
        line = next(line for line in STATUS.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) / 2**10
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)


def available(device: torch.device) -> float:
    """Return the memory that can still be allocated, in MiB; infinity if the system does not tell."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0] / 2**20
    return host_memory()


def size(*modules: torch.nn.Module) -> float:
    """Return the memory of the parameters and buffers of modules, in MiB."""
    tensors = [t for module in modules for t in (*module.parameters(), *module.buffers())]
    return sum(t.numel() * t.element_size() for t in tensors) / 2**20
