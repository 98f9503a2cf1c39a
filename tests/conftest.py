"""Set-up of all tests: the profile of hypothesis, one cache a session, one thread a process, shape checks."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from torch import nn

# Set before torch is imported: tests run in several processes, and sums in one thread are reproducible.
os.environ.setdefault("OMP_NUM_THREADS", "1")

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as in background jobs, whose children would ignore Ctrl-C
    signal.signal(signal.SIGINT, signal.default_int_handler)

settings.register_profile("polydiff", derandomize=True, deadline=None, max_examples=50)
settings.load_profile("polydiff")


def pytest_configure(config: pytest.Config) -> None:
    """Create a cache for the session; the workers of pytest-xdist inherit it through the environment.

    So the data of a domain are prepared once a session and never read from the developer's cache.
    """
    if hasattr(config, "workerinput"):
        return
    before, cache = os.environ.get("POLYDIFF_CACHE"), tempfile.mkdtemp(prefix="polydiff-tests-")
    os.environ["POLYDIFF_CACHE"] = cache

    def restore() -> None:
        shutil.rmtree(cache, ignore_errors=True)
        if before is None:
            del os.environ["POLYDIFF_CACHE"]
        else:
            os.environ["POLYDIFF_CACHE"] = before

    config.add_cleanup(restore)


def pytest_sessionstart() -> None:
    """Check the shapes of the central functions of the library in every test."""
    import shapes  # after OMP_NUM_THREADS: it imports torch

    shapes.install()


@pytest.fixture
def awake() -> Callable[..., nn.Module]:
    """Return a function that draws every parameter of a network, so that no zero initialisation hides an effect."""
    from clouds import awaken

    return awaken
