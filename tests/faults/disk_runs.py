"""Runs on a disk with a fault: how they are begun, how they may end, and how they are finished without the fault."""

from __future__ import annotations

import shutil
from functools import cache, partial
from pathlib import Path

from children import Ended, files_under, run_child, run_main, warm, words
from tiny_runs import assert_same_run
from trial import shared_folder

from polydiff.run.checkpoint import Checkpoint
from polydiff.run.folder import steps_saved

DOMAIN = "sequence"
MORE = {"train.checkpoint_every": 2, "train.sample_every": 3, "train.ema_snapshots": 2}
KEEP = {1: ["train.keep=1"], 2: ["train.keep=2"]}


def trained(run: Path, *more: str, steps: int = 6) -> list[str]:
    """Return the command line of the run; it is judged little."""
    return [*words(DOMAIN, run, **MORE, **{"train.steps": steps}), *more, "--judge", "8"]


@cache
def whole() -> Path:
    """Return the folder of a run without an error."""
    warm(DOMAIN)
    place = shared_folder() / "disk"
    place.mkdir()
    ended = run_child(partial(run_main, trained(place / "run")))
    assert ended.code == 0, ended.err
    return place / "run"


def check_end(ended: Ended, folder: Path) -> None:
    """A command went on, or ended with one message about a path."""
    assert ended.code in (0, 2), f"exit code {ended.code}: {ended.err}"
    assert "Traceback" not in ended.err, ended.err
    if ended.code == 2:
        last = ended.err.rstrip().splitlines()[-1]
        assert last.startswith("polydiff: "), ended.err
        assert str(folder) in last, ended.err


def finish(run: Path, argv: list[str], folder: Path) -> None:
    """Begin the run again or resume it, and compare it with one without an error."""
    saved = steps_saved(run / "checkpoints")
    for step in saved:
        Checkpoint.load(run / "checkpoints" / f"step-{step:08d}")
    ended = run_child(partial(run_main, ["resume", str(run), "--judge", "8"] if saved else argv))
    assert ended.code == 0, ended.err
    shutil.copy(whole() / "metrics.jsonl", run / "metrics.jsonl")  # lines that could not be written are missing
    assert_same_run(run, whole())
    assert [name for name in files_under(run) if name.endswith((".tmp", ".old"))] == []
