"""Where sounds come from: trees, tables, archives, arrays; and what is said of them."""

from __future__ import annotations

import csv
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
from torch import Tensor

import polydiff
from polydiff.cli import main
from polydiff.conditions import Classes, Number, Tokens
from polydiff.domains.audio.config import AudioConfig, AudioData
from polydiff.domains.audio.crops import Place, read_frames
from polydiff.domains.audio.domain import Audio
from polydiff.domains.audio.files import Folder
from polydiff.errors import UserError
from polydiff.fields import Labels, Real
from polydiff.random import streams

RATE = 8000


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POLYDIFF_CACHE", str(tmp_path_factory.mktemp("cache")))


def sound(seed: int, frames: int = 1000) -> np.ndarray:
    return (0.3 * np.random.default_rng(seed).standard_normal(frames)).clip(-0.9, 0.9).astype(np.float32)


def write(path: Path, seed: int, frames: int = 1000) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(str(path), sound(seed, frames), RATE, subtype="FLOAT" if path.suffix == ".wav" else None)
    return path


def folder(path: Path, **more: Any) -> Folder:
    return Folder(AudioData(**{"path": path, "sample_rate": RATE, "length": 256, **more}))


def names(source: Folder, split: str) -> list[str]:
    return [sound.entry.name for sound in source.splits[split]]


def everything(source: Folder) -> dict[str, tuple[Tensor, Any]]:
    """The first clip of each sound, and what is said of it, by name."""
    found = {}
    for split, sounds in source.splits.items():
        clips, values = source.clips(split, source.starts[split][:-1])
        found |= dict(zip([s.entry.name for s in sounds], zip(clips[:, 0], values, strict=True), strict=True))
    return found


def test_speech_commands_as_it_comes(tmp_path: Path) -> None:
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


def test_the_ten_digits_have_a_short_name(tmp_path: Path) -> None:
    digits = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
    for word in (*digits, "bed"):
        for i in range(2):
            write(tmp_path / word / f"{i}.wav", i)
    (field,) = folder(tmp_path, only=("sc09",)).fields.values()
    assert field.names == tuple(sorted(digits))  # type: ignore[attr-defined]
    with pytest.raises(UserError, match="'sc10'"):
        folder(tmp_path, only=("sc10",))


def test_ljspeech(tmp_path: Path) -> None:
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


def rows() -> list[dict[str, Any]]:
    """One row a sound: a class, numbers as words and as numbers, an embedding; some cells are empty."""
    return [
        {
            "path": f"clips/{i}.wav",
            "digit": i % 3,
            "tempo": 60 + i if i else None,
            "speaker": f"s{i % 2}",
            "vector": f"v{i}.npy" if i % 4 else None,
            "split": "test" if i > 8 else "train",
        }
        for i in range(12)
    ]


def write_table(root: Path, kind: str) -> Path:
    for i in range(12):
        write(root / "clips" / f"{i}.wav", i)
        np.save(root / f"v{i}.npy", np.full((1 + i % 3, 4), i + 1.0, np.float32))
    path = root / f"table.{kind}"
    if kind == "jsonl":
        path.write_text("\n".join(json.dumps(row) for row in rows()))
    else:
        with path.open("w", newline="", encoding="utf-8-sig") as file:
            writer = csv.DictWriter(file, list(rows()[0]), delimiter="\t" if kind == "tsv" else ",")
            writer.writeheader()
            writer.writerows(rows())
    return path


@pytest.mark.parametrize("kind", ["jsonl", "csv", "tsv"])
def test_columns_of_a_table_become_conditions(tmp_path: Path, kind: str) -> None:
    path = write_table(tmp_path, kind)
    source = folder(path, conditions=("digit:class", "tempo", "speaker", "vector"))
    assert [len(names(source, split)) for split in ("train", "test")] == [9, 3]
    assert source.fields["digit"] == Labels(("0", "1", "2"), (9, 9, 9))
    assert source.fields["speaker"] == Labels(("s0", "s1"), (15, 12))
    tempo = source.fields["tempo"]
    assert isinstance(tempo, Real)
    assert tempo.mean == pytest.approx(np.mean(range(61, 69)))
    assert tempo.std == pytest.approx(np.std(range(61, 69)))
    assert source.fields["vector"].kind == Tokens(4)
    for name, (clip, said) in everything(source).items():
        i = int(Path(name).stem)
        assert torch.equal(clip, torch.from_numpy(sound(i)[:256]))
        assert (said["digit"], said["speaker"], said.get("tempo")) == (str(i % 3), f"s{i % 2}", 60 + i if i else None)
        assert ("vector" in said) == bool(i % 4)
        if i % 4:
            assert said["vector"].shape == (1 + i % 3, 4)


def test_a_domain_is_told_several_conditions_at_once(tmp_path: Path) -> None:
    path = write_table(tmp_path, "jsonl")
    data = AudioData(path=path, sample_rate=RATE, length=256, conditions=("digit:class", "tempo", "vector"))
    audio = Audio(AudioConfig(data=data))
    assert audio.conditions == {"digit": Classes(3), "tempo": Number(), "vector": Tokens(4)}
    assert audio.data_conditions.class_names("digit") == ("0", "1", "2")
    assert audio.data_conditions.class_names("tempo") == ()
    cond = audio.batch("train", range(9), streams(0, "augment", range(9))).cond
    assert cond is not None
    assert {name: tuple(value.shape) for name, value in cond.items()} == {
        "digit": (9,),
        "tempo": (9,),
        "vector": (9, 3, 4),
    }
    rms = cond["vector"][~cond["vector"].isnan()].square().mean().sqrt()
    assert 0.3 < float(rms) < 1.5
    again = Audio(AudioConfig(data=data), json.loads(json.dumps(audio.statistics)))
    _, drawn = again.blank(streams(0, "blank", range(20)), {"tempo": "65"})
    _, other = again.blank(streams(0, "blank", range(20)), {"vector": np.ones((2, 4))})
    assert drawn is not None
    assert other is not None
    assert torch.equal(drawn["digit"], other["digit"])  # asking for one thing leaves the others as they were drawn
    told = again.describe(drawn)
    assert {row["tempo"] for row in told} == {65}
    assert {row["vector"] for row in told} == {"any"}
    assert {row["vector"] for row in again.describe(other)} == {"2 vectors"}
    with pytest.raises(UserError, match="Did you mean 'tempo'"):
        again.blank(streams(0, "blank", [0]), {"temp": "65"})


def test_a_network_is_trained_with_them_and_asked_for_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POLYDIFF_KERNELS", "0")
    told = {"data.path": write_table(tmp_path, "jsonl"), "data.conditions": ["digit:class", "tempo", "vector"]}
    tiny = {"data.length": 512, "train.steps": 2, "train.batch_size": 4, "backbone.channels": 16, "sample.steps": 2}
    model = polydiff.load(polydiff.train("audio", tmp_path / "run", overrides={**told, **tiny}))
    array = np.full((2, 4), 3.0, np.float32)
    asked = {"digit": 2, "tempo": 65, "vector": array}
    given = model.sample(3, cond=asked)
    assert given.cond is not None
    assert model.domain.describe(given.cond) == [{"digit": "2", "tempo": 65, "vector": "2 vectors"}] * 3
    np.save(tmp_path / "array.npy", array)
    for same in (torch.from_numpy(array), str(tmp_path / "array.npy")):
        again = model.sample(3, cond={**asked, "vector": same})
        assert all(map(torch.equal, given.examples, again.examples))
    with pytest.raises(UserError, match=r"digit is given by a word or a number, not by an array of shape \(3,\)"):
        model.sample(1, cond={"digit": np.ones(3)})
    words = ["--cond", "digit=1", "--cond", f"vector={tmp_path / 'array.npy'}", "--steps", "2"]
    assert main(["sample", str(tmp_path / "run"), "-n", "2", "-o", str(tmp_path / "out"), *words]) == 0
    words = ["--guidance", "2", "--guide", str(tmp_path / "run"), "--steps", "2"]
    assert main(["sample", str(tmp_path / "run"), "-n", "1", "-o", str(tmp_path / "guided"), *words]) == 0
    saved = json.loads((tmp_path / "out" / "manifest.json").read_text())["samples"]
    assert {(row["cond"]["digit"], row["cond"]["vector"]) for row in saved} == {("1", "2 vectors")}


def test_a_column_with_the_name_of_a_tasks_condition_is_refused(tmp_path: Path) -> None:
    for i in range(4):
        write(tmp_path / f"{i}.wav", i).with_suffix(".json").write_text(json.dumps({"known": i}))
    data = AudioData(path=tmp_path, sample_rate=RATE, length=256, conditions=("known",))
    with pytest.raises(UserError, match="named known"):
        Audio(AudioConfig(task="inpaint", data=data))


def test_what_changed_since_training_is_refused(tmp_path: Path) -> None:
    path = write_table(tmp_path, "jsonl")
    data = AudioData(path=path, sample_rate=RATE, length=256, conditions=("speaker",))
    statistics = Audio(AudioConfig(data=data)).statistics
    path.write_text(path.read_text().replace('"s1"', '"s2"'))
    with pytest.raises(UserError, match="not those of training"):
        Audio(AudioConfig(data=data), statistics).size("train")


@pytest.mark.parametrize(
    ("conditions", "said"),
    [
        (("temp",), "Did you mean 'tempo'"),
        (("speaker:number",), "cannot be of the type number"),
        (("tempo:embedding",), "cannot be of the type embedding"),
        (("vector:class",), "cannot be of the type class"),
        (("tempo:speed",), "type of column tempo"),
    ],
)
def test_conditions_that_make_no_sense_are_refused(tmp_path: Path, conditions: tuple[str, ...], said: str) -> None:
    with pytest.raises(UserError, match=said):
        folder(write_table(tmp_path, "csv"), conditions=conditions)


def test_cells_may_be_empty_but_not_all_of_them(tmp_path: Path) -> None:
    lines = [{"path": write(tmp_path / f"{i}.wav", i).name, "split": "test" if i > 6 else "train"} for i in range(9)]
    for cell, line in zip((None, "", float("nan"), 4, "5.5", 6, 7, 8, 9), lines, strict=True):
        line["x"] = cell  # type: ignore[assignment]
    (tmp_path / "t.jsonl").write_text("\n".join(map(json.dumps, lines)))
    field = folder(tmp_path / "t.jsonl", conditions=("x",)).fields["x"]
    assert isinstance(field, Real)
    assert field.values == (4, 5.5, 6, 7)
    for line in lines[:7]:
        del line["x"]
    (tmp_path / "t.jsonl").write_text("\n".join(map(json.dumps, lines)))
    with pytest.raises(UserError, match="No sound that is trained on has a value in the column x"):
        _ = folder(tmp_path / "t.jsonl", conditions=("x",)).fields


def test_a_text_is_no_class(tmp_path: Path) -> None:
    lines = [json.dumps({"path": str(write(tmp_path / f"{i}.wav", i)), "text": f"word {i}"}) for i in range(120)]
    (tmp_path / "t.jsonl").write_text("\n".join(lines))
    with pytest.raises(UserError, match=r"120 different values.*embedding"):
        folder(tmp_path / "t.jsonl", conditions=("text",))


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
            for crop in crops[:, 0]:  # whatever is drawn, nothing beyond the part is heard
                room = each.header.frames - 4000
                assert any(torch.equal(crop, whole[start + k : start + k + 4000]) for k in range(room + 1))


def test_parts_of_a_file_stay_together_wherever_they_begin(tmp_path: Path) -> None:
    parts: list[dict[str, float]] = [{"start": 0}, {"start": 0.05}, {"end": 0.06}]
    files = [write(tmp_path / f"{i}.wav", i).name for i in range(30)]
    (tmp_path / "t.jsonl").write_text("\n".join(json.dumps({"path": f, **part}) for f in files for part in parts))
    source = folder(tmp_path / "t.jsonl", test_share=0.4)
    train, test = ({sound.entry.file for sound in source.splits[split]} for split in ("train", "test"))
    assert train | test == {*files}
    assert not train & test
    assert source.quarantine.used == 90


def test_rows_that_make_no_sense_are_put_aside(tmp_path: Path) -> None:
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
        ({"start": math.inf}, "start=inf is no time in seconds"),
        ({"end": -math.inf}, "end=-inf is no time in seconds"),
        ({"start": [1]}, "start=[1] is no time in seconds"),
        ({"end": True}, "end=True is no time in seconds"),
        ({"start": "half"}, "start=half is no time in seconds"),
        ({"path": "a\0b.wav"}, "embedded null byte"),
        ({"path": "a\ud800b.wav"}, "its name is not UTF-8"),
    ],
)
def test_a_row_that_no_file_can_have_is_put_aside(tmp_path: Path, row: dict[str, Any], reason: str) -> None:
    rows: list[dict[str, Any]] = [{"path": write(tmp_path / f"{i}.wav", i).name} for i in range(20)]
    (tmp_path / "t.jsonl").write_text("\n".join(map(json.dumps, [*rows, {"path": "0.wav", **row}])))
    with pytest.warns(UserWarning, match="1 of 21 sounds"):
        source = folder(tmp_path / "t.jsonl")
    assert list(source.quarantine.reasons.values()) == [reason]
    json.dumps(source.quarantine.as_json(), ensure_ascii=False).encode()


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("t.csv", "path,label\né.wav,x\n".encode("latin-1"), "t.csv is not text in UTF-8"),
        ("t.jsonl", '{"path": "é.wav"}'.encode("latin-1"), "t.jsonl is not text in UTF-8"),
        ("t.csv", b"path,text\na.wav," + 200_000 * b"x", "t.csv is not a table: field larger"),
        ("t.csv", b"path,label,label\na.wav,x,y\n", "t.csv has several columns `label`"),
        ("t.csv", b"path;label\na.wav;x\n", "Its first line names path;label"),
        ("t.csv", b"", "Its first line names nothing"),
        ("t.tsv", b"path\tlabel\n", "t.tsv names no sound"),
        ("t.jsonl", b"\n", "t.jsonl names no sound"),
    ],
)
def test_a_table_that_is_none_is_refused(tmp_path: Path, name: str, content: bytes, said: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=re.escape(said)):
        folder(tmp_path / name)


def test_blanks_after_commas_are_no_part_of_a_table(tmp_path: Path) -> None:
    rows = [f'{write(tmp_path / f"{i}.wav", i).name}, "a, b"' for i in range(3)]
    (tmp_path / "t.csv").write_text("\n".join(["path, label", *rows]))
    assert folder(tmp_path / "t.csv", conditions=("label",)).fields["label"].names == ("a, b",)  # type: ignore[attr-defined]


def test_lists_may_hold_blanks_and_must_fit(tmp_path: Path) -> None:
    for i in range(4):
        write(tmp_path / "a b" / f"{i}.wav", i)
        write(tmp_path / "c" / f"{i}.wav", i + 9)
    (tmp_path / "testing_list.txt").write_text("a b/1.wav\r\nc/2.wav\r\n")
    assert names(folder(tmp_path), "test") == ["a b/1.wav", "c/2.wav"]
    (tmp_path / "testing_list.txt").write_text("other/1.wav\n")
    with pytest.raises(UserError, match="holds none of the files that"):
        folder(tmp_path)
    (tmp_path / "testing_list.txt").write_text("\n".join(f"{c}/{i}.wav" for c in ("a b", "c") for i in range(4)))
    with pytest.raises(UserError, match="Sounds to train on: 0, to hold out: 8"):
        folder(tmp_path)


def test_files_beside_a_sound_speak_of_it(tmp_path: Path) -> None:
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
    for name, (_, said) in everything(source).items():
        i = int(Path(name).stem)
        assert (said["label"], said["tempo"], said["embedding"].tolist()) == ("ab"[i % 2], 60 + i, [[i + 1.0] * 3])
    for k in range(40):
        write(tmp_path / "a" / f"more{k}.wav", k)
    (tmp_path / "a" / "0.json").write_text("{")
    np.save(tmp_path / "b" / "1.npy", np.full(3, np.nan))
    with pytest.warns(UserWarning, match="2 of 48") as told:
        source = folder(tmp_path, conditions=("tempo", "embedding"))
    assert {"a/0.wav", "b/1.wav"} == set(source.quarantine.reasons)
    assert "its embedding" in str(told[0].message)
    assert source.quarantine.used == 46 == sum(map(len, source.splits.values()))


def shard(path: Path, numbers: range, suffix: str = "flac") -> Path:
    """A WebDataset archive whose members come in any order."""

    def member(name: str, data: bytes) -> None:
        info = tarfile.TarInfo(name)
        info.size = len(data)
        archive.addfile(info, io.BytesIO(data))

    with tarfile.open(path, "w") as archive:
        for i in numbers:
            buffer, array = io.BytesIO(), io.BytesIO()
            soundfile.write(buffer, sound(i), RATE, format=suffix.upper(), subtype="FLOAT" if suffix == "wav" else None)
            np.save(array, np.full((2, 3), i + 1.0))
            member(f"part/{i:04d}.json", json.dumps({"tempo": i}).encode())
            member(f"part/{i:04d}.{suffix}", buffer.getvalue())
            member(f"part/{i:04d}.npy", array.getvalue())
            member(f"part/{i:04d}.cls", str(i % 2).encode())
            member(f"part/{i:04d}.txt", f"text {i}".encode())
    return path


@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg", "mp3"])
def test_archives_are_read_by_seeking(tmp_path: Path, suffix: str) -> None:
    (tmp_path / "shards").mkdir()
    for k in range(2):
        shard(tmp_path / "shards" / f"{k}.tar", range(5 * k, 5 * k + 5), suffix)
    source = folder(tmp_path / "shards", conditions=("tempo", "embedding"))
    assert source.fields["label"].kind == Classes(2)
    clips = everything(source)
    assert len(clips) == 10
    for name, (clip, said) in clips.items():
        i = int(Path(name).stem)
        assert name == f"{i // 5}.tar/part/{i:04d}.{suffix}"
        assert (said["label"], said["tempo"]) == (str(i % 2), i)
        assert said["embedding"].tolist() == [[i + 1.0] * 3] * 2
        plain = tmp_path / f"{i}.{suffix}"
        with tarfile.open(tmp_path / "shards" / f"{i // 5}.tar") as archive:
            plain.write_bytes(archive.extractfile(f"part/{i:04d}.{suffix}").read())  # type: ignore[union-attr]
        assert torch.equal(clip, read_frames(Place(plain), 0, 256)[0])


def test_what_lies_beside_archives(tmp_path: Path) -> None:
    shard(tmp_path / "a.tar", range(6), "wav")
    (tmp_path / "._a.tar").write_bytes(b"x" * 600)
    assert folder(tmp_path).quarantine.found == 6
    write(tmp_path / "sub" / "x.wav", 1)
    with pytest.raises(UserError, match=r"holds archives, such as a\.tar, and sound files, such as sub/x\.wav"):
        folder(tmp_path)


def test_of_members_of_one_name_the_last_counts(tmp_path: Path) -> None:
    path = shard(tmp_path / "a.tar", range(6), "wav")
    with tarfile.open(path, "a") as archive:
        archive.add(write(tmp_path / "new.wav", 8), "part/0005.wav")
    (tmp_path / "new.wav").unlink()
    source = folder(tmp_path)
    assert source.quarantine.found == 6
    assert torch.equal(everything(source)["a.tar/part/0005.wav"][0], torch.from_numpy(sound(8)[:256]))


def test_an_archive_that_is_cut_off_is_told(tmp_path: Path) -> None:
    path = shard(tmp_path / "a.tar", range(60), "wav")
    assert len(everything(folder(path))) == 60
    whole = path.read_bytes()
    with tarfile.open(path) as archive:
        last = archive.getmember("part/0059.wav")
    path.write_bytes(whole[: last.offset_data + last.size // 2])
    with pytest.warns(UserWarning, match=r"a\.tar/part/0059\.wav: the archive ends in the middle of it"):
        source = folder(path)
    assert (source.quarantine.found, source.quarantine.used) == (60, 59)
    middle = last.offset - 512 * 40
    path.write_bytes(whole[:middle] + b"x" * (len(whole) - middle))
    with pytest.warns(UserWarning, match=r"a\.tar: "):
        folder(path)
    (tmp_path / "no.tar").write_bytes(b"x" * 5000)
    with pytest.raises(UserError, match=r"no\.tar: it is no tar archive"):
        folder(tmp_path / "no.tar")
    (tmp_path / "a.tar.gz").write_bytes(b"x")
    with pytest.raises(UserError, match="Unpack it"):
        folder(tmp_path / "a.tar.gz")


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


def test_arrays_that_hold_no_sounds_are_refused(tmp_path: Path) -> None:
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
