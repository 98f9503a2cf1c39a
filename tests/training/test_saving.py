"""What cannot be written: too little room stops a run before it begins, a checkpoint is tried twice, the rest warns."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from crashes import names
from tiny_runs import tiny

from polydiff.cli import main
from polydiff.run.checkpoint import Checkpoint, latest
from polydiff.run.folder import Run, steps_saved
from polydiff.support import disk
from polydiff.support.disk import WriteError
from polydiff.support.errors import NonFiniteError, UserError
from polydiff.training import saving
from polydiff.training.session import Session
from polydiff.training.trainer import resume

FEW = {"train.steps": 4, "train.checkpoint_every": 1, "train.keep": 2, "train.sample_every": 2}


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(saving, "WAIT", 0.0)
    monkeypatch.setattr("polydiff.training.session.SHOWN", 1)


def checkpoint(step: int) -> Checkpoint:
    tensors = [{"a": torch.full((100,), float(step))} for _ in range(3)]
    return Checkpoint(step, {}, *tensors)


def with_free(monkeypatch: pytest.MonkeyPatch, *free: int) -> None:
    """Let the disk have so many free bytes at the first question, the second, ...; the last number stays."""
    left = list(free)

    def usage(place: object) -> SimpleNamespace:
        return SimpleNamespace(total=10**12, free=left.pop(0) if len(left) > 1 else left[0])

    monkeypatch.setattr(shutil, "disk_usage", usage)


def test_too_little_room_stops_a_run_before_anything_is_trained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with_free(monkeypatch, 50_000)
    words = [f"{key}={value}" for key, value in FEW.items()]
    small = ["backbone.channels=16", "backbone.blocks=1"]
    assert main(["train", "-d", "image", "-o", str(tmp_path / "run"), "--judge", "0", *words, *small]) == 2
    said = capsys.readouterr().err
    assert "has no room for the run: 3 checkpoints of " in said
    assert "and 50 kB are free. Delete files there" in said
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("optimizer", ["adamw", "muon", "sgd"])
def test_the_stated_size_is_that_of_a_checkpoint(
    optimizer: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stated: list[int] = []
    before = saving.file_sizes
    monkeypatch.setattr(saving, "file_sizes", lambda training: stated.append(sum(before(training))) or before(training))
    run = tiny("image", tmp_path / "run", **FEW | {"optim.name": optimizer})
    written = sum(path.stat().st_size for path in latest(run / "checkpoints").iterdir())
    assert written == pytest.approx(stated[0], rel=0.1)
    resume(run, steps=5)
    assert written == pytest.approx(stated[1], rel=0.1)


def test_a_limit_on_the_size_of_files_stops_a_run_before_it_trains(tmp_path: Path) -> None:
    import resource

    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
    try:
        with pytest.raises(UserError, match=r"may write files of 100 kB\. Raise the limit"):
            tiny("image", tmp_path / "run", **FEW)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_costs_the_oldest_checkpoint_before_the_second_try(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Run(tmp_path)
    for step in (1, 2):
        saving.save(checkpoint(step), run, 2)
    with_free(monkeypatch, 10, 10, 10**9)  # the check and the message of the first try
    with pytest.warns(UserWarning, match=r"step-00000003 cannot be written: the disk is full .* tried once more"):
        saving.save(checkpoint(3), run, 2)
    assert steps_saved(run.checkpoints) == [2, 3]


@pytest.mark.parametrize("keep", [1, 2])
def test_a_disk_that_stays_full_ends_training_with_the_last_checkpoint_whole(
    keep: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Run(tmp_path)
    for step in (1, 2):
        saving.save(checkpoint(step), run, keep)
    with_free(monkeypatch, 10)
    with (
        pytest.warns(UserWarning, match="tried once more"),
        pytest.raises(WriteError, match=r"are free\).*Step 2 is saved; resume with: polydiff resume"),
    ):
        saving.save(checkpoint(3), run, keep)
    assert names(run.checkpoints) == ["step-00000002"]
    assert Checkpoint.load(latest(run.checkpoints)).step == 2


def test_a_checkpoint_that_cannot_be_deleted_is_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    run = Run(tmp_path)
    monkeypatch.setattr(saving, "prune", refused)
    with pytest.warns(UserWarning, match=r"cannot be deleted \(Permission denied\)"):
        saving.save(checkpoint(1), run, 1)
    assert steps_saved(run.checkpoints) == [1]


def refuse(monkeypatch: pytest.MonkeyPatch, part: str) -> None:
    """Let each write of a path that contains this part fail; the disk is full."""
    before = disk.writing

    def writing(path: Path, need: int = 0, draft: Path | None = None) -> Any:
        if part in str(path):
            raise disk.write_error(path, need, OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)))
        return before(path, need, draft)

    monkeypatch.setattr("polydiff.support.files.writing", writing)


def test_samples_records_and_snapshots_that_cannot_be_written_end_no_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = tiny("image", tmp_path / "whole", **FEW, **{"train.ema_snapshots": 2})
    for i, part in enumerate(("samples/step-", "metrics.jsonl", "averages/")):
        with monkeypatch.context() as patch:
            refuse(patch, part)
            with pytest.warns(UserWarning, match="cannot be written: the disk is full.*Training goes on") as found:
                run = tiny("image", tmp_path / f"run-{i}", **FEW, **{"train.ema_snapshots": 2})
            assert sum("goes on" in str(warning.message) for warning in found) == 1
        ours, theirs = (Checkpoint.load(latest(path / "checkpoints")) for path in (run, whole))
        assert all(torch.equal(ours.ema[name], theirs.ema[name]) for name in theirs.ema)


@pytest.mark.parametrize("part", ["model", "ema", "optimizer", "averages"])
def test_no_checkpoint_holds_numbers_that_are_not_finite(part: str, tmp_path: Path) -> None:
    tensors = {name: {"a": torch.ones(3)} for name in ("model", "ema", "optimizer", "averages")}
    tensors[part]["a"][1] = float("nan")
    with pytest.raises(NonFiniteError, match=rf"step-00000007 is not written: {part}\.safetensors: a is not finite"):
        Checkpoint(7, {}, **tensors).save(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_an_average_that_is_not_finite_stops_the_run_at_its_next_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = Session.save_snapshot_if_due

    def spoiled(session: Session, step: int) -> None:
        if step == 3:
            next(session.training.ema.parameters()).data.fill_(float("inf"))
        before(session, step)

    monkeypatch.setattr(Session, "save_snapshot_if_due", spoiled)
    with pytest.raises(NonFiniteError, match=r"step-00000003 is not written: ema"):
        tiny("image", tmp_path / "run", **FEW)
    assert steps_saved(tmp_path / "run" / "checkpoints") == [1, 2]
