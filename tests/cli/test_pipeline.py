"""Pipelines on the command line, from one file to samples, numbers and a page."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import yaml
from pipeline_cases import LATENT
from process_jobs import command
from tiny_runs import assert_alike
from together import together

import polydiff
from polydiff.cli import main
from polydiff.machine import torchrun


@pytest.fixture(scope="module")
def latent(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("pipeline")
    (place / "latent.yaml").write_text(yaml.safe_dump(LATENT, sort_keys=False))
    words = ["train", "-c", str(place / "latent.yaml"), "-o", str(place / "out"), "--judge", "8"]
    assert main([*words, "--stage", "ldm.train.steps=4", "seed=3"]) == 0
    return place / "out"


FLOAT = {**LATENT["common"], "train.precision": "float32", "device": "cpu"}


def test_two_processes_train_and_judge_a_pipeline_as_one(tmp_path: Path) -> None:
    file = tmp_path / "latent.yaml"
    file.write_text(yaml.safe_dump({**LATENT, "common": FLOAT}, sort_keys=False))
    assert together(2, command, train_words(file, tmp_path / "two")) == [0, 0]
    assert main(train_words(file, tmp_path / "one")) == 0
    for stage in ("ae", "ldm"):
        assert_alike(tmp_path / "one" / "stages" / stage, tmp_path / "two" / "stages" / stage)
    one, two = (json.loads((tmp_path / name / "evaluation.json").read_text()) for name in ("one", "two"))
    assert two["stages"]["ae"]["metrics"]["psnr"]["value"] == pytest.approx(
        one["stages"]["ae"]["metrics"]["psnr"]["value"], rel=1e-3
    )
    shutil.rmtree(tmp_path / "two" / "stages" / "ldm")
    assert together(2, command, ["resume", str(tmp_path / "two"), "--judge", "8"]) == [0, 0]
    assert_alike(tmp_path / "one" / "stages" / "ldm", tmp_path / "two" / "stages" / "ldm")


def train_words(file: Path, folder: Path) -> list[str]:
    return ["train", "-c", str(file), "-o", str(folder), "--judge", "8"]


def test_processes_are_started_with_the_words_that_were_typed(
    latent: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[tuple[list[str], int, int]] = []
    monkeypatch.setattr(torchrun, "start", lambda words, n, restarts: started.append((words, n, restarts)) or 0)
    (tmp_path / "latent.yaml").write_text(yaml.safe_dump(LATENT, sort_keys=False))
    words = [*train_words(tmp_path / "latent.yaml", tmp_path / "new"), "launch.processes=3", "launch.restarts=2"]
    assert main(words) == 0
    again = ["resume", str(latent), "launch.processes=2"]
    assert main(again) == 0
    assert started == [([*words], 3, 2), ([*again], 2, 0)]


def test_processes_that_are_started_again_do_not_resume_what_was_in_the_folder_before(
    latent: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(torchrun, "start", lambda *_: pytest.fail("processes were started"))
    (tmp_path / "latent.yaml").write_text(yaml.safe_dump(LATENT, sort_keys=False))
    several = ["launch.processes=2", "launch.restarts=1"]
    assert main([*train_words(tmp_path / "latent.yaml", latent), *several]) == 2
    assert "already contains a pipeline" in capsys.readouterr().err
    assert main(["train", "--domain", "image", "-o", str(latent / "stages" / "ae"), *several]) == 2
    assert "already contains a run" in capsys.readouterr().err


def test_train_makes_runs_numbers_and_pages(latent: Path) -> None:
    kept = yaml.safe_load((latent / "pipeline.yaml").read_text())
    assert kept["stages"]["ldm"] == {**LATENT["stages"]["ldm"], "train.steps": 4, "seed": 3}
    result = json.loads((latent / "evaluation.json").read_text())
    assert result["n"] == 8
    assert list(result["stages"]) == ["ae"]  # the diffusion alone is the whole
    assert "psnr" in result["stages"]["ae"]["metrics"]
    page = (latent / "report.html").read_text()
    assert 'href="stages/ae/report.html"' in page
    assert 'href="stages/ldm/report.html"' in page
    assert "psnr" in page
    assert (latent / "stages" / "ldm" / "report.html").is_file()


def test_a_pipeline_that_is_done_is_not_trained_again(latent: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = (latent / "evaluation.json").stat().st_mtime_ns
    assert main(["resume", str(latent)]) == 0
    assert "All stages are done" in capsys.readouterr().err
    assert (latent / "evaluation.json").stat().st_mtime_ns == before


def test_sample_writes_files_and_names_all_stages(latent: Path, tmp_path: Path) -> None:
    words = ["sample", str(latent), "-n", "3", "--cond", "label=3", "--stage", "ldm.steps=2", "-o", str(tmp_path / "s")]
    assert main(words) == 0
    manifest = json.loads((tmp_path / "s" / "manifest.json").read_text())
    assert [sample["cond"] for sample in manifest["samples"]] == [{"label": "3"}] * 3
    assert manifest["stages"] == {"ae": {"step": 6}, "ldm": {"step": 4}}
    assert manifest["sample"]["ldm"]["steps"] == 2
    codec = json.loads((latent / "stages" / "ldm" / "parts" / "codec" / "manifest.json").read_text())
    assert manifest["weights_digest"]["ldm"]["parts"] == {"codec": codec["ema.safetensors"]["sha256"]}


def test_eval_report_and_vary(latent: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["eval", str(latent), "-n", "6", "--json"]) == 0
    assert set(json.loads(capsys.readouterr().out)["stages"]) == {"ae"}
    assert main(["report", str(latent), "--from-files"]) == 0
    assert main(["vary", str(latent), "-n", "2", "-o", str(tmp_path / "varied")]) == 0
    assert (tmp_path / "varied" / "made" / "manifest.json").is_file()
    runs = [str(latent / "stages" / name) for name in ("ae", "ldm")]
    assert main(["chain", *runs, "-o", str(tmp_path / "chained")]) == 0
    assert "run: " in (tmp_path / "chained" / "pipeline.yaml").read_text()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["sample", "{}", "--stage", "ae.steps=3"], "Unknown stage that generates 'ae'"),
        (["sample", "{}", "--stage", "steps=3"], "is not of the form NAME.KEY=VALUE"),
        (["sample", "{}/stages/ldm", "--stage", "ldm.steps=3"], "is a run, which has no stages"),
        (["eval", "{}", "--guidance", "1", "--guidance", "2"], "one guidance weight a call"),
        (["eval", "{}", "--likelihood"], "is a pipeline of several runs"),
        (["interpolate", "{}", "a.png", "b.png"], "A and B are examples, and --cond holds for both. Between two texts"),
        (["resume", "{}", "train.steps=9"], "A resumed pipeline takes launch.KEY=VALUE only, but train.steps"),
        (["train", "-c", "{}/pipeline.yaml", "-o", "{}"], "already contains a pipeline"),
        (["train", "-c", "{}/pipeline.yaml", "--preset", "quick"], "takes no further -c and no --preset"),
        (["train", "--domain", "image", "--stage", "up.seed=3"], "neither -c nor --preset names a pipeline"),
    ],
)
def test_errors(words: list[str], message: str, latent: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([word.format(latent) for word in words]) == 2
    assert message in capsys.readouterr().err


def test_presets_of_pipelines(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["presets", "list", "audio"]) == 0
    assert "audio/latent" in capsys.readouterr().out
    assert main(["presets", "show", "image/latent"]) == 0
    assert yaml.safe_load(capsys.readouterr().out)["stages"]["diffusion"] == {"codec": "autoencoder"}
    for domain in ("image", "audio"):
        assert main(["train", "--domain", domain, "--preset", "latent", "--dry-run", "train.steps=77"]) == 0
        assert "codec=autoencoder" in (out := capsys.readouterr().out)
        assert out.count("77") == 2


def test_an_evaluation_older_than_the_stages_is_said_to_be_and_resuming_measures_again(
    latent: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = shutil.copytree(latent, tmp_path / "out")
    steps = json.loads((path / "evaluation.json").read_text())["stage_steps"]
    assert steps == {"ae": 6, "ldm": 4}
    polydiff.resume(path / "stages" / "ae", steps=8, progress=False)
    assert main(["report", str(path), "--from-files"]) == 0
    changed = "ae was at step 6 and has reached step 8"
    assert f"The evaluation is older than the stages: {changed}. Measure them again: polydiff eval" in (
        capsys.readouterr().err
    )
    page = (path / "report.html").read_text()
    assert f"This evaluation is older than the stages: {changed}." in page
    assert f"They are older than the stages: {changed}." in page  # the samples
    copy = f"With a copy from before: {changed}."
    assert page.count(copy) == 1
    assert main(["resume", str(path), "--judge", "6"]) == 0
    assert json.loads((path / "evaluation.json").read_text())["stage_steps"] == {"ae": 8, "ldm": 4}
    page = (path / "report.html").read_text()
    assert "older than the stages" not in page
    assert copy in page  # a stage that names another keeps its copy
