"""Keeping freed CPU memory for the next tensor, as PyTorch does on a GPU. Imports no torch."""

from __future__ import annotations

import ctypes
import platform

TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3
"""M_TRIM_THRESHOLD and M_MMAP_THRESHOLD of glibc's malloc.h."""


def keep_memory() -> bool:
    """Let glibc keep freed memory, and return whether it will; without glibc, change nothing and return False.

    By default, glibc maps new pages for every large tensor and the kernel clears them. This can take longer than the
    computation with the tensor.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    libc = ctypes.CDLL(None)
    largest = any(libc.mallopt(MMAP_THRESHOLD, 2**power) for power in (30, 25))  # glibc before 2.35 takes 2^25 at most
    return bool(libc.mallopt(TRIM_THRESHOLD, 2**31 - 1) and largest)
