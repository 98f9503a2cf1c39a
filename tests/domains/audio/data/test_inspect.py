"""A folder of several formats with damaged files: the sounds used, the report, and that no file changes."""

from __future__ import annotations

import json
import os
import struct
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

import polydiff
from polydiff.checkup.data import inspect
from polydiff.cli import main
from polydiff.domains.audio.config import AudioData
from polydiff.domains.audio.data.folder import Folder
from polydiff.support.errors import UserError

RATE = 8000
FORMATS = ("wav", "flac", "ogg", "opus", "mp3", "aiff")
TINY = {"data.length": 512, "train.steps": 3, "train.batch_size": 8, "backbone.channels": 16, "sample.steps": 2}


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POLYDIFF_CACHE", str(tmp_path_factory.mktemp("cache")))
    monkeypatch.setenv("POLYDIFF_KERNELS", "0")  # not to be compiled anew for each test


def sound(seed: int, frames: int = 2400) -> np.ndarray:
    t = np.arange(frames) / RATE
    g = np.random.default_rng(seed)
    return (0.3 * np.sin(2 * np.pi * g.uniform(100, 800) * t) + 0.01 * g.standard_normal(frames)).astype(np.float32)


def write(path: Path, x: np.ndarray, subtype: str | None = None) -> Path:
    form = ("OGG", "OPUS") if path.suffix == ".opus" else (None, subtype)
    soundfile.write(str(path), x, RATE, format=form[0], subtype=form[1])
    return path


def empty(path: Path) -> None:
    path.with_suffix(".mp3").write_bytes(b"")


def words(path: Path) -> None:
    path.with_suffix(".wav").write_text("this is no sound\n" * 100)


def noise(path: Path) -> None:
    path.with_suffix(".ogg").write_bytes(np.random.default_rng(0).bytes(3000))


def cut_short(path: Path) -> None:
    data = write(path.with_suffix(".flac"), sound(1)).read_bytes()
    path.with_suffix(".flac").write_bytes(data[: len(data) // 2])


def lying_header(path: Path) -> None:
    """Change the number of frames of a FLAC file, the 36 bits from byte 21 on."""
    data = bytearray(write(path.with_suffix(".flac"), sound(2)).read_bytes())
    data[21:26] = struct.pack(">Q", (struct.unpack(">Q", b"\0\0\0" + data[21:26])[0] >> 36 << 36) | 90_000)[3:]
    path.with_suffix(".flac").write_bytes(data)


def not_a_number(path: Path) -> None:
    write(path.with_suffix(".wav"), np.where(np.arange(2400) == 1234, np.nan, sound(3)), "FLOAT")


def infinite(path: Path) -> None:
    write(path.with_suffix(".wav"), np.where(np.arange(2400) == 77, -np.inf, sound(4)), "DOUBLE")


def silent(path: Path) -> None:
    write(path.with_suffix(".flac"), np.zeros(2400))


def without_channels(path: Path) -> None:
    data = bytearray(write(path.with_suffix(".wav"), sound(5)).read_bytes())
    data[22:24] = b"\0\0"
    path.with_suffix(".wav").write_bytes(data)


def without_frames(path: Path) -> None:
    write(path.with_suffix(".wav"), np.zeros(0))


def a_folder(path: Path) -> None:
    path.with_suffix(".wav").mkdir()


def broken_link(path: Path) -> None:
    path.with_suffix(".wav").symlink_to("nowhere.wav")


DAMAGE: tuple[Callable[[Path], None], ...] = (
    empty,
    words,
    noise,
    cut_short,
    lying_header,
    not_a_number,
    infinite,
    silent,
    without_channels,
    without_frames,
    a_folder,
    broken_link,
)


def fill(root: Path, n: int, damaged: int) -> Path:
    """Write n files of six formats, `damaged` of them damaged in different ways."""
    (root / "deep").mkdir(parents=True)
    for i in range(n):
        place = (root / "deep" if i % 3 else root) / f"{i:05d}"
        if i < damaged:
            DAMAGE[i % len(DAMAGE)](place)
        else:
            write(place.with_suffix(f".{FORMATS[i % 6]}"), sound(i))
    return root


def state(root: Path) -> dict[str, tuple[int, int, bytes]]:
    """Return time, mode and bytes of all files under a folder."""
    paths = sorted(root.rglob("*"))
    return {
        str(path): (path.lstat().st_mtime_ns, path.lstat().st_mode, path.read_bytes() if path.is_file() else b"")
        for path in paths
    }


def check_training(root: Path, run: Path, found: int, damaged: int) -> None:
    """Train a few steps and check the reported files."""
    before = state(root)
    with pytest.warns(UserWarning, match=f"{damaged} of {found} sounds"):
        polydiff.train("audio", run, overrides={"data.path": root, **TINY})
    report = json.loads((run / "data.json").read_text())
    assert (report["found"], report["used"], len(report["excluded"])) == (found, found - damaged, damaged)
    assert all(Path(name).stem < f"{damaged:05d}" for name in report["excluded"])
    assert state(root) == before


def test_a_folder_with_a_few_damaged_files(tmp_path: Path) -> None:
    check_training(fill(tmp_path / "data", 260, len(DAMAGE)), tmp_path / "run", 260, len(DAMAGE))


@pytest.mark.slow
def test_two_thousand_files_of_six_formats(tmp_path: Path) -> None:
    check_training(fill(tmp_path / "data", 2000, 60), tmp_path / "run", 2000, 60)


@pytest.mark.parametrize("n", [100, pytest.param(2000, marks=pytest.mark.slow)])
def test_a_folder_with_many_damaged_files_is_not_trained_on(tmp_path: Path, n: int) -> None:
    root, many = fill(tmp_path / "data", n, n * 6 // 100), n * 6 // 100
    before = state(root)
    with pytest.raises(UserError, match=f"{many} of {n} sounds") as raised:
        polydiff.train("audio", tmp_path / "run", overrides={"data.path": root, **TINY})
    assert str(raised.value).count("\n  ") == min(many, 20) + (many > 20)
    assert state(root) == before


@pytest.mark.parametrize("damage", DAMAGE)
def test_each_damage_has_its_reason(tmp_path: Path, damage: Callable[[Path], None]) -> None:
    for i in range(40):
        write(tmp_path / f"{i:05d}.flac", sound(i))
    damage(tmp_path / "x")
    with pytest.warns(UserWarning, match="1 of 41"):
        folder = Folder(AudioData(path=tmp_path, sample_rate=RATE, length=256))
    ((name, reason),) = folder.quarantine.reasons.items()
    assert name.startswith("x.")
    assert "\n" not in reason
    assert str(tmp_path) not in reason
    expected = {
        "cut_short": "shorter than its header states",
        "lying_header": "shorter than its header states",
        "not_a_number": "not finite",
        "infinite": "not finite",
        "silent": "silent",
        "without_frames": "no samples",
        "a_folder": "folder",
        "broken_link": "broken link",
    }
    if damage.__name__ in expected:
        assert expected[damage.__name__] in reason


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() == 0, reason="root may read everything")
def test_files_without_permission_are_excluded(tmp_path: Path) -> None:
    for i in range(60):
        write(tmp_path / f"{i:05d}.flac", sound(i))
    (tmp_path / "00003.flac").chmod(0)
    (tmp_path / "locked").mkdir(mode=0)
    with pytest.warns(UserWarning, match="Permission denied"):
        folder = Folder(AudioData(path=tmp_path, sample_rate=RATE, length=256))
    assert set(folder.quarantine.reasons) == {"00003.flac", "locked"}


def test_unusual_but_valid_files_are_used(tmp_path: Path) -> None:
    for i in range(4):
        write(tmp_path / f"{i}.flac", sound(i))
    (tmp_path / "misnamed.wav").write_bytes((tmp_path / "0.flac").read_bytes())
    write(tmp_path / "clipped.wav", np.sign(sound(9)) * 0.9999)
    write(tmp_path / "one.wav", sound(7, 1))
    folder = Folder(AudioData(path=tmp_path, sample_rate=RATE, length=256))
    assert folder.quarantine.used == folder.quarantine.found == 7
    assert (
        folder.quarantine.summary()
        == "7 sounds found: 7 used, 0 excluded; 1 have the same samples as another one; 1 are clipped."
    )


def test_data_check(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = fill(tmp_path / "few", 250, len(DAMAGE))
    assert main(["data", "check", str(root), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["domain"] == "audio"
    assert (report["found"], report["used"], len(report["excluded"])) == (250, 238, 12)
    assert report["advice"] == {"data.sample_rate": RATE, "data.length": 2048}
    assert sum(report["facts"]["files"].values()) == 238
    assert main(["data", "check", str(root)]) == 0
    text = capsys.readouterr().out
    assert "250 sounds found: 238 used, 12 excluded." in text
    assert f"polydiff train --domain audio data.path={root} data.sample_rate=8000 data.length=2048" in text
    many = fill(tmp_path / "many", 100, len(DAMAGE))
    assert main(["data", "check", str(many)]) == 2
    text = capsys.readouterr().out
    assert text.count("\n  ") >= len(DAMAGE)
    assert "100 sounds found: 88 used, 12 excluded." in text
    assert "The data cannot be trained on:\n  12 of 100 sounds" in text


def test_data_check_prints_formats(tmp_path: Path) -> None:
    (tmp_path / "f").mkdir()
    for i in range(4):
        write(tmp_path / "f" / f"a b c {i}.wav", sound(i))
    np.save(tmp_path / "x.npy", np.stack([sound(i) for i in range(3)]))
    assert inspect("audio", tmp_path / "f", {}).facts["files"] == {".wav": 4}
    assert inspect("audio", tmp_path / "x.npy", {"data.sample_rate": "8000"}).facts["files"] == {".npy": 3}


def test_data_check_of_a_missing_path(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "check", str(tmp_path / "gone")]) == 2
    assert "There is no" in capsys.readouterr().err
    (tmp_path / "letter.xyzzy").write_text("hello")
    assert main(["data", "check", str(tmp_path)]) == 2
    assert "Set --domain NAME" in capsys.readouterr().err
    assert main(["data", "check", str(tmp_path), "--domain", "audio"]) == 2
    assert "contains no sound file" in capsys.readouterr().out
    assert main(["data", "check", str(tmp_path), "--domain", "image"]) == 2
    assert "holds 0 images" in capsys.readouterr().out


def test_data_check_examines_every_task(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.stack([sound(i) for i in range(12)]))
    facts = inspect("audio", tmp_path / "a.npy", {"data.sample_rate": "8000"}).facts
    assert facts["task=upsample"] == facts["task=vocode"] == "can be trained"
    tails = np.full((12, 16384), 0.3, np.float32)
    tails[:, -1] = 0
    np.save(tmp_path / "b.npy", tails)
    found = inspect("audio", tmp_path / "b.npy", {"data.length": "256", "data.sample_rate": "8000"})
    assert not found.problems
    assert "cannot be trained: " in found.facts["task=upsample"]
    assert "contain nothing above 2000 Hz" in found.facts["task=upsample"]


def test_data_check_prints_ignored_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for i in range(4):
        write(tmp_path / f"{i}.wav", sound(i))
    (tmp_path / "words.txt").write_text("x")
    assert main(["data", "check", str(tmp_path)]) == 0
    assert (
        "4 sounds found: 4 used, 0 excluded; captions and tables beside sounds are not read" in capsys.readouterr().out
    )


def test_data_check_advises_for_very_low_sample_rates(tmp_path: Path) -> None:
    for i in range(4):
        soundfile.write(str(tmp_path / f"{i}.wav"), sound(i), 400)
    found = inspect("audio", tmp_path, {})
    assert not found.problems
    assert (found.advice["data.sample_rate"], found.advice["data.upsample"]) == (1000, True)


def test_columns_that_are_conditions_and_those_that_could_be_are_named(tmp_path: Path) -> None:
    rows = ["path,speaker,tempo,text,source"]
    for i in range(30):
        write(tmp_path / f"{i}.wav", sound(i))
        rows.append(f"{i}.wav,{'ab'[i % 2]},{60 + i},sentence {i},constant")
    (tmp_path / "table.csv").write_text("\n".join(rows))
    facts = inspect("audio", tmp_path / "table.csv", {"data.conditions": "tempo"}).facts
    assert list(facts["conditions"]) == ["tempo"]
    names, _, how = facts["other columns"].partition("; ")
    assert names.startswith("speaker")
    assert how.startswith("data.conditions=tempo,speaker")
    assert facts["largest principal standard deviation"] > 1
    assert "sigma_max" in facts
    assert (
        "other columns" not in inspect("audio", tmp_path / "table.csv", {"data.conditions": "tempo,speaker,text"}).facts
    )


def test_a_text_that_differs_for_each_sound_is_no_possible_condition(tmp_path: Path) -> None:
    rows = ["path,text"]
    for i in range(120):
        write(tmp_path / f"{i}.wav", sound(i, 600))
        rows.append(f"{i}.wav,sentence {i}")
    (tmp_path / "table.csv").write_text("\n".join(rows))
    assert "other columns" not in inspect("audio", tmp_path / "table.csv", {}).facts
