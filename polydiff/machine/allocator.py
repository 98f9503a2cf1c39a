"""Memory of the CPU that is kept for the next tensor, as PyTorch does on a GPU. Loads no torch."""

from __future__ import annotations

import ctypes
import platform

TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3
"""What glibc's malloc.h calls M_TRIM_THRESHOLD and M_MMAP_THRESHOLD."""


def keep_memory() -> bool:
    """Let glibc keep what is freed, and return whether it does; without glibc nothing changes.

    Else every large tensor is mapped anew and the kernel clears its pages, which can take longer than what the tensor
    is for.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    libc = ctypes.CDLL(None)
    largest = any(libc.mallopt(MMAP_THRESHOLD, 2**power) for power in (30, 25))  # glibc before 2.35 takes 2^25 at most
    return bool(libc.mallopt(TRIM_THRESHOLD, 2**31 - 1) and largest)
