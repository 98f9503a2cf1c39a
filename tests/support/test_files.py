"""Paths in commands, and folders that must be free."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from polydiff.support.errors import UserError
from polydiff.support.files import check_free, quoted


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
