"""What all tests share: hypothesis's profile, one cache a session, one thread a process, checks of shapes."""

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

# Before anything imports torch. Tests run in several processes, and sums in one thread are the same each time.
os.environ.setdefault("OMP_NUM_THREADS", "1")

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as of jobs in the background, whose programs would not hear it
    signal.signal(signal.SIGINT, signal.default_int_handler)

settings.register_profile("polydiff", derandomize=True, deadline=None, max_examples=50)
settings.load_profile("polydiff")


def pytest_configure(config: pytest.Config) -> None:
    """Give the session a cache of its own, which the workers of pytest-xdist inherit through the environment.

    What a domain prepares is so prepared once a session, and never read from the developer's own cache.
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
    """Check the shapes of the core's central callables in every test."""
    import shapes  # after OMP_NUM_THREADS: it imports torch

    shapes.install()


@pytest.fixture
def awake() -> Callable[..., nn.Module]:
    """Return the function that draws every parameter of a network, so that no initial zero hides an effect."""
    from clouds import awaken

    return awaken
