"""Thousands of steps: memory, open files and threads do not grow, and the disk holds what is kept and no more."""

from __future__ import annotations

import gc
import os
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
from children import run_child, settings, warm
from trial import Trial, kind, workplace

from polydiff.run.folder import steps_saved
from polydiff.training import session
from polydiff.training.loop import Record
from polydiff.training.trainer import train

STEPS = {"push": 240, "nightly": 2_000, "release": 6_000}
DOMAINS = {"push": ("image",), "nightly": ("image", "sequence"), "release": ("audio", "image", "molecule", "sequence")}
GROWTH = 2.0
"""Largest growth of memory over the second half of a run, in MB."""
KEEP = 2


def memory() -> float:
    """Return the resident memory of this process in MB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def soak(domain: str, steps: int, path: Path) -> None:
    """Train and compare the means of the third and the last quarter of the run."""
    session.SHOWN = 1
    seen: list[tuple[float, int, int]] = []

    def progress(record: Record, seconds: float) -> None:
        if record.step % 5 == 0:
            gc.collect()
            seen.append((memory(), len(list(Path("/proc/self/fd").iterdir())), threading.active_count()))

    more = {
        "train.steps": steps, "train.checkpoint_every": steps // 20, "train.sample_every": steps // 10,
        "train.keep": KEEP, "train.log_every": 1,
    }  # fmt: skip
    train(domain, path, overrides=settings(domain, **more), progress=progress)
    rows = np.array(seen)
    half = rows[len(rows) // 2 :]
    early, late = half[: len(half) // 2].mean(0), half[len(half) // 2 :].mean(0)
    growth = late - early
    assert growth[0] < GROWTH, f"memory grew by {growth[0]:.2f} MB from {early[0]:.0f} MB"
    assert half[:, 1].max() <= half[0, 1] + 1, f"open files: {half[:, 1]}"
    assert half[:, 2].max() <= half[0, 2] + 1, f"threads: {half[:, 2]}"


def run(domain: str, steps: int) -> None:
    """Train long in a child, and look at what it left."""
    warm(domain)
    with workplace() as folder:
        ended = run_child(partial(soak, domain, steps, folder / "run"))
        assert ended.code == 0, ended.err
        assert steps_saved(folder / "run" / "checkpoints") == [steps - steps // 20, steps]
        assert [path for path in (folder / "run").rglob(".*") if path.name != ".lock"] == []


@kind("soak")
def trials(tier: str) -> Iterator[Trial]:
    """One run a domain."""
    for seed, domain in enumerate(DOMAINS[tier]):
        yield Trial("soak", f"{domain}, {STEPS[tier]:,} steps", seed, partial(run, domain, STEPS[tier]), limit=3600)
