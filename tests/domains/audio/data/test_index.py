"""Tests of `polydiff.domains.audio.data.index`."""

from __future__ import annotations

from pathlib import Path

import pytest
from audio_files_cases import folder_of, headers, sound, write

from polydiff.domains.audio.data import index as indexing


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POLYDIFF_CACHE", str(tmp_path_factory.mktemp("cache")))


def test_without_a_cache_sounds_are_checked_each_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = folder_of(tmp_path / "data", 3)
    (tmp_path / "cache").write_text("a file where a folder should be")
    monkeypatch.setenv("POLYDIFF_CACHE", str(tmp_path / "cache"))
    for _ in range(2):
        with pytest.warns(UserWarning, match=r"cannot be written \(.*POLYDIFF_CACHE"):
            assert len(headers(root)) == 3


def test_headers_are_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder_of(tmp_path, 3)
    first = headers(tmp_path)
    monkeypatch.setattr(indexing, "look", lambda place: pytest.fail(f"{place} was read again"))
    assert headers(tmp_path) == first


def test_a_damaged_index_is_rebuilt_and_a_changed_file_is_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POLYDIFF_CACHE", str(tmp_path / "cache"))
    root = folder_of(tmp_path / "data", 2)
    first = headers(root)
    (memory,) = (tmp_path / "cache" / "audio").iterdir()
    for damage in ("", "[1, 2]", '{"000.wav": [1]}', memory.read_text()[:-5]):
        memory.write_text(damage)
        assert headers(root) == first
    write(root / "000.wav", sound(7777))
    assert headers(root)[0].frames == 7777
