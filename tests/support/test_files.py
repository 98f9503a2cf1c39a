"""Files: a crash or a full disk at any call leaves the old content or the new, and no draft stays after a sweep."""

from __future__ import annotations

import errno
import os
import shlex
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from crashes import Killed, faults, names

from polydiff.support import replace
from polydiff.support.disk import WriteError
from polydiff.support.errors import UserError
from polydiff.support.files import check_free, folder_atomic, quoted, same_files, write_atomic
from polydiff.support.replace import draft_of, exchanged, hold, remove_drafts, remove_folder


def new_file(path: Path) -> None:
    write_atomic(path, "new")


def new_folder(path: Path) -> None:
    with folder_atomic(path) as draft:
        (draft / "a").write_text("new")
        (draft / "b").mkdir()
        (draft / "b" / "c").write_text("new")


def content(path: Path) -> list[str]:
    return [file.read_text() for file in sorted(path.rglob("*")) if file.is_file()] if path.is_dir() else []


def number_of_calls(change: Callable[[Path], None], path: Path, exchange: bool) -> int:
    with faults(-1, exchange=exchange) as found:
        change(path)
    return found.calls


@pytest.mark.parametrize("exchange", [True, False])
@pytest.mark.parametrize("full", [True, False])
def test_a_replaced_folder_is_whole_after_a_failure_at_any_call(full: bool, exchange: bool, tmp_path: Path) -> None:
    new_folder(tmp_path / "count")
    calls = number_of_calls(new_folder, tmp_path / "count", exchange)
    assert calls > 8
    for k in range(calls):
        path = tmp_path / str(k) / "x"
        path.mkdir(parents=True)
        (path / "a").write_text("old")
        with faults(k, errno.ENOSPC if full else None, exchange):
            with suppress(Killed, OSError):
                new_folder(path)
            if exchange:
                assert content(path) in (["old"], ["new", "new"])
        remove_drafts(path.parent)
        assert content(path) in (["old"], ["new", "new"])
        assert names(path.parent) == ["x"]


@pytest.mark.parametrize("full", [True, False])
def test_a_replaced_file_is_whole_after_a_failure_at_any_call(full: bool, tmp_path: Path) -> None:
    new_file(tmp_path / "count")
    for k in range(number_of_calls(new_file, tmp_path / "count", True)):
        path = tmp_path / str(k) / "x"
        path.parent.mkdir()
        path.write_text("old")
        with faults(k, errno.ENOSPC if full else None), suppress(Killed, OSError):
            new_file(path)
        assert path.read_text() in ("old", "new")
        if not full:
            remove_drafts(path.parent)
        assert names(path.parent) == ["x"]


def test_a_failed_write_leaves_no_draft(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(WriteError, match=r"the disk is full \(3 bytes are needed, .* are free\)"):
        write_atomic(tmp_path / "x", "new")
    assert list(tmp_path.iterdir()) == []


def test_a_deleted_folder_is_whole_or_gone_after_a_kill_at_any_call(tmp_path: Path) -> None:
    for k in range(6):
        path = tmp_path / str(k) / "x"
        new_folder(path)
        with faults(k), suppress(Killed):
            remove_folder(path)
        assert content(path) in ([], ["new", "new"])
        remove_drafts(path.parent)
        assert names(path.parent) in ([], ["x"])


def test_a_link_to_a_folder_is_deleted_alone(tmp_path: Path) -> None:
    new_folder(tmp_path / "folder")
    (tmp_path / "link").symlink_to(tmp_path / "folder")
    remove_folder(tmp_path / "link")
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]
    assert content(tmp_path / "folder") == ["new", "new"]


def test_drafts_are_removed_whatever_they_are_and_other_files_stay(tmp_path: Path) -> None:
    draft_of(tmp_path / "file").write_text("")
    draft_of(tmp_path / "link").symlink_to("/dev/zero")
    draft_of(tmp_path / "folder").mkdir()
    os.mkfifo(draft_of(tmp_path / "fifo"))
    (tmp_path / ".own.tmp").write_text("")
    (tmp_path / ".step-00000004").write_text("")
    remove_drafts(tmp_path)
    assert names(tmp_path) == [".own.tmp", ".step-00000004"]
    remove_drafts(tmp_path / "absent")


def test_a_draft_that_a_process_holds_stays_until_it_ends(tmp_path: Path) -> None:
    with folder_atomic(tmp_path / "folder") as draft:
        (draft / "file").write_text("")
        remove_drafts(tmp_path)
        assert (draft / "file").exists()
    assert names(tmp_path) == ["folder"]
    file = draft_of(tmp_path / "file")
    with file.open("w") as opened:
        hold(opened.fileno())
        remove_drafts(tmp_path)
        assert file.exists()
    remove_drafts(tmp_path)
    assert names(tmp_path) == ["folder"]


def test_without_locks_drafts_are_removed_after_a_day(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(descriptor: int, operation: int) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr("fcntl.flock", refused)
    draft = draft_of(tmp_path / "file")
    draft.write_text("")
    remove_drafts(tmp_path)
    assert draft.exists()
    os.utime(draft, (0, 0))
    remove_drafts(tmp_path)
    assert not draft.exists()


def test_what_dead_processes_left_of_a_folder_goes_when_it_is_written_again(tmp_path: Path) -> None:
    draft_of(tmp_path / "a").mkdir()
    other = draft_of(tmp_path / "b")
    other.mkdir()
    with folder_atomic(tmp_path / "a"):
        pass
    assert names(tmp_path) == [other.name, "a"]


def test_linux_exchanges_two_folders_in_one_step(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / name).touch()
    if not exchanged(tmp_path / "a", tmp_path / "b"):
        pytest.skip("this file system cannot exchange names")
    assert (names(tmp_path / "a"), names(tmp_path / "b")) == (["b"], ["a"])
    assert replace.exchanged(tmp_path / "a", tmp_path / "absent") is False


@pytest.mark.parametrize("name", ["run", "my run", "it's", "-run", "a;b"])
def test_a_quoted_path_is_one_word_that_leads_there_from_the_current_folder(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for here in (tmp_path, tmp_path / name, tmp_path.parent, tmp_path / "elsewhere"):
        here.mkdir(exist_ok=True)
        monkeypatch.chdir(here)
        for path in (tmp_path / name, Path(), Path("..")):
            (word,) = shlex.split(quoted(path))
            assert Path(word).resolve() == path.resolve()
            assert not word.startswith("-")
    monkeypatch.chdir(tmp_path)
    assert quoted(tmp_path / "runs" / "snd") == "runs/snd"


def test_only_absent_paths_and_empty_folders_are_free(tmp_path: Path) -> None:
    check_free(tmp_path / "absent", "Choose.")
    (tmp_path / "empty").mkdir()
    check_free(tmp_path / "empty", "Choose.")
    for path in (tmp_path, Path(__file__)):
        with pytest.raises(UserError, match=r"is not an empty folder\. Choose\."):
            check_free(path, "Choose.")


def test_folders_are_the_same_by_the_names_and_contents_of_their_files(tmp_path: Path) -> None:
    for name in ("one", "other"):
        (tmp_path / name / "inner").mkdir(parents=True)
        (tmp_path / name / "inner" / "a").write_text("same")
    one, other = tmp_path / "one", tmp_path / "other"
    assert same_files(one, other)
    assert not same_files(one, tmp_path / "none")
    (other / "b").write_text("more")
    assert not same_files(one, other)
    assert not same_files(other, one)
    (one / "b").mkdir()
    assert not same_files(one, other)
    (one / "b").rmdir()
    (one / "b").write_text("less")
    assert not same_files(one, other)
