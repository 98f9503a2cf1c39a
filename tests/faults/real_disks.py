"""Faults of real disks: limits, folders of others, and small file systems, where they can be mounted."""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache, partial
from pathlib import Path

from children import run_child, run_main
from disk_runs import KEEP, check_end, finish, trained
from trial import shared_folder, workplace

from polydiff.run.folder import steps_saved
from polydiff.training import saving, session

NOBODY = 65534
"""A user who may write only where everybody may."""


def real_faults() -> list[Callable[[], None]]:
    """Return the trials that this process may make."""
    mountable = [small_disk, filling_disk, read_only_disk] if can_mount() else []
    return [limited_files, forbidden_folder, *mountable]


def limited_files() -> None:
    """A real limit on the size of files, below that of a checkpoint's largest: an error before training."""

    def run(argv: list[str]) -> int:
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
        return run_main(argv)

    with workplace() as folder:
        argv = trained(folder / "run")
        ended = run_child(partial(run, argv))
        assert ended.code == 2, ended.err
        assert "ulimit -f" in ended.err, ended.err
        assert not steps_saved(folder / "run" / "checkpoints")
        finish(folder / "run", argv, folder)


@contextmanager
def mounted(folder: Path, size: int) -> Iterator[Path]:
    """Mount a small file system on a folder."""
    folder.mkdir()
    mount("-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder))
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def mount(*args: str) -> None:
    """Call mount(8)."""
    subprocess.run(["mount", *args], check=True, capture_output=True)


@cache
def can_mount() -> bool:
    """Return whether this process may mount file systems."""
    with workplace() as folder, suppress(subprocess.CalledProcessError, FileNotFoundError), mounted(folder / "x", 4096):
        return True
    return False


def small_disk() -> None:
    """A disk without room for a run is an error before training; grown, it takes the run."""
    with workplace() as folder, mounted(folder / "disk", 300_000) as disk:
        argv = trained(disk / "run")
        ended = run_child(partial(run_main, argv))
        check_end(ended, disk)
        assert ended.code == 2, ended.err
        assert "has no room for the run" in ended.err, ended.err
        mount("-o", "remount,size=50m", str(disk))
        finish(disk / "run", argv, folder)


def filling_disk() -> None:
    """A disk that others fill while the run trains: a checkpoint is tried twice, and the run is resumed."""

    def run(argv: list[str], disk: Path) -> int:
        saving.WAIT = 0.0
        before = saving.save

        def fill(*args: object) -> Path:
            (disk / "others").write_bytes(bytes(max(0, shutil.disk_usage(disk).free - 8192)))
            return before(*args)  # type: ignore[arg-type]

        counted: list[int] = []

        def third(*args: object) -> Path:
            counted.append(1)
            return fill(*args) if len(counted) == 3 else before(*args)  # type: ignore[arg-type]

        session.save = third
        return run_main(argv)

    with workplace() as folder, mounted(folder / "disk", 20_000_000) as disk:
        argv = trained(disk / "run", *KEEP[1])
        ended = run_child(partial(run, argv, disk))
        check_end(ended, disk)
        assert ended.code == 2, ended.err
        assert "Step 4 is saved; resume with: polydiff resume" in ended.err, ended.err
        assert steps_saved(disk / "run" / "checkpoints") == [4]
        (disk / "others").unlink()
        finish(disk / "run", argv, folder)


def read_only_disk() -> None:
    """A disk that becomes read-only between two sessions."""
    with workplace() as folder, mounted(folder / "disk", 20_000_000) as disk:
        run = disk / "run"
        ended = run_child(partial(run_main, trained(run, steps=2)))
        assert ended.code == 0, ended.err
        mount("-o", "remount,ro", str(disk))
        for argv in (["resume", str(run), "train.steps=6"], ["report", str(run)], ["sample", str(run), "-n", "2"]):
            ended = run_child(partial(run_main, argv))
            check_end(ended, disk)
            assert ended.code == 2, ended.err
            assert "the file system is read-only" in ended.err, ended.err
        mount("-o", "remount,rw", str(disk))
        ended = run_child(partial(run_main, ["resume", str(run), "train.steps=6", "--judge", "8"]))
        assert ended.code == 0, ended.err


def forbidden_folder() -> None:
    """A folder of another user."""

    def run(argv: list[str]) -> int:
        if os.geteuid() == 0:
            os.setuid(NOBODY)
        return run_main(argv)

    with workplace() as folder:
        for place in (shared_folder(), folder):
            place.chmod(0o755)
        (folder / "theirs").mkdir(mode=0o555)
        ended = run_child(partial(run, trained(folder / "theirs" / "run")))
        check_end(ended, folder / "theirs")
        assert ended.code == 2, ended.err
        assert "permission is denied" in ended.err, ended.err
