"""Tests of `polydiff.domains.audio.data.index`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
from audio_files_cases import RATE, folder_of, headers, settings, sound, write

from polydiff.contract.data.quarantine import Quarantine
from polydiff.domains.audio.data import index as indexing
from polydiff.domains.audio.data.catalogue import catalogue
from polydiff.domains.audio.data.folder import Folder
from polydiff.support.errors import UserError


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


def reason_for(root: Path) -> str:
    """The reason why the sound `odd` under a folder is excluded."""
    quarantine = Quarantine(str(root), "sounds")
    indexing.index(catalogue(root, quarantine), root, RATE, quarantine)
    ((name, reason),) = quarantine.reasons.items()
    assert name.startswith("odd")
    return reason


def cut(path: Path) -> None:
    data = write(path, sound(20_000)).read_bytes()
    path.write_bytes(data[: len(data) // 2])


def without_a_length(path: Path) -> None:
    data = bytearray(write(path, sound(2000)).read_bytes())
    data[21:26] = (int.from_bytes(data[21:26]) >> 36 << 36).to_bytes(5)
    path.write_bytes(data)


def of_rate(path: Path, rate: int) -> None:
    data = bytearray(write(path, sound(2000)).read_bytes())
    data[24:28] = rate.to_bytes(4, "little")
    path.write_bytes(data)


def of(path: Path, x: np.ndarray, subtype: str = "FLOAT") -> None:
    soundfile.write(str(path), x, RATE, subtype=subtype)


ODD = {
    "cut.wav": (cut, "truncated: its header states"),
    "cut.aiff": (cut, "truncated: its header states"),
    "cut.flac": (cut, "shorter than its header states"),
    "open.flac": (without_a_length, "does not state its length"),
    "slow.wav": (lambda path: of_rate(path, 7), "its sample rate of 7 Hz is outside 100 to 1000000 Hz"),
    "fast.wav": (lambda path: of_rate(path, 1_000_003), "its sample rate of 1000003 Hz is outside"),
    "loud.wav": (lambda path: of(path, sound(2000)[0].numpy() * 1e38), "far beyond full scale"),
    "shorts.wav": (lambda path: of(path, sound(2000)[0].numpy() * 32767), "divide by 32768"),
    "longs.wav": (lambda path: of(path, sound(2000)[0].numpy() * 2.0**31), "divide by 2147483648"),
    "double.wav": (lambda path: of(path, sound(2000)[0].numpy() * 1e300, "DOUBLE"), "too large for float32"),
    "inf.wav": (lambda path: of(path, np.where(np.arange(2000) == 9, np.inf, 0.1)), "not finite"),
    "constant.wav": (lambda path: of(path, np.full(2000, 0.25)), "silent: all samples are 0.25"),
    "constant.flac": (lambda path: write(path, sound(300_000) * 0 + 0.25), "silent: all samples are 0.25"),
}


@pytest.mark.filterwarnings("ignore:overflow")
@pytest.mark.parametrize("name", ODD)
def test_a_sound_that_cannot_be_used_has_its_reason(tmp_path: Path, name: str) -> None:
    folder_of(tmp_path, 3)
    make, reason = ODD[name]
    make(tmp_path / f"odd-{name}")
    assert reason in reason_for(tmp_path)


@pytest.mark.parametrize("error", [KeyError("x"), EOFError(), AssertionError("no"), TypeError()])
def test_every_error_of_reading_is_a_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    folder_of(tmp_path, 3)
    write(tmp_path / "odd.wav", sound(500))
    look = indexing.look

    def failing(place: indexing.Place) -> indexing.Facts:
        if place.path.name == "odd.wav":
            raise error
        return look(place)

    monkeypatch.setattr(indexing, "look", failing)
    assert reason_for(tmp_path) == (str(error) or type(error).__name__)


def test_usable_sounds_with_a_flaw_are_counted(tmp_path: Path) -> None:
    folder_of(tmp_path, 40)
    of(tmp_path / "offset.wav", sound(3000)[0].numpy() * 0.5 + 0.3)
    write(tmp_path / "x.ogg", sound(90_000))
    one = (tmp_path / "x.ogg").read_bytes()
    (tmp_path / "x.ogg").write_bytes(one[: len(one) * 2 // 3])
    (tmp_path / "y.ogg").write_bytes(one + one)
    for _ in range(2):  # measured, and from the cache
        notes = Folder(settings(tmp_path)).quarantine.notes
        assert notes["offset"] == "1 have a DC offset above 10% of full scale"
        assert notes["cut"].startswith("1 are Ogg files without an end")
        assert notes["chained"].startswith("1 are Ogg files of several streams")
        assert notes.keys() == {"offset", "cut", "chained"}


@pytest.mark.parametrize(("scale", "hint"), [(32767.0, "16 bits, divide by 32768"), (2.0**31, "32 bits")])
def test_an_array_on_the_scale_of_integers_is_an_error_that_says_what_to_divide_by(
    tmp_path: Path, scale: float, hint: str
) -> None:
    clips = np.stack([sound(3000, seed=i)[0].numpy() for i in range(12)])
    np.save(tmp_path / "a.npy", clips * np.float32(scale))
    with pytest.raises(UserError, match=r"12 of 12 sounds .* cannot be used") as raised:
        Folder(settings(tmp_path / "a.npy"))
    assert hint in str(raised.value)
    np.save(tmp_path / "a.npy", (clips * 32767).astype(np.int16))
    assert Folder(settings(tmp_path / "a.npy")).quarantine.used == 12
