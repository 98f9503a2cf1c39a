"""Layouts of data sets: trees, tables, archives and arrays, and the metadata of their sounds."""

from __future__ import annotations

import io
import json
import math
import re
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from audio_sources_cases import RATE, everything, folder, names, sound, write

from polydiff.contract.data.places import Place
from polydiff.contract.fields import Labels
from polydiff.core.conditions import Classes, Number, Tokens
from polydiff.core.streams import streams
from polydiff.domains.audio.data.crops import read_frames
from polydiff.support.errors import UserError


def saved(x: np.ndarray, many: bool = False) -> bytes:
    """The bytes of a .npy file, or of an .npz file."""
    buffer = io.BytesIO()
    np.savez(buffer, x=x) if many else np.save(buffer, x)
    return buffer.getvalue()


GOOD = saved(np.ones((4, 2000), np.float32))
DAMAGED = {
    "no array": b"no",
    "empty": b"",
    "header of another syntax": GOOD[:12] + b"(" + GOOD[13:],
    "header without an end": GOOD[:10] + b"{'descr': ((((" + GOOD[24:],
    "half": GOOD[:4000],
    "invented shape": GOOD.replace(b"2000), }  ", b"200000), }"),
    "objects": saved(np.array([{}, None])),
    "several": saved(np.ones((4, 2000)), many=True),
    "half of several": saved(np.ones((4, 2000)), many=True)[:3000],
    "damaged list of several": saved(np.ones((4, 2000)), many=True)[:-30] + bytes(30),
}


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POLYDIFF_CACHE", str(tmp_path_factory.mktemp("cache")))


def test_the_layout_of_speech_commands(tmp_path: Path) -> None:
    for word in ("zero", "one", "bed", "_background_noise_"):
        for i in range(6):
            write(tmp_path / word / f"speaker{i}_nohash_0.wav", i)
    (tmp_path / "testing_list.txt").write_text("zero/speaker0_nohash_0.wav\none/speaker0_nohash_0.wav\n")
    (tmp_path / "validation_list.txt").write_text("zero/speaker1_nohash_0.wav\nbed/speaker1_nohash_0.wav\n")
    whole = folder(tmp_path)
    assert names(whole, "test") == ["one/speaker0_nohash_0.wav", "zero/speaker0_nohash_0.wav"]
    assert len(names(whole, "train")) == 14
    assert (whole.quarantine.found, whole.quarantine.used, whole.quarantine.left_out) == (18, 16, 2)
    assert whole.fields == {"label": Labels(("bed", "one", "zero"), (15, 15, 12))}
    digits = folder(tmp_path, only=("zero", "one"))
    assert digits.fields == {"label": Labels(("one", "zero"), (15, 12))}
    assert digits.quarantine.found == 12
    (tmp_path / "testing_list.txt").unlink()
    assert names(folder(tmp_path), "test") == ["bed/speaker1_nohash_0.wav", "zero/speaker1_nohash_0.wav"]


def test_sc09_selects_the_ten_digits(tmp_path: Path) -> None:
    digits = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
    for word in (*digits, "bed"):
        for i in range(2):
            write(tmp_path / word / f"{i}.wav", i)
    (field,) = folder(tmp_path, only=("sc09",)).fields.values()
    assert field.names == tuple(sorted(digits))  # type: ignore[attr-defined]
    with pytest.raises(UserError, match="'sc10'"):
        folder(tmp_path, only=("sc10",))


def test_the_layout_of_ljspeech(tmp_path: Path) -> None:
    for i in range(8):
        write(tmp_path / "wavs" / f"LJ00{i}.wav", i)
    rows = [f"LJ00{i}|He said 1|He said one, {i}" for i in range(8)]
    (tmp_path / "metadata.csv").write_text("\n".join(rows))
    source = folder(tmp_path)
    assert source.fields == {}
    assert len(names(source, "train") + names(source, "test")) == 8
    entry = source.splits["train"][0].entry
    assert entry.columns["normalised"] == f"He said one, {entry.name[-5]}"
    with pytest.raises(UserError, match=r"'normalized'.*Did you mean 'normalised'"):
        folder(tmp_path, conditions=("normalized",))


def test_parts_of_files(tmp_path: Path) -> None:
    for name in "abcd":
        write(tmp_path / f"{name}.flac", ord(name), 2 * RATE)
    lines = [{"path": f"{n}.flac", "start": s, "end": s + 0.5} for n in "abc" for s in (0, 0.25, 1.5)]
    lines += [{"path": "d.flac", "start": 1.0}, {"path": "d.flac", "end": 1.0}]
    (tmp_path / "t.jsonl").write_text("\n".join(map(json.dumps, lines)))
    source = folder(tmp_path / "t.jsonl", length=4000)
    clips = everything(source)
    assert len(clips) == 11
    assert clips["d.flac 1: s"][0].shape == (4000,)
    for split, sounds in source.splits.items():
        for i, each in enumerate(sounds):
            whole = read_frames(Place(tmp_path / each.entry.place.path.name), 0, 2 * RATE)[0]
            start = round(each.entry.start * RATE)
            crops, _ = source.clips(split, [source.starts[split][i]] * 8, streams(0, "crop", range(8)))
            for crop in crops[:, 0]:  # whatever is drawn, the crop contains nothing beyond the part
                room = each.header.frames - 4000
                assert any(torch.equal(crop, whole[start + k : start + k + 4000]) for k in range(room + 1))


def test_parts_of_a_file_stay_in_one_split(tmp_path: Path) -> None:
    parts: list[dict[str, float]] = [{"start": 0}, {"start": 0.05}, {"end": 0.06}]
    files = [write(tmp_path / f"{i}.wav", i).name for i in range(30)]
    (tmp_path / "t.jsonl").write_text("\n".join(json.dumps({"path": f, **part}) for f in files for part in parts))
    source = folder(tmp_path / "t.jsonl", test_share=0.4)
    train, test = ({sound.entry.file for sound in source.splits[split]} for split in ("train", "test"))
    assert train | test == {*files}
    assert not train & test
    assert source.quarantine.used == 90


@pytest.mark.parametrize("packed", [False, True], ids=["json beside sounds", "json in an archive"])
def test_splits_in_json_are_obeyed(tmp_path: Path, packed: bool) -> None:
    sides = {**dict.fromkeys(range(5), "test"), **dict.fromkeys(range(5, 25), "train"), 25: "fold 3"}
    for i, side in sides.items():
        write(tmp_path / "a" / f"{i:02d}.wav", i)
        (tmp_path / "a" / f"{i:02d}.json").write_text(json.dumps({"split": side}))
    if packed:
        with tarfile.open(tmp_path / "a.tar", "w") as archive:
            archive.add(tmp_path / "a", "a")
    with pytest.warns(UserWarning, match="25.wav: .*split=fold 3 is not one of train"):
        source = folder(tmp_path / ("a.tar" if packed else "a"))
    found = {name: [int(sound.entry.name[-6:-4]) for sound in part] for name, part in source.splits.items()}
    assert found == {"test": [*range(5)], "train": [*range(5, 25)]}


def test_invalid_rows_are_excluded(tmp_path: Path) -> None:
    good = [json.dumps({"path": write(tmp_path / f"{i}.wav", i).name}) for i in range(120)]
    bad = [
        '{"path": ',
        "[1]",
        '{"file": "0.wav"}',
        '{"path": "0.wav", "split": "maybe"}',
        '{"path": "gone.wav"}',
        '{"path": "0.wav", "start": 5}',
        good[3],
    ]
    (tmp_path / "t.jsonl").write_text("\n".join(good + bad))
    with pytest.raises(UserError, match="7 of 127") as raised:
        folder(tmp_path / "t.jsonl")
    assert str(raised.value).count("t.jsonl, line") == 5
    (tmp_path / "t.jsonl").write_text("\n".join(good + bad[:6]))
    with pytest.warns(UserWarning, match="6 of 126"):
        source = folder(tmp_path / "t.jsonl")
    assert (source.quarantine.used, len(source.quarantine.reasons)) == (120, 6)
    (tmp_path / "t.csv").write_text("file,text\na.wav,b\n")
    with pytest.raises(UserError, match="no column `path`"):
        folder(tmp_path / "t.csv")


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"start": math.inf}, "start=inf is not a time in seconds"),
        ({"end": -math.inf}, "end=-inf is not a time in seconds"),
        ({"start": [1]}, "start=[1] is not a time in seconds"),
        ({"end": True}, "end=True is not a time in seconds"),
        ({"start": "half"}, "start=half is not a time in seconds"),
        ({"path": "a\0b.wav"}, "embedded null byte"),
        ({"path": "a\ud800b.wav"}, "it contains half of a character, such as \\ud83d, from text that was cut"),
    ],
)
def test_a_row_with_an_invalid_time_is_excluded(tmp_path: Path, row: dict[str, Any], reason: str) -> None:
    rows: list[dict[str, Any]] = [{"path": write(tmp_path / f"{i}.wav", i).name} for i in range(20)]
    (tmp_path / "t.jsonl").write_text("\n".join(map(json.dumps, [*rows, {"path": "0.wav", **row}])))
    with pytest.warns(UserWarning, match="1 of 21 sounds"):
        source = folder(tmp_path / "t.jsonl")
    assert list(source.quarantine.reasons.values()) == [reason]
    json.dumps(source.quarantine.as_json(), ensure_ascii=False).encode()


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("t.csv", "path,label\né.wav,x\n".encode("latin-1"), "t.csv is not text in UTF-8"),
        ("t.jsonl", '{"path": "é.wav"}'.encode("latin-1"), "t.jsonl is not text in UTF-8"),
        ("t.csv", b"path,text\na.wav," + 200_000 * b"x", "t.csv is not a table: field larger"),
        ("t.csv", b"path,label,label\na.wav,x,y\n", "t.csv has several columns `label`"),
        ("t.csv", b"path;label\na.wav;x\n", "The columns in its first line: path;label"),
        ("t.csv", b"", "The columns in its first line: none"),
        ("t.tsv", b"path\tlabel\n", "t.tsv lists no sound"),
        ("t.jsonl", b"\n", "t.jsonl lists no sound"),
    ],
)
def test_an_invalid_table_raises(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=re.escape(message)):
        folder(tmp_path / name)


def test_spaces_after_commas_in_a_table_are_ignored(tmp_path: Path) -> None:
    rows = [f'{write(tmp_path / f"{i}.wav", i).name}, "a, b"' for i in range(3)]
    (tmp_path / "t.csv").write_text("\n".join(["path, label", *rows]))
    assert folder(tmp_path / "t.csv", conditions=("label",)).fields["label"].names == ("a, b",)  # type: ignore[attr-defined]


def test_split_lists_may_contain_blank_lines_and_must_match_the_files(tmp_path: Path) -> None:
    for i in range(4):
        write(tmp_path / "a b" / f"{i}.wav", i)
        write(tmp_path / "c" / f"{i}.wav", i + 9)
    (tmp_path / "testing_list.txt").write_text("a b/1.wav\r\nc/2.wav\r\n")
    assert names(folder(tmp_path), "test") == ["a b/1.wav", "c/2.wav"]
    (tmp_path / "testing_list.txt").write_text("other/1.wav\n")
    with pytest.raises(UserError, match="contains none of the files that"):
        folder(tmp_path)
    (tmp_path / "testing_list.txt").write_text("\n".join(f"{c}/{i}.wav" for c in ("a b", "c") for i in range(4)))
    with pytest.raises(UserError, match="Sounds to train on: 0, held out: 8"):
        folder(tmp_path)


def test_files_beside_a_sound_become_its_columns(tmp_path: Path) -> None:
    for i in range(8):
        path = write(tmp_path / ("ab"[i % 2]) / f"{i}.wav", i)
        path.with_suffix(".json").write_text(json.dumps({"tempo": 60 + i}))
        np.save(path.with_suffix(".npy"), np.full(3, i + 1.0))
    source = folder(tmp_path, conditions=("tempo", "embedding"))
    assert {name: field.kind for name, field in source.fields.items()} == {
        "label": Classes(2),
        "tempo": Number(),
        "embedding": Tokens(3),
    }
    for name, (_, metadata) in everything(source).items():
        i = int(Path(name).stem)
        assert (metadata["label"], metadata["tempo"], metadata["embedding"].tolist()) == (
            "ab"[i % 2],
            60 + i,
            [[i + 1.0] * 3],
        )
    for k in range(40):
        write(tmp_path / "a" / f"more{k}.wav", k)
    (tmp_path / "a" / "0.json").write_text("{")
    np.save(tmp_path / "b" / "1.npy", np.full(3, np.nan))
    with pytest.warns(UserWarning, match="2 of 48") as caught:
        source = folder(tmp_path, conditions=("tempo", "embedding"))
    assert {"a/0.wav", "b/1.wav"} == set(source.quarantine.reasons)
    assert "its embedding" in str(caught[0].message)
    assert source.quarantine.used == 46 == sum(map(len, source.splits.values()))


@pytest.mark.parametrize("kind", ["float32", "float16", "float64", "int16"])
@pytest.mark.parametrize("channels", [None, 1, 2])
def test_arrays(tmp_path: Path, kind: str, channels: int | None) -> None:
    x = np.stack([sound(i, 1000 * (channels or 1)) for i in range(12)]).reshape(
        12, *([channels] if channels else []), 1000
    )
    stored = (32768 * x).round().astype(kind) if kind == "int16" else x.astype(kind)
    np.save(tmp_path / "x.npy", stored)
    source = folder(tmp_path / "x.npy", channels=channels or 1, length=1000)
    assert len(everything(source)) == 12
    for split, sounds in source.splits.items():
        clips, _ = source.clips(split, range(len(sounds)))
        for clip, one in zip(clips, sounds, strict=True):
            given = np.atleast_2d(stored[one.entry.place.row]).astype(np.float64) / (32768 if kind == "int16" else 1)
            assert torch.equal(clip, torch.from_numpy(given).float())


def test_arrays_that_contain_no_sounds_raise(tmp_path: Path) -> None:
    for bad in (
        np.zeros(5),
        np.zeros((2, 2, 2, 2)),
        np.zeros((2, 5), np.complex64),
        np.zeros((0, 5)),
        np.array([["a"]]),
    ):
        np.save(tmp_path / "x.npy", bad)
        with pytest.raises(UserError, match=r"\(N, T\)"):
            folder(tmp_path / "x.npy")
    (tmp_path / "x.npy").write_bytes(b"no")
    with pytest.raises(UserError, match="cannot be read as an array"):
        folder(tmp_path / "x.npy")
    (tmp_path / "x.pdf").write_bytes(b"no")
    with pytest.raises(UserError, match="neither a folder"):
        folder(tmp_path / "x.pdf")


@pytest.mark.parametrize("damage", DAMAGED)
def test_a_damaged_array_is_one_error(tmp_path: Path, damage: str) -> None:
    (tmp_path / "x.npy").write_bytes(DAMAGED[damage])
    with pytest.raises(UserError, match=r"x\.npy (cannot be read as an array|holds several|must contain)"):
        folder(tmp_path / "x.npy")


@pytest.mark.parametrize("damage", DAMAGED)
def test_a_damaged_embedding_excludes_its_sound(tmp_path: Path, damage: str) -> None:
    for i in range(40):
        write(tmp_path / f"{i:02d}.wav", i, frames=600)
        np.save(tmp_path / f"{i:02d}.npy", np.ones((2, 4), np.float32))
    (tmp_path / "07.npy").write_bytes(DAMAGED[damage])
    with pytest.warns(UserWarning, match="1 of 40 sounds"):
        source = folder(tmp_path, conditions=("embedding",))
    assert list(source.quarantine.reasons) == ["07.wav"]
    assert source.quarantine.reasons["07.wav"].startswith("its embedding: ")


@pytest.mark.parametrize("row", [3000 * "[", '{"path": ' + 3000 * "[", '{"path": "0.wav", "n": ' + 5000 * "9" + "}"])
def test_a_row_that_cannot_be_parsed_is_excluded(tmp_path: Path, row: str) -> None:
    for i in range(30):
        write(tmp_path / f"{i}.wav", i, frames=600)
    rows = [json.dumps({"path": f"{i}.wav"}) for i in range(1, 30)]
    (tmp_path / "t.jsonl").write_text("\n".join([row, *rows]))
    with pytest.warns(UserWarning, match="1 of 30 sounds"):
        assert list(folder(tmp_path / "t.jsonl").quarantine.reasons) == ["t.jsonl, line 1"]


def test_quiet_crops_are_drawn_again(tmp_path: Path) -> None:
    for name in "ab":
        x = np.zeros(20_000, np.float32)
        x[15_000:] = 0.5
        soundfile.write(str(tmp_path / f"{name}.wav"), x, RATE)
    streams_ = streams(0, "crop", range(60))
    plain, _ = folder(tmp_path).clips("train", [0] * 60, streams_)
    gated = folder(tmp_path, silence=-60.0)
    loud, _ = gated.clips("train", [0] * 60, streams(0, "crop", range(60)))
    assert int((plain.abs().amax((1, 2)) == 0).sum()) > 30
    silent = int((loud.abs().amax((1, 2)) == 0).sum())
    assert silent < 12  # of ten draws, all are silent in (3/4)^10 = 6 % of cases
    assert gated.quiet == silent
    assert f"{silent} crops" in gated.quarantine.summary() or not silent
    again, _ = gated.clips("train", [0] * 2, streams(0, "crop", [7, 9]))
    assert torch.equal(again, loud[[7, 9]])


def test_every_file_in_a_folder_is_used_excluded_or_counted_as_ignored(tmp_path: Path) -> None:
    for i in range(30):
        write(tmp_path / f"{i}.wav", i, frames=600)
    (tmp_path / "0.json").write_text('{"tempo": 3}')
    np.save(tmp_path / "0.npy", np.ones(4))
    (tmp_path / "30.wav").write_bytes(b"no sound")
    for name in ("a.txt", "b.TXT", "c.pdf", "alone.json", "alone.npy", "README", ".hidden", "d.m4a", "x/e.mp4"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    write(tmp_path / "_noise_" / "1.wav", 1)
    (tmp_path / "again.wav").symlink_to(tmp_path / "1.wav")
    with pytest.warns(UserWarning, match=r"Ignored in .*2 \.txt"):
        quarantine = folder(tmp_path).quarantine
    assert (quarantine.found, quarantine.used, list(quarantine.reasons)) == (31, 30, ["30.wav"])
    others = {".txt": 2, ".pdf": 1, ".json": 1, ".npy": 1, "without a suffix": 1, "hidden": 2, ".m4a": 1, ".mp4": 1}
    assert quarantine.ignored == others | {"linked twice": 1}
    assert "2 .txt" in quarantine.summary()
    assert quarantine.as_json()["ignored"] == quarantine.ignored


def test_ignored_files_of_the_other_layouts_are_counted(tmp_path: Path) -> None:
    for i in range(4):
        write(tmp_path / "lj" / "wavs" / f"{i}.wav", i)
    (tmp_path / "lj" / "metadata.csv").write_text("0|a|a\n1|b|b\n2|c|c\n")
    (tmp_path / "lj" / "README").write_text("x")
    assert folder(tmp_path / "lj").quarantine.ignored == {"without a suffix": 1, "sounds not in metadata.csv": 1}
    (tmp_path / "tars").mkdir()
    with tarfile.open(tmp_path / "tars" / "a.tar", "w") as archive:
        for i in range(3):
            archive.add(tmp_path / "lj" / "wavs" / f"{i}.wav", f"{i}.wav")
        for name in ("0.txt", "0.jpg", "alone.txt", "LICENSE"):
            archive.add(tmp_path / "lj" / "README", name)
    (tmp_path / "tars" / "notes.md").write_text("x")
    ignored = {".md": 1, ".jpg": 1, ".txt": 1, "without a suffix": 1}
    assert folder(tmp_path / "tars").quarantine.ignored == ignored
    assert folder(tmp_path / "tars" / "a.tar").quarantine.ignored == {n: c for n, c in ignored.items() if n != ".md"}
    write(tmp_path / "lists" / "a" / "0.wav", 0)
    write(tmp_path / "lists" / "a" / "1.wav", 1)
    (tmp_path / "lists" / "testing_list.txt").write_text("a/1.wav\n")
    assert folder(tmp_path / "lists").quarantine.ignored == {}


@pytest.mark.parametrize("column", ["path", "file_name"])
@pytest.mark.parametrize("suffix", ["csv", "jsonl"])
def test_a_table_beside_sounds_is_mentioned_and_can_be_read(tmp_path: Path, column: str, suffix: str) -> None:
    for i in range(6):
        write(tmp_path / f"{i}.wav", i)
    csv_rows = "\n".join([f"{column},tempo", *(f"{i}.wav,{i}" for i in range(6))])
    json_rows = "\n".join(json.dumps({column: f"{i}.wav", "tempo": i}) for i in range(6))
    table = tmp_path / f"metadata.{suffix}"
    table.write_text(csv_rows if suffix == "csv" else json_rows)
    (tmp_path / "other.csv").write_text("a,b\n")
    quarantine = folder(tmp_path).quarantine
    assert quarantine.notes["tables"] == f"metadata.{suffix} is not read; data.path={table} uses its rows and columns"
    source = folder(table, conditions=("tempo",))
    assert (source.quarantine.used, list(source.fields)) == (6, ["tempo"])
    assert "path" not in source.splits["train"][0].entry.columns


@pytest.mark.parametrize(
    ("suffix", "form"),
    [("wave", "WAV"), ("aifc", "AIFF"), ("au", "AU"), ("caf", "CAF"), ("w64", "W64"), ("rf64", "RF64")],
)
def test_further_formats_of_libsndfile_are_read(tmp_path: Path, suffix: str, form: str) -> None:
    for i in range(4):
        soundfile.write(str(tmp_path / f"{i}.{suffix}"), sound(i, 1000), RATE, format=form)
    source = folder(tmp_path)
    assert source.quarantine.used == 4
    assert source.clips("train", [0])[0].abs().max() > 0.01
