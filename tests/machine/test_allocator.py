"""`keep_memory`: freed memory stays with the process, for the next tensor."""

import subprocess
import sys

import pytest

from polydiff.machine.allocator import keep_memory

KEPT = """
from pathlib import Path
from polydiff.machine.allocator import keep_memory
{call}
import torch
def pages(): return int(Path("/proc/self/statm").read_text().split()[1])
before = pages()
x = [torch.ones(size) for size in [5_000_000, 20_000_000] * 3]
most = pages()
del x
print((pages() - before) / (most - before))
"""


def kept(call: str) -> float:
    """Return the share of the memory of freed tensors that a new process still holds, after it made a call."""
    run = subprocess.run([sys.executable, "-c", KEPT.format(call=call)], capture_output=True, text=True, check=True)
    return float(run.stdout)


@pytest.mark.slow
def test_freed_memory_is_kept() -> None:
    if not keep_memory():
        pytest.skip("only glibc's malloc has these settings")
    assert kept("") < 0.5 < 0.9 < kept("keep_memory()")
