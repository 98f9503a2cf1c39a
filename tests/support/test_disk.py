"""Errors of a disk become one message that names the path, the space and what to do; others stay as they are."""

from __future__ import annotations

import errno
import os
import resource
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest

from polydiff.run.folder import Run
from polydiff.support.disk import CAUSES, WriteError, check_space, free_space, in_units, writing
from polydiff.support.files import append, delete, folder_atomic, write_atomic


def failing(number: int, filename: Path | None = None) -> OSError:
    return OSError(number, os.strerror(number), *([] if filename is None else [str(filename)]))


@pytest.mark.parametrize("number", sorted(CAUSES))
def test_each_error_names_the_path_the_space_and_what_to_do(number: int, tmp_path: Path) -> None:
    path = tmp_path / "a" / "b"
    with pytest.raises(WriteError) as found, writing(path, 2_500_000):
        raise failing(number)
    what, advice = CAUSES[number]
    text = str(found.value)
    assert text.startswith(f"{path} cannot be written: {what} (2.5 MB are needed, ")
    assert text.endswith(f" are free). {advice}")
    assert (found.value.errno, found.value.strerror) == (number, os.strerror(number))


def test_errors_of_other_files_and_other_kinds_stay_as_they_are(tmp_path: Path) -> None:
    path, draft = tmp_path / "run" / "a", tmp_path / "run" / ".a.tmp"
    for error in (failing(errno.EIO, tmp_path / "data" / "x.png"), failing(errno.ENOENT), OSError("of a library")):
        with pytest.raises(OSError) as found, writing(path, draft=draft):  # noqa: PT011 - it is compared below
            raise error
        assert found.value is error
    for name in (draft / "x", draft, path, path.parent, tmp_path):
        with pytest.raises(WriteError, match="the disk reports an error"), writing(path, draft=draft):
            raise failing(errno.EIO, name)


def test_free_space_is_that_of_the_nearest_folder_that_exists(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Path] = []

    def usage(place: Path) -> SimpleNamespace:
        asked.append(Path(place))
        if not Path(place).exists():
            raise FileNotFoundError
        return SimpleNamespace(total=100, free=7)

    monkeypatch.setattr(shutil, "disk_usage", usage)
    assert free_space(tmp_path / "a" / "b") == 7
    assert asked == [tmp_path / "a" / "b", tmp_path / "a", tmp_path]
    check_space(tmp_path / "a", 7)
    with pytest.raises(WriteError, match=r"the disk is full \(8 bytes are needed, 7 bytes are free\)"):
        check_space(tmp_path / "a", 8)
    monkeypatch.setattr(shutil, "disk_usage", lambda place: SimpleNamespace(total=0, free=0))
    assert free_space(tmp_path) is None
    check_space(tmp_path, 10**18)


def test_sizes_read_as_people_write_them() -> None:
    sizes = (0, 999, 1000, 2_500_000, 999_700_000, 3 * 10**9, 5 * 10**16)
    assert [in_units(size) for size in sizes] == [
        "0 bytes", "999 bytes", "1 kB", "2.5 MB", "1 GB", "3 GB", "5e+04 TB",
    ]  # fmt: skip


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """Limit the size of the files that this process may write, as `ulimit -f` does."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_real_limit_leaves_the_old_file_and_folder_whole(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("old")
    with files_of_at_most(1000):
        with pytest.raises(WriteError, match=r"file cannot be written: the file would be larger .*ulimit -f"):
            write_atomic(tmp_path / "file", bytes(2000))
        with pytest.raises(WriteError, match=r"folder cannot be written"), folder_atomic(tmp_path / "folder") as draft:
            (draft / "x").write_bytes(bytes(2000))
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    assert (tmp_path / "file").read_text() == "old"


def test_a_line_is_appended_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "lines"
    append(path, "a" * 900 + "\n")
    with files_of_at_most(1000), pytest.raises(WriteError, match="lines cannot be written"):
        append(path, "b" * 900 + "\n")
    append(path, "c\n")
    assert path.read_text() == "a" * 900 + "\nc\n"


@pytest.fixture
def undeletable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make every deletion of a file fail, as a disk does that has become read-only."""

    def unlink(path: str, **kwargs: object) -> None:
        raise failing(errno.EROFS)

    monkeypatch.setattr(os, "unlink", unlink)


@pytest.mark.usefixtures("undeletable")
def test_a_file_that_cannot_be_deleted_is_named_with_the_reason(tmp_path: Path) -> None:
    (tmp_path / "goal.json").write_text("{}")
    with pytest.raises(WriteError, match=r"goal\.json cannot be written: .*read-only"):
        delete(tmp_path / "goal.json")


@pytest.mark.usefixtures("undeletable")
def test_a_lock_that_cannot_be_deleted_does_not_hide_the_error_that_ended_the_run(tmp_path: Path) -> None:
    run = Run(tmp_path / "run")
    with pytest.raises(WriteError, match="config"), run.locked():
        raise WriteError("config cannot be written", failing(errno.ENOSPC))
    assert [path.name for path in run.path.iterdir()] == [".lock"]


def test_what_is_not_there_need_not_be_deleted(tmp_path: Path) -> None:
    delete(tmp_path / "nothing")
