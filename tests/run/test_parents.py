"""Runs that name other runs: their keys are found, what they name is checked and recorded, and it may change later."""

from __future__ import annotations

import json
import shutil
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import Field

from polydiff.config.keys import CommandLineValue, read_command_line_value
from polydiff.contract.sections.base import RunPath, Section
from polydiff.contract.sections.run import Config
from polydiff.model.model import Model
from polydiff.report.page import write_report
from polydiff.run.checkpoint import latest, pack, sha256, write_files
from polydiff.run.folder import Run, step_path
from polydiff.run.parents import open_parent, parents_of, with_path
from polydiff.support.errors import UserError
from polydiff.training.trainer import resume, train

pytestmark = pytest.mark.usefixtures("ring")

TINY = {"train.steps": 4, "train.batch_size": 8, "train.checkpoint_every": 2, "backbone.hidden": 8, "sample.steps": 2}


def ring(path: Path, **more: Any) -> Path:
    return train("ring", path, overrides={**TINY, **more})


def standing(folder: Path, **more: Any) -> Path:
    """Train folder/run, which stands on folder/base, by its initial weights, and on folder/worse, its guide."""
    words = {"sample.guidance": 2.0, "train.init": ring(folder / "base"), "sample.guide": ring(folder / "worse")}
    return ring(folder / "run", **{**words, **more})


def state(run: Path) -> dict[str, Any]:
    return dict(json.loads((latest(run / "checkpoints") / "state.json").read_text()))


def rewrite(checkpoint: Path, **files: bytes) -> None:
    """Replace files of a checkpoint, and its manifest."""
    kept = {path.name: path.read_bytes() for path in checkpoint.iterdir() if path.name != "manifest.json"}
    changed = {name.replace("_", ".", 1): data for name, data in files.items()}
    write_files(checkpoint, {**kept, **changed}, int(checkpoint.name[5:]))


class Own(Section):
    """A section of a third party."""

    path: Path = Path("/no/run")
    codec: RunPath = Path("/codec")
    inputs: dict[str, RunPath] = Field({})
    other: dict[str, Path] = Field({"a": Path("/no/run")})


class OwnConfig(Config):
    """A configuration with a section of a third party, and a key of its own."""

    own: Own = Own()
    base: RunPath | None = None


def test_keys_that_name_runs_are_found_in_any_section(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    sections: dict[str, Any] = {"data": {"name": "x"}, "backbone": {"name": "y"}, "train": {"init": "a"}}
    config = OwnConfig(
        domain="ring", base=Path("b"), own=Own(inputs={"text": Path("c"), "mel": Path("/d")}), **sections
    )
    found = {
        "train.init": tmp_path / "a",
        "own.codec": Path("/codec"),
        "own.inputs.text": tmp_path / "c",
        "own.inputs.mel": Path("/d"),
        "base": tmp_path / "b",
    }
    assert parents_of(config) == found
    moved = config
    for key in found:
        moved = with_path(moved, key, Path("/new") / key)
    assert parents_of(moved) == {key: Path("/new") / key for key in found}


@pytest.mark.parametrize("annotation", [RunPath, RunPath | None])
def test_a_run_may_have_a_number_for_a_name(annotation: Any) -> None:
    assert read_command_line_value(CommandLineValue("7"), annotation, "train.init") == "7"


def test_checkpoint_and_report_name_what_a_run_depends_on(tmp_path: Path) -> None:
    run = standing(tmp_path, **{"train.init": step_path(ring(tmp_path / "early") / "checkpoints", 2)})
    parents = state(run)["parents"]
    newest = latest(tmp_path / "worse" / "checkpoints")
    assert parents["sample.guide"] == {
        "path": str(tmp_path / "worse"),
        "relative": "../worse",
        "step": 4,
        "sha256": sha256((newest / "ema.safetensors").read_bytes()),
        "domain": "ring",
    }
    assert parents["train.init"]["step"] == 2
    assert dict(Model.load(run).parents) == parents
    page = write_report(run).read_text()
    assert f"<dt>Depends on</dt><dd>train.init: {tmp_path / 'early/checkpoints/step-00000002'}, step 2; " in page
    assert f"sample.guide: {tmp_path / 'worse'}, step 4</dd>" in page
    assert "Depends on" not in write_report(tmp_path / "base").read_text()


def test_initial_weights_may_go_once_training_has_begun(tmp_path: Path) -> None:
    words = {"train.init": ring(tmp_path / "base"), "optim.decay": "constant"}
    long, short = ring(tmp_path / "long", **words, **{"train.steps": 6}), ring(tmp_path / "short", **words)
    shutil.rmtree(tmp_path / "base")
    resume(short, steps=6)
    ours, theirs = (Model.load(path).denoiser.state_dict() for path in (short, long))
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    assert state(short)["parents"] == state(long)["parents"]


def test_a_guide_that_is_gone_is_missed_where_it_is_needed(tmp_path: Path) -> None:
    run = standing(tmp_path)
    shutil.rmtree(tmp_path / "worse")
    model = Model.load(run)
    assert len(model.sample(2, guidance=1.0)) == 2
    for use in (lambda: model.sample(2), lambda: resume(run, steps=6)):
        with pytest.raises(UserError, match=r"^sample\.guide=.*/worse: There is no run folder"):
            use()
    assert latest(run / "checkpoints").name == "step-00000004"


def test_a_guide_that_was_trained_further_warns_once(tmp_path: Path) -> None:
    run = standing(tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Model.load(run).sample(2)
    resume(tmp_path / "worse", steps=6)
    with pytest.warns(UserWarning, match=r"sample\.guide=.* it had step 4, and has step 6 now") as caught:
        Model.load(run).sample(2)
    assert len(caught) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # another guide than the recorded one has not changed
        Model.load(run).sample(2, guide=step_path(tmp_path / "worse" / "checkpoints", 4))


def test_runs_that_are_moved_together_find_each_other(tmp_path: Path) -> None:
    (tmp_path / "here").mkdir()
    run = standing(tmp_path / "here")
    before = Model.load(run).sample(3).examples
    there = (tmp_path / "here").rename(tmp_path / "there")
    model = Model.load(there / "run")
    assert model.config.sample.guide == there / "worse"
    assert str(model.sample(3).examples) == str(before)
    resume(there / "run", steps=6)
    parents = state(there / "run")["parents"]
    assert (parents["sample.guide"]["path"], parents["train.init"]["path"]) == (f"{there}/worse", f"{there}/base")
    resume(there / "worse", steps=6)
    again = there.rename(tmp_path / "again")  # what lies there now has other weights, and may be another run
    with pytest.raises(UserError, match=rf"^sample\.guide={there}/worse: There is no run folder"):
        Model.load(again / "run").sample(3)


def test_checkpoints_of_before_say_nothing_of_parents(tmp_path: Path) -> None:
    run = standing(tmp_path)
    for checkpoint in (run / "checkpoints").iterdir():
        old = json.loads((checkpoint / "state.json").read_text())
        del old["parents"]
        rewrite(checkpoint, state_json=json.dumps(old).encode())
    resume(run, steps=6)
    assert len(Model.load(run).sample(2)) == 2
    assert "Depends on" not in write_report(run).read_text()


def test_opening_a_parent_reads_no_weights_and_checks_the_rest(tmp_path: Path) -> None:
    base = ring(tmp_path / "base")
    newest = latest(base / "checkpoints")
    (newest / "optimizer.safetensors").unlink()
    parent = open_parent("own.codec", base)
    assert (parent.step, parent.domain, parent.checkpoint) == (4, "ring", newest)
    with pytest.raises(UserError, match=r"^own\.codec=.* is a run of the domain ring, not image\.$"):
        parent.check_domain("image")
    with pytest.raises(UserError, match=r"trained on other data than this model.* differ in scale"):
        parent.check_same_data({**parent.statistics, "scale": 3.0})
    (newest / "state.json").write_text("{}")
    with pytest.raises(UserError, match=r"^own\.codec=.* is damaged: state\.json does not match"):
        open_parent("own.codec", base)
    with pytest.raises(UserError, match=r"^own\.codec=.* is not a run folder"):
        open_parent("own.codec", tmp_path / "plugins")
    with pytest.raises(UserError, match=r"^own\.codec=.*step-00000009; those of .* are of the steps 2, 4"):
        open_parent("own.codec", step_path(Run(base).checkpoints, 9))


def test_other_weights_of_the_same_step_warn(tmp_path: Path) -> None:
    run = standing(tmp_path)
    model = Model.load(tmp_path / "worse")
    ema = {name: value + 1e-3 for name, value in model.denoiser.state_dict().items()}
    rewrite(latest(tmp_path / "worse" / "checkpoints"), ema_safetensors=pack(ema))
    with pytest.warns(UserWarning, match="it had other weights of the same step"):
        Model.load(run).sample(2)


def test_another_folder_where_a_parent_was_is_not_taken_for_it(tmp_path: Path) -> None:
    """The run is moved alone to where its relative path leads to a folder that is no run."""
    run = standing(tmp_path / "here")
    shutil.rmtree(tmp_path / "here" / "worse")
    (tmp_path / "there" / "worse").mkdir(parents=True)
    moved = run.rename(tmp_path / "there" / "run")
    model = Model.load(moved)
    with pytest.raises(UserError, match=r"sample\.guide=.*/here/worse"):
        model.sample(1)
    assert len(list(model.sample(1, guidance=1.0).examples)) == 1


def test_initial_weights_of_another_process_are_an_error(tmp_path: Path) -> None:
    base = ring(tmp_path / "base")
    rewrite(latest(base / "checkpoints"), state_json=with_process(base, "masked"))
    with pytest.raises(UserError, match="was trained with process=masked, so its weights do not fit process=gaussian"):
        ring(tmp_path / "run", **{"train.init": base})


def with_process(run: Path, process: str) -> bytes:
    found = state(run)
    return json.dumps({**found, "config": {**found["config"], "process": process}}).encode()
