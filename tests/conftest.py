"""Set-up of all tests: the profile of hypothesis, one cache a session, one thread a process, shape checks, cheap runs.

And fixtures that several folders of tests share.
"""

from __future__ import annotations

import gc
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from fake_plugins import install_ring
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
    """Check the shapes of the central functions of the library in every test, and let runs cost little."""
    import cheap  # after OMP_NUM_THREADS: they import torch
    import shapes

    shapes.install()
    cheap.install()


def pytest_collection_finish() -> None:
    """Take what has been imported and collected out of the garbage collector's sight: it lives as long as the tests.

    Each collection, and each child that is forked, would go through it all.
    """
    gc.collect()
    gc.freeze()


def pytest_runtest_teardown() -> None:
    """Forget the modules that a test wrote (planted_NAME), so that a later test of that name imports its own."""
    for name in [name for name in sys.modules if name.startswith("planted_")]:
        del sys.modules[name]


@pytest.fixture
def awake() -> Callable[..., nn.Module]:
    """Return a function that draws every parameter of a network, so that no zero initialisation hides an effect."""
    from clouds import awaken

    return awaken


@pytest.fixture
def ring(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Install the domain ring for the test and its child processes."""
    install_ring(tmp_path / "plugins", monkeypatch)


@pytest.fixture
def here(ring: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in a folder of the test's own, with the domain ring installed and wide lines of output."""
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    monkeypatch.delenv("POLYDIFF_DEBUG", raising=False)
    monkeypatch.setenv("COLUMNS", "200")
    return work


@pytest.fixture(scope="module")
def small_runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Return the folder of runs of two steps, one for each of `drawing_cases.SMALL`, which no test changes."""
    from drawing_cases import FEW, SMALL

    import polydiff  # after OMP_NUM_THREADS: it imports torch

    folder = tmp_path_factory.mktemp("runs")
    with pytest.MonkeyPatch.context() as monkeypatch:
        install_ring(folder / "plugins", monkeypatch)
        for name, more in SMALL.items():
            polydiff.train("molecule" if name == "dense" else name, folder / name, overrides={**FEW, **more})
        yield folder


@pytest.fixture(scope="module")
def no_repeated_timings() -> Iterator[None]:
    """Time each step of a profile once: where no test looks at the times, repeats only take time."""
    from polydiff.checkup import step_profile  # after OMP_NUM_THREADS: it imports torch

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(step_profile, "SPEED_SECONDS", 0.0)
        yield
