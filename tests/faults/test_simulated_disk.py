"""The trials of crashes can fail: a save that flushes less is caught, and so is a change that goes unseen."""

from __future__ import annotations

import posix
from collections.abc import Iterator
from pathlib import Path

import pytest
from kinds import crash_points
from simulated_disk import Disk, recorded, write
from trial import run_all, trials_of

from polydiff.support import files, replace


@pytest.fixture
def _afresh() -> Iterator[None]:
    crash_points.calls_of.cache_clear()
    yield
    crash_points.calls_of.cache_clear()


@pytest.mark.usefixtures("_afresh")
@pytest.mark.parametrize("name", ["sync_file", "sync_folder"])
def test_a_save_that_does_not_flush_fails(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (files, replace):
        monkeypatch.setattr(module, name, lambda path: None)
    assert run_all(trials_of("crash_points", "push")).failures


def test_a_loss_of_power_keeps_what_was_flushed_alone(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "disk" / "a").write_bytes(b"old")
    disk = Disk(tmp_path / "disk")
    with recorded() as calls:
        (tmp_path / "disk" / "a").write_bytes(b"new")
        (tmp_path / "disk" / "b").write_bytes(b"flushed")
        replace.sync_file(tmp_path / "disk" / "b")
        replace.sync_folder(tmp_path / "disk")
        (tmp_path / "disk" / "b").rename(tmp_path / "disk" / "c")
    for call in calls:
        disk.play(call)
    for survives, expected in ((False, {"a": b"old", "b": b"flushed"}), (True, {"a": b"new", "c": b"flushed"})):
        folder = tmp_path / str(survives)
        write(disk.content, folder, lambda survives=survives: survives)
        assert {path.name: path.read_bytes() for path in folder.iterdir()} == expected


def test_a_call_that_is_not_recorded_is_noticed(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="were seen"), recorded():
        posix.mkdir(tmp_path / "x")
