"""Data sets of samples: without copies, the same bits however they were drawn, and readable as data to train on."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from augment_cases import Clouds, cloud_model, clouds, memorised
from drawing_cases import files
from untrained import SMALL, untrained

import polydiff
from polydiff.augmenting import drawing
from polydiff.augmenting.augment import augment
from polydiff.augmenting.folder import DataFolder
from polydiff.cli import main
from polydiff.config.merge import resolve
from polydiff.contract.domain import Samples
from polydiff.gallery.journal import JOURNAL
from polydiff.judging.copies import CopyTest
from polydiff.model.model import Model
from polydiff.stages.open import open_domain
from polydiff.support.errors import UserError


def manifest(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "manifest.json").read_text())


def points(folder: Path) -> torch.Tensor:
    """Return the synthetic points in a folder, in the order of the manifest."""
    entries = [one for one in manifest(folder)["samples"] if one["origin"] == "synthetic"]
    return torch.tensor([json.loads((folder / one["file"]).read_text()) for one in entries])


def stop_after(parts: int, model: Model, folder: Path, **how: Any) -> None:
    """Begin to write a data set, and stop with Ctrl-C after so many parts."""
    with pytest.MonkeyPatch.context() as patch:
        write, seen = DataFolder.write, []

        def stopping(self: DataFolder, *args: Any) -> int:
            if len(seen) == parts:
                raise KeyboardInterrupt
            seen.append(1)
            return write(self, *args)

        patch.setattr(DataFolder, "write", stopping)
        with pytest.raises(KeyboardInterrupt):
            augment(model, folder, **how)


def test_a_generator_that_copies_its_training_data_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"20 of 20 samples of 0 are near copies of training examples, each drawn 11"):
        augment(cloud_model(memorised(1.0)), tmp_path / "more", 20)
    assert not (tmp_path / "more" / "manifest.json").exists()


def test_copies_are_drawn_again_and_counted(tmp_path: Path) -> None:
    """Half of all samples are copies, so a sample is drawn 1 / (1 - 1/2) times in the mean."""
    model, n = cloud_model(memorised(0.5)), 200
    augment(model, tmp_path / "more", n, seed=3)
    again = manifest(tmp_path / "more")["drawn_again"]["copies"]
    assert again == pytest.approx(2 * n, abs=4 * math.sqrt(2 * 2 * n))  # a sum of geometric numbers of variance 2
    test = CopyTest.of(model.domain, model.domain)
    assert manifest(tmp_path / "more")["copy_threshold"] == test.threshold > 0
    assert not bool(test.near(test.distances(Samples(list(points(tmp_path / "more"))))).any())


def test_classes_have_the_law_of_the_generator(tmp_path: Path) -> None:
    """An exact generator has 1 % of its samples drawn again, by definition of the threshold, and the classes' means."""
    augment(cloud_model(), tmp_path / "more", 400)
    found = manifest(tmp_path / "more")
    assert found["counts"] == {"real": 0, "synthetic": 800}
    assert found["drawn_again"]["copies"] < 40
    means = points(tmp_path / "more").reshape(2, 400, -1).mean(1)
    torch.testing.assert_close(means.double(), clouds().means, atol=5 / math.sqrt(400), rtol=0)
    assert {one["cond"]["label"] for one in found["samples"][:400]} == {"0"}
    assert [path.name for path in sorted((tmp_path / "more").iterdir())] == [
        "0",
        "1",
        "manifest.json",
        "metadata.jsonl",
    ]
    rows = [json.loads(line) for line in (tmp_path / "more" / "metadata.jsonl").read_text().splitlines()]
    assert rows[0] == {
        "file_name": "0/synthetic-000000.json",
        "first": round(float(points(tmp_path / "more")[0, 0]), 3),
    }


def test_a_sample_depends_on_the_seed_and_its_number_alone(tmp_path: Path) -> None:
    model = cloud_model(memorised(0.5))
    augment(model, tmp_path / "few", 5, seed=1)
    augment(model, tmp_path / "many", 12, seed=1, batch_size=3)
    augment(model, tmp_path / "one", 12, seed=1, cond={"label": 1})
    augment(model, tmp_path / "other", 5, seed=2)
    few, many, one, other = (files(tmp_path / name) for name in ("few", "many", "one", "other"))
    samples = [name for name in few if "synthetic" in name]
    assert len(samples) == 10
    for name in samples:
        a, b = (torch.tensor(json.loads(of[name])) for of in (few, many))
        torch.testing.assert_close(a, b, atol=1e-5, rtol=0)  # the batch changes it by rounding
        assert few[name] != other[name]
    for name in (name for name in many if name.startswith("1/")):
        torch.testing.assert_close(*(torch.tensor(json.loads(of[name])) for of in (one, many)), atol=1e-5, rtol=0)


@pytest.mark.parametrize("parts", [0, 1, 3, 5])
def test_a_drawing_that_was_stopped_ends_with_the_same_bits(tmp_path: Path, parts: int) -> None:
    model = cloud_model(memorised(0.5))
    how: dict[str, Any] = {"per_class": 8, "mix": True, "seed": 4, "batch_size": 4}
    augment(model, tmp_path / "whole", **how)
    stop_after(parts, model, tmp_path / "parts", **how)
    assert (tmp_path / "parts" / JOURNAL).exists() == (parts > 0)
    calls: list[tuple[int, int]] = []
    augment(model, tmp_path / "parts", **how, progress=lambda *now: calls.append(now))
    assert calls[-1] == (26, 26)
    assert files(tmp_path / "parts") == files(tmp_path / "whole")
    assert manifest(tmp_path / "parts")["counts"] == {"real": 10, "synthetic": 16}


def test_a_folder_of_other_files_or_settings_is_left_alone(tmp_path: Path) -> None:
    model, place = cloud_model(), tmp_path / "mine"
    place.mkdir()
    (place / "thesis.txt").write_text("years of work")
    with pytest.raises(UserError, match="mine exists and holds other files"):
        augment(model, place, 2)
    assert files(place) == {"thesis.txt": b"years of work"}
    augment(model, tmp_path / "more", 2)
    before = files(tmp_path / "more")
    augment(model, tmp_path / "more", 2)
    with pytest.raises(UserError, match="started with per_class=2, not 3"):
        augment(model, tmp_path / "more", 3)
    other = cloud_model()
    other.denoiser.backbone.weight.data += 1
    with pytest.raises(UserError, match="started with other weights"):
        augment(other, tmp_path / "more", 2)
    assert files(tmp_path / "more") == before


def test_a_drawing_with_too_few_held_out_examples_draws_exact_copies_again(tmp_path: Path) -> None:
    test = CopyTest.of(Clouds(clouds(), 5, test=20), Clouds(clouds(), 5))
    assert math.isnan(test.threshold)
    assert test.near(torch.tensor([0.0, 1e-9, float("nan")])).tolist() == [True, False, False]


def test_samples_that_cannot_be_compared_are_drawn_again_and_then_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(CopyTest, "distances", lambda _, samples: torch.full((len(samples),), math.nan))
    with pytest.raises(UserError, match="3 of 3 samples of 0 are not usable"):
        augment(cloud_model(), tmp_path / "more", 3)


def test_attempts_have_seeds_of_their_own() -> None:
    seeds = [drawing.attempt_seed(7, attempt) for attempt in range(11)]
    assert seeds[0] == 7
    assert len(set(seeds)) == 11


def test_what_was_written_of_images_is_what_training_reads(small_runs: Path, tmp_path: Path) -> None:
    """Bit for bit, real and synthetic, in their classes."""
    model = polydiff.load(small_runs / "image")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(CopyTest, "near", lambda _, distances: torch.zeros(len(distances), dtype=torch.bool))
        patch.setattr(type(model.domain), "size", lambda self, split: 60 if split == "train" else 20)
        polydiff.augment(model, tmp_path / "more", per_class=3, mix=True)
        real = model.domain.examples("train", 60)
    source = open_domain(
        resolve("image", values={"data.path": str(tmp_path / "more"), "data.size": 8, "data.channels": 1}).config
    ).source
    read = {
        (source.names[label], image.numpy().tobytes())
        for part in source.splits.values()
        for image, label in zip(part.images, part.labels.tolist(), strict=True)
    }
    from PIL import Image

    written = {(path.parent.name, Image.open(path).tobytes()) for path in (tmp_path / "more").rglob("*.png")}
    given = {(str(int(c)), x.numpy().tobytes()) for x, c in zip(real.examples, real.cond["label"], strict=True)}
    assert read == written
    assert given < read
    entries = manifest(tmp_path / "more")["samples"]
    assert len(entries) == 90
    assert sum(part.labels.numel() for part in source.splits.values()) == 90
    paths, cond = zip(*[(tmp_path / "more" / one["file"], one["cond"]) for one in entries], strict=True)
    again = model.domain.read_data(paths, cond)
    assert {x.numpy().tobytes() for x in again.examples} == {content for _, content in read}
    assert again.cond["label"].tolist() == [int(one["label"]) for one in cond]


def test_what_was_written_of_captioned_images_is_what_training_reads(tmp_path: Path) -> None:
    """Without classes the number is that of all samples, and each picture keeps the caption that it was drawn for."""
    run = untrained(
        tmp_path / "run", "image", **{**SMALL["image"], "data.name": "shapes", "sample.steps": 2, "device": "cpu"}
    )
    polydiff.augment(polydiff.load(run), tmp_path / "more", per_class=12, seed=5)
    entries = manifest(tmp_path / "more")["samples"]
    captions = {one["file"]: one["cond"]["text"] for one in entries}
    assert len(captions) == 12
    assert len(set(captions.values())) > 6
    values = {"data.path": str(tmp_path / "more"), "data.size": 32, "data.test_share": 0.3}
    other = open_domain(resolve("image", values=values).config)
    from PIL import Image

    written = {(captions[path.name], Image.open(path).tobytes()) for path in (tmp_path / "more").glob("*.png")}
    parts = [other.examples(split, other.size(split)) for split in ("train", "test")]
    read = {
        (words["text"], image.movedim(0, -1).numpy().tobytes())
        for part in parts
        for image, words in zip(part.examples, other.describe(part.cond or {}), strict=True)
    }
    assert read == written


def test_what_was_written_of_sounds_is_what_training_reads(tmp_path: Path) -> None:
    own = {"data.length": 512, "data.classes": 3, "data.n_train": 30, "data.n_test": 12}
    domain = open_domain(resolve("audio", values=own).config)
    known = domain.examples("train", 30)
    assert domain.class_condition == "pitch"
    rows = domain.write_data(known, tmp_path)
    for i, row in enumerate(rows):
        assert row["label"] == domain.describe(known.cond)[i]["pitch"]
        (tmp_path / row["label"]).mkdir(exist_ok=True)
        (tmp_path / row["file"]).replace(tmp_path / row["label"] / row["file"])
    (tmp_path / "manifest.json").write_text("{}")
    other = open_domain(resolve("audio", values={"data.path": str(tmp_path), "data.length": 512}).config)
    found = [other.examples(split, other.size(split)) for split in ("train", "test")]
    read = {
        (words["label"], sound.numpy().tobytes())
        for part in found
        for sound, words in zip(part.examples, other.describe(part.cond), strict=True)
    }
    words = domain.describe(known.cond)
    assert read == {(row["pitch"], x.numpy().tobytes()) for row, x in zip(words, known.examples, strict=True)}


def test_molecules_are_written_with_their_columns(tmp_path: Path) -> None:
    from polydiff.domains.molecule.metrics.examine import perceive_all
    from polydiff.domains.molecule.output.sdf import write_with_columns

    domain = open_domain(resolve("molecule", values={"data.max_heavy": 3}).config)
    known = domain.examples("train", 12)
    perceived = perceive_all(known.examples)
    write_with_columns(perceived, [{"boiling": 20.5 + i} for i in range(12)], tmp_path)
    values = {"data.path": str(tmp_path), "data.conditions": ["boiling"], "data.test_share": 0.3}
    other = open_domain(resolve("molecule", values=values).config)
    library = other.dataset.library
    assert sorted(library.column("boiling").tolist()) == [20.5 + i for i in range(12)]
    assert sorted(library.smiles) == sorted(one.smiles for one in perceived)
    assert domain.write_data(known, tmp_path / "more")[0] == {"file": "sample-00000.sdf"}
    assert "logp" not in (tmp_path / "more" / "sample-00000.sdf").read_text()  # whoever reads the file computes it


def test_too_few_real_examples_to_judge_with_are_an_error_before_samples_are_drawn(
    small_runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("polydiff.augmenting.judge.Generated.per_class", 5)
    out = tmp_path / "more"
    assert main(["augment", str(small_runs / "image"), "-o", str(out), "--per-class", "3", "--judge", "5,5000"]) == 2
    assert "data.per_class=5000, but class 0 has" in capsys.readouterr().err
    assert not out.exists()


def test_data_sets_of_several_runs_are_not_put_into_one(
    small_runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, image = tmp_path / "more", str(small_runs / "image")
    assert main(["augment", image, "-o", str(out), "--per-class", "1"]) == 0
    before = files(out)
    assert main(["augment", image, str(small_runs / "molecule"), "-o", str(out), "--per-class", "1"]) == 2
    assert "cannot hold those of several runs" in capsys.readouterr().err
    assert files(out) == before


def test_only_the_judge_of_images_needs_classes(
    small_runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(type(polydiff.load(small_runs / "image").domain), "class_condition", "")
    out, run = tmp_path / "more", str(small_runs / "image")
    words = ["augment", run, "-o", str(out), "--per-class", "3"]
    assert main([*words, "--judge", "5"]) == 2
    assert "--judge trains a classifier, and image has no classes" in capsys.readouterr().err
    assert not out.exists()
    assert main(words) == 0
    assert manifest(out)["counts"]["synthetic"] == 3


def test_the_judge_of_molecules_counts_all_of_them(
    small_runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, run = tmp_path / "more", str(small_runs / "molecule")
    assert main(["augment", run, "-o", str(out), "--per-class", "3", "--judge", "5"]) == 2
    assert "must have been trained on at most 5 real examples, or its samples" in capsys.readouterr().err
    assert not out.exists()


def test_a_domain_without_the_ability_is_an_error_that_names_it(
    small_runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "more"
    assert main(["augment", str(small_runs / "ring"), "-o", str(out), "--per-class", "3"]) == 2
    assert "The domain ring cannot write samples as a data set: it lacks `write_data`" in capsys.readouterr().err
    assert not out.exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--judge", "5"], "--judge 5: a run must have been trained on at most 5 real examples of each class"),
        (["--judge", "5,x"], "--judge 5,x should be numbers of real examples"),
        (["--cond", "label=12"], "label"),
    ],
)
def test_bad_options_are_errors(
    small_runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], message: str
) -> None:
    out = tmp_path / "more"
    assert main(["augment", str(small_runs / "image"), "-o", str(out), "--per-class", "3", *words]) == 2
    assert message in capsys.readouterr().err
    assert not out.exists()
