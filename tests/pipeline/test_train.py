"""Stages are trained in order as ordinary runs; a stop anywhere changes no bit of the result."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from crashes import names
from pipeline_cases import LATENT, checkpoint_bits, stacked
from tiny_runs import stop_at

import polydiff
from polydiff.pipeline.chain import Chain
from polydiff.pipeline.file import pipeline_of
from polydiff.pipeline.folder import PipelineFolder
from polydiff.pipeline.make import make_pipeline
from polydiff.pipeline.train import begin, resume_pipeline, train_pipeline, train_stages
from polydiff.run.folder import PIPELINE
from polydiff.support.errors import UserError
from polydiff.support.replace import draft_of


@pytest.fixture(scope="module")
def latent(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train_pipeline(LATENT, tmp_path_factory.mktemp("pipeline") / "whole", progress=False)


def cut(path: Path, stage: str, step: int) -> None:
    """Train a pipeline until a step of a stage, and stop there."""

    def work(turn: Any, train: Callable[[Any], Path]) -> None:
        train(stop_at(step) if turn.name == stage else False)

    with pytest.raises(KeyboardInterrupt):
        train_stages(begin(pipeline_of(LATENT, "LATENT", path), path), work)


@pytest.mark.parametrize(("stage", "step"), [("ae", 3), ("ae", 6), ("ldm", 3)])
def test_a_pipeline_that_was_stopped_ends_in_the_same_bits(stage: str, step: int, latent: Path, tmp_path: Path) -> None:
    cut(tmp_path / "cut", stage, step)
    before = (tmp_path / "cut" / "stages" / "ae" / "metrics.jsonl").read_bytes()
    if (stage, step) == ("ae", 3):
        with pytest.raises(UserError, match=r"stage ae has done 3 of 6 steps\. Train it with `polydiff resume"):
            polydiff.load(tmp_path / "cut")
    resume_pipeline(tmp_path / "cut", progress=False)
    for name in ("ae", "ldm"):
        assert checkpoint_bits(tmp_path / "cut" / "stages" / name) == checkpoint_bits(latent / "stages" / name)
    if stage == "ldm":  # a stage that is done is not trained again
        assert (tmp_path / "cut" / "stages" / "ae" / "metrics.jsonl").read_bytes() == before


def test_what_killed_starts_left_is_deleted(latent: Path, tmp_path: Path) -> None:
    path = tmp_path / "new"
    path.mkdir()
    left = draft_of(path / PIPELINE)
    left.write_text("half of")
    begin(pipeline_of(LATENT, "LATENT", path), path)
    assert names(path) == [PIPELINE]
    shutil.copytree(latent, tmp_path / "again")
    draft_of(tmp_path / "again" / "report.html").write_text("")
    resume_pipeline(tmp_path / "again", progress=False)
    assert [name for name in names(tmp_path / "again") if name.endswith(".tmp")] == []


def test_a_pipeline_loads_draws_and_moves(latent: Path, tmp_path: Path) -> None:
    chain = polydiff.load(latent)
    assert isinstance(chain, Chain)
    assert (list(chain.stages), list(chain.others), chain.follows) == (["ldm"], ["ae"], {})
    samples = chain.sample(2, seed=1)
    assert samples.origin.facts["stages"] == {"ae": {"step": 6}, "ldm": {"step": 6}}  # type: ignore[union-attr]
    shutil.copytree(latent, tmp_path / "moved")
    assert torch.equal(stacked(polydiff.load(tmp_path / "moved").sample(2, seed=1)), stacked(samples))
    with pytest.raises(UserError, match=r"is a pipeline of several runs. Name one of them"):
        polydiff.Model.load(latent)


def test_a_stage_that_is_gone_is_an_error(latent: Path, tmp_path: Path) -> None:
    shutil.copytree(latent, tmp_path / "gone")
    shutil.rmtree(tmp_path / "gone" / "stages" / "ae")
    with pytest.raises(UserError, match=r"gone: stage ae is not trained yet\. Train it with"):
        polydiff.load(tmp_path / "gone")


def test_a_pipeline_of_runs_that_exist(latent: Path, tmp_path: Path) -> None:
    runs = [shutil.copytree(latent / "stages" / name, tmp_path / name) for name in ("ae", "ldm")]
    made = make_pipeline(runs, tmp_path / "made")
    alike = polydiff.load(made).sample(2, guidance=1)  # the weight that the file of the pipeline sets
    assert torch.equal(stacked(alike), stacked(polydiff.load(latent).sample(2)))
    resume_pipeline(made, progress=False)  # nothing is trained
    polydiff.resume(runs[0], steps=8, progress=False)
    with pytest.raises(
        UserError, match=r"stage ae: .* has other weights now \(step 8\) than when the pipeline was made"
    ):
        polydiff.load(made)
    shutil.rmtree(runs[0])
    with pytest.raises(UserError, match=r"pipeline\.yaml: stage ae: there is no run .*ae\. Bring it back"):
        polydiff.load(made)
    with pytest.raises(UserError, match=r"Two runs are named ldm"):
        make_pipeline([runs[1], latent / "stages" / "ldm"], tmp_path / "twice")
    with pytest.raises(UserError, match=r"run=.*nothing: There is no run folder"):
        make_pipeline([tmp_path / "nothing"], tmp_path / "none")
    assert not (tmp_path / "twice").exists()


def test_nothing_is_written_unless_all_stages_can_be_trained(tmp_path: Path) -> None:
    values = {**LATENT, "stages": {**LATENT["stages"], "other": {"schedule": "nothing"}}}
    with pytest.raises(UserError, match=r"the pipeline: stage other: .*schedule 'nothing'"):
        train_pipeline(values, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_stages_that_differ_in_their_processes_are_an_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"launch.processes is 1 in stage ae and 2 in stage ldm. Set it for all stages"):
        train_pipeline(LATENT, tmp_path / "run", overrides={"ldm": {"launch.processes": 2}})
    assert not (tmp_path / "run").exists()


def test_an_existing_folder_is_not_trained_in(latent: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"already contains a pipeline. Resume it with"):
        train_pipeline(LATENT, latent)
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"contains other files than a run"):
        train_pipeline(LATENT, tmp_path)
    with pytest.raises(UserError, match=r"There is no pipeline in"):
        PipelineFolder.open(tmp_path)


def test_a_run_that_exists_is_checked_before_any_stage_is_trained(latent: Path, tmp_path: Path) -> None:
    def pipeline(domain: str, run: Path) -> Any:
        return pipeline_of({"domain": domain, "stages": {"old": {"run": str(run)}, "new": {}}}, "my.yaml", tmp_path)

    with pytest.raises(UserError, match=r"my\.yaml: stage old: there is no run .*gone\. Bring it back, or correct"):
        begin(pipeline("image", tmp_path / "gone"), tmp_path / "new")
    with pytest.raises(UserError, match=r"my\.yaml: stage old: run=.* is a run of the domain image, not audio"):
        begin(pipeline("audio", latent / "stages" / "ldm"), tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_values_from_python_are_nested_or_dotted_and_may_be_paths(latent: Path, tmp_path: Path) -> None:
    source = {**LATENT, "stages": {"ae": {"run": latent / "stages" / "ae"}, "ldm": {"train": {"batch_size": 4}}}}
    for overrides, message in (({"ml": {}}, "Unknown stage 'ml'"), ({"ae": {"seed": 1}}, "ae is a run that exists")):
        with pytest.raises(UserError, match=message):
            train_pipeline(source, tmp_path / "a", overrides=overrides, progress=False)
    own = {"ldm": {"train": {"steps": 1}, "codec": latent / "stages" / "ae"}}
    made = PipelineFolder.open(train_pipeline(source, tmp_path / "a", overrides=own, progress=False))
    config = polydiff.load(made.runs["ldm"]).config
    assert (config.train.steps, config.train.batch_size) == (1, 4)
