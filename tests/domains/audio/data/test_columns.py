"""Columns of sounds as conditions."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from audio_sources_cases import RATE, everything, folder, names, rows, sound, write

import polydiff
from polydiff.cli import main
from polydiff.contract.fields import Labels, Real
from polydiff.core.conditions import Classes, Number, Text, Tokens
from polydiff.core.streams import streams
from polydiff.domains.audio.config import AudioConfig, AudioData
from polydiff.domains.audio.domain import Audio
from polydiff.support.errors import UserError


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POLYDIFF_CACHE", str(tmp_path_factory.mktemp("cache")))


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
    for name, (clip, metadata) in everything(source).items():
        i = int(Path(name).stem)
        assert torch.equal(clip, torch.from_numpy(sound(i)[:256]))
        assert (metadata["digit"], metadata["speaker"], metadata.get("tempo")) == (
            str(i % 3),
            f"s{i % 2}",
            60 + i if i else None,
        )
        assert ("vector" in metadata) == bool(i % 4)
        if i % 4:
            assert metadata["vector"].shape == (1 + i % 3, 4)


def test_a_domain_encodes_several_conditions(tmp_path: Path) -> None:
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
    _, free = again.blank(streams(0, "blank", range(20)), {})
    assert drawn is not None
    assert other is not None
    assert free is not None
    assert torch.equal(free["digit"], other["digit"])  # a request for an embedding leaves the others as they were drawn
    described = again.describe(drawn)
    assert {row["tempo"] for row in described} == {65}
    assert {row["vector"] for row in described} == {"any"}
    assert {row["vector"] for row in again.describe(other)} == {"2 vectors"}
    with pytest.raises(UserError, match="Did you mean 'tempo'"):
        again.blank(streams(0, "blank", [0]), {"temp": "65"})


def test_training_and_sampling_with_several_conditions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POLYDIFF_KERNELS", "0")
    overrides = {"data.path": write_table(tmp_path, "jsonl"), "data.conditions": ["digit:class", "tempo", "vector"]}
    tiny = {"data.length": 512, "train.steps": 2, "train.batch_size": 4, "backbone.channels": 16, "sample.steps": 2}
    model = polydiff.load(polydiff.train("audio", tmp_path / "run", overrides={**overrides, **tiny}))
    array = np.full((2, 4), 3.0, np.float32)
    requested = {"digit": 2, "tempo": 65, "vector": array}
    given = model.sample(3, cond=requested)
    assert given.cond is not None
    assert model.domain.describe(given.cond) == [{"digit": "2", "tempo": 65, "vector": "2 vectors"}] * 3
    np.save(tmp_path / "array.npy", array)
    for same in (torch.from_numpy(array), str(tmp_path / "array.npy")):
        again = model.sample(3, cond={**requested, "vector": same})
        assert all(map(torch.equal, given.examples, again.examples))
    with pytest.raises(UserError, match=r"digit must be text or a number, not an array of shape \(3,\)"):
        model.sample(1, cond={"digit": np.ones(3)})
    words = ["--cond", "digit=1", "--cond", f"vector={tmp_path / 'array.npy'}", "--steps", "2"]
    assert main(["sample", str(tmp_path / "run"), "-n", "2", "-o", str(tmp_path / "out"), *words]) == 0
    words = ["--guidance", "2", "--guide", str(tmp_path / "run"), "--steps", "2"]
    assert main(["sample", str(tmp_path / "run"), "-n", "1", "-o", str(tmp_path / "guided"), *words]) == 0
    saved = json.loads((tmp_path / "out" / "manifest.json").read_text())["samples"]
    assert {(row["cond"]["digit"], row["cond"]["vector"]) for row in saved} == {("1", "2 vectors")}


def test_a_column_named_like_a_condition_of_the_task_raises(tmp_path: Path) -> None:
    for i in range(4):
        write(tmp_path / f"{i}.wav", i).with_suffix(".json").write_text(json.dumps({"known": i}))
    data = AudioData(path=tmp_path, sample_rate=RATE, length=256, conditions=("known",))
    with pytest.raises(UserError, match=r"condition known is that of the task\. Rename the column known"):
        Audio(AudioConfig(task="inpaint", data=data))


def test_conditions_that_changed_since_training_raise(tmp_path: Path) -> None:
    path = write_table(tmp_path, "jsonl")
    data = AudioData(path=path, sample_rate=RATE, length=256, conditions=("speaker",))
    statistics = Audio(AudioConfig(data=data)).statistics
    path.write_text(path.read_text().replace('"s1"', '"s2"'))
    with pytest.raises(UserError, match="not those of training"):
        Audio(AudioConfig(data=data), statistics).size("train")


@pytest.mark.parametrize(
    ("conditions", "message"),
    [
        (("temp",), "Did you mean 'tempo'"),
        (("speaker:number",), "cannot have the type number"),
        (("tempo:embedding",), "cannot have the type embedding"),
        (("vector:class",), "cannot have the type class"),
        (("tempo:speed",), "type of column tempo"),
    ],
)
def test_invalid_conditions_raise(tmp_path: Path, conditions: tuple[str, ...], message: str) -> None:
    with pytest.raises(UserError, match=message):
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
    with pytest.raises(UserError, match="No training example has a value in column x"):
        _ = folder(tmp_path / "t.jsonl", conditions=("x",)).fields


def test_a_column_with_too_many_values_for_classes_raises(tmp_path: Path) -> None:
    lines = [json.dumps({"path": str(write(tmp_path / f"{i}.wav", i)), "text": f"word {i}"}) for i in range(120)]
    (tmp_path / "t.jsonl").write_text("\n".join(lines))
    with pytest.raises(UserError, match=r"120 different values.*data\.conditions=text:text"):
        folder(tmp_path / "t.jsonl", conditions=("text",))


def test_a_column_of_text_is_a_caption_from_the_command_line_to_samples(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_table(tmp_path, "jsonl")
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    for i, row in enumerate(lines):
        row["title"] = f"a {('low', 'high')[i % 2]} tone of speaker {i % 2}"
    path.write_text("\n".join(map(json.dumps, lines)))
    run = tmp_path / "run"
    small = ["data.length=256", "backbone.channels=16", "backbone.patch=4", "train.steps=2", "train.batch_size=4"]
    columns = [f"data.path={path}", f"data.sample_rate={RATE}", "data.conditions=title:text"]
    judged = ["--judge", "0"]
    assert main(["train", "--domain", "audio", *columns, *small, "-o", str(run), *judged]) == 0
    assert polydiff.load(run).domain.conditions["title"] == Text(9, 6)
    drawn = polydiff.load(run).sample(2, cond={"title": "a high tone of speaker 1"}, steps=2, seed=0)
    assert drawn.cond is not None
    assert polydiff.load(run).domain.describe(drawn.cond)[0] == {"title": "a high tone of speaker 1"}
    capsys.readouterr()
    assert main(["sample", str(run), "-n", "1", "--cond", "title=a loud tone", "-o", str(tmp_path / "out")]) == 2
    assert "'loud' does not occur in the captions of training" in capsys.readouterr().err
