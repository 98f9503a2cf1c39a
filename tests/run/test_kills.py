"""Kills: a run that has a whole checkpoint has one at every moment, and its next start sweeps what was left."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
import torch
from crashes import Killed, faults
from tiny_runs import assert_same_run, tiny

from polydiff.run.checkpoint import Checkpoint, latest, prune
from polydiff.run.folder import Run, steps_saved
from polydiff.support.errors import UserError
from polydiff.support.replace import DRAFT
from polydiff.training.trainer import resume

FEW = {"train.steps": 2, "train.checkpoint_every": 1, "train.keep": 1, "train.sample_every": 100}


def checkpoint(step: int) -> Checkpoint:
    tensors = [{"a.weight": torch.full((3, 4), float(step))} for _ in range(3)]
    return Checkpoint(step, {"config": {"seed": 1}, "statistics": {"std": 0.5}}, *tensors)


def drafts(folder: Path) -> list[str]:
    return [path.name for path in folder.rglob(".*") if DRAFT.fullmatch(path.name)]


def save_and_prune(folder: Path) -> None:
    checkpoint(20).save(folder)
    prune(folder, 1)


@pytest.fixture(scope="module")
def short(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny("image", tmp_path_factory.mktemp("short") / "run", **FEW)


def resume_until_killed(run: Path, k: int) -> int:
    """Resume to one step more and return the number of calls; the process is killed at call k."""
    with faults(k) as found, suppress(Killed):
        resume(run, steps=3)
    return found.calls


def test_a_run_resumed_to_more_steps_always_has_a_whole_checkpoint(
    short: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("polydiff.training.session.Session.show", lambda self: None)
    shutil.copytree(short, tmp_path / "count")
    calls = resume_until_killed(tmp_path / "count", -1)
    assert calls > 20
    for k in range(calls):
        run = tmp_path / str(k)
        shutil.copytree(short, run)
        resume_until_killed(run, k)
        assert Checkpoint.load(latest(run / "checkpoints")).step in (2, 3)
        if k % 8 == 0 or (run / "goal.json").exists() != ((tmp_path / str(k - 1)) / "goal.json").exists():
            resume(run)  # at some of the calls, since it takes a second
            done = steps_saved(run / "checkpoints")
            assert done == ([3] if (run / "goal.json").exists() else [2])
            assert drafts(run) == []
        shutil.rmtree(tmp_path / str(k - 2), ignore_errors=True)


def killed_at_call(k: int) -> Callable[[Path], None]:
    def begin(run: Path) -> None:
        with faults(k), suppress(Killed):
            tiny("image", run, **{**FEW, "train.checkpoint_every": 2})

    return begin


def test_a_run_killed_before_its_first_checkpoint_is_begun_again_by_the_same_command(
    short: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("polydiff.training.session.SHOWN", 1)
    for k in (*range(14), 20, 26):
        run = tmp_path / str(k) / "run"
        killed_at_call(k)(run)
        if steps_saved(run / "checkpoints"):
            continue
        tiny("image", run, **FEW)
        assert drafts(run) == []
    assert_same_run(short, run)


def test_files_and_links_named_like_steps_or_drafts_harm_no_save(tmp_path: Path) -> None:
    checkpoint(10).save(tmp_path)
    (tmp_path / "step-00000099").write_text("")
    (tmp_path / ".step-00000099").write_text("")
    (tmp_path / ".step-x").symlink_to("/dev/zero")
    (tmp_path / "step-00000098").symlink_to(tmp_path / "absent")
    save_and_prune(tmp_path)
    assert steps_saved(tmp_path) == [20]
    assert Checkpoint.load(latest(tmp_path)).step == 20


def test_a_longer_goal_survives_a_kill_and_checkpoints_are_never_rewritten(short: Path, tmp_path: Path) -> None:
    run = shutil.copytree(short, tmp_path / "run")
    before = latest(run / "checkpoints").stat().st_ino

    def killed(*_: object) -> Path:
        raise Killed

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("polydiff.training.trainer.finish", killed)
        with pytest.raises(Killed):
            resume(run, steps=3)
    assert latest(run / "checkpoints").stat().st_ino == before
    resume(run)
    assert steps_saved(run / "checkpoints") == [3]
    resume(run)  # the goal of before is reached and changes nothing
    assert "steps: 3  # resume" in Run(run).resolved.read_text()


@pytest.mark.parametrize("text", ["{", "[]", '{"from": 2}', '{"from": 2, "steps": 1e9}', '{"from": 5, "steps": 4}'])
def test_a_damaged_goal_raises_an_error_that_names_the_file(text: str, short: Path, tmp_path: Path) -> None:
    run = shutil.copytree(short, tmp_path / "run")
    Run(run).goal.write_text(text)
    with pytest.raises(UserError, match=r"goal\.json"):
        resume(run)
