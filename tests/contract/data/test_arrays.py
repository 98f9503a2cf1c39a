"""Arrays read by several threads."""

from __future__ import annotations

import gc
import io
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from polydiff.contract.data.arrays import load_array

THREADS = 4


@pytest.fixture
def _switching() -> Iterator[None]:
    """Let another thread run at each garbage collection, and collect often."""
    before, interval = gc.get_threshold(), sys.getswitchinterval()

    def switch(phase: str, info: object) -> None:
        time.sleep(0)

    gc.callbacks.append(switch)
    gc.set_threshold(5)
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(interval)
    gc.callbacks.remove(switch)
    gc.set_threshold(*before)


@pytest.mark.usefixtures("_switching")
def test_several_threads_read_arrays() -> None:
    """Without the lock Python 3.11 raises SystemError in a few of a thousand reads."""
    buffer = io.BytesIO()
    np.save(buffer, np.arange(12.0).reshape(3, 4))
    data = buffer.getvalue()

    def total(_: int) -> float:
        return sum(float(load_array(io.BytesIO(data)).sum()) for _ in range(200))

    with ThreadPoolExecutor(THREADS) as pool:
        assert list(pool.map(total, range(5 * THREADS))) == [200 * 66.0] * 5 * THREADS
