"""Runs: stopping changes no bit, batch sizes change no sample, what is not finite is reported and harms nothing."""

from __future__ import annotations

import math
import re
import shutil
import warnings
from pathlib import Path

import pytest
import torch
from tiny_runs import assert_same_run, stop_at, tiny

from polydiff.contract.domain import Samples
from polydiff.model.model import Model
from polydiff.run.checkpoint import Checkpoint, latest
from polydiff.run.folder import Run, step_path, steps_saved
from polydiff.support.errors import NonFiniteError, UserError
from polydiff.training.loop import Record
from polydiff.training.trainer import resume


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny("image", tmp_path_factory.mktemp("runs") / "image-001")


@pytest.mark.parametrize("domain", ["image", "audio", "molecule"])
def test_a_run_that_was_interrupted_ends_with_the_same_bits(domain: str, tmp_path: Path) -> None:
    whole = tiny(domain, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        tiny(domain, tmp_path / "cut", stop_at(5))
    stopped = steps_saved(tmp_path / "cut" / "checkpoints")[-1]
    assert stopped in (5, 6)  # the step in hand is finished, then saved
    resume(tmp_path / "cut")
    assert_same_run(whole, tmp_path / "cut")


def test_a_run_that_crashed_repeats_what_was_lost(tmp_path: Path, finished: Path) -> None:
    """Without a checkpoint of its own: back to step 4, and lines of the log beyond it are forgotten."""

    def crash(record: Record, seconds: float) -> None:
        if record.step == 7:
            raise RuntimeError("power cut")

    with pytest.raises(RuntimeError, match="power cut"):
        tiny("image", tmp_path / "run", crash)
    with (tmp_path / "run" / "metrics.jsonl").open("a") as log:
        log.write('{"step": 8, "lo')  # a line that the crash cut short
    assert steps_saved(tmp_path / "run" / "checkpoints") == [4]
    resume(tmp_path / "run")
    assert_same_run(finished, tmp_path / "run")


def test_training_longer_is_the_longer_run(tmp_path: Path) -> None:
    constant = {"optim.decay": "constant"}
    long = tiny("image", tmp_path / "long", **constant)
    short = tiny("image", tmp_path / "short", **constant, **{"train.steps": 8})
    resume(short, steps=12)
    assert_same_run(long, short)
    assert "steps: 12  # resume" in Run(short).resolved.read_text()


def same(a: Samples, b: Samples) -> bool:
    return all(
        torch.allclose(torch.as_tensor(x).float(), torch.as_tensor(y).float(), atol=1.01)
        for x, y in zip(a.examples, b.examples, strict=True)
    )


def test_samples_do_not_depend_on_the_batch_size(finished: Path) -> None:
    model = Model.load(finished)
    together, split = model.sample(7, seed=3), model.sample(7, seed=3, batch_size=2)
    assert same(together, split)
    assert together.cond is not None
    assert split.cond is not None
    assert torch.equal(together.cond["label"], split.cond["label"])
    assert not same(together, model.sample(7, seed=4))


def test_a_run_is_never_overwritten(finished: Path) -> None:
    with pytest.raises(UserError, match="already contains a run"):
        tiny("image", finished)


def test_a_loss_that_is_not_finite_stops_the_run_with_the_last_good_weights(tmp_path: Path) -> None:
    with pytest.raises(NonFiniteError, match=r"Step \d+: the .* is not finite"):
        tiny(
            "image",
            tmp_path / "run",
            **{
                "optim.name": "sgd",
                "optim.lr": 100,
                "optim.clip": 1e30,
                "optim.warmup": 0,
                "train.checkpoint_every": 1000,
                "train.sample_every": 1000,
            },
        )
    step = steps_saved(tmp_path / "run" / "checkpoints")[-1]
    saved = Checkpoint.load(latest(tmp_path / "run" / "checkpoints"))
    assert saved.step == step
    assert step == [record["step"] for record in Run(tmp_path / "run").records()][-1]


def test_a_damaged_checkpoint_raises_an_error_with_advice(finished: Path, tmp_path: Path) -> None:
    import shutil

    shutil.copytree(finished, tmp_path / "run")
    newest = latest(tmp_path / "run" / "checkpoints")
    (newest / "model.safetensors").write_bytes(b"")
    with pytest.raises(UserError, match=r"damaged.*Move it away"):
        Model.load(tmp_path / "run")
    shutil.rmtree(newest)
    assert Model.load(tmp_path / "run").step == 8


def test_samples_that_are_not_finite_raise_an_error_and_are_never_decoded(finished: Path) -> None:
    model = Model.load(finished)
    with torch.no_grad():
        next(model.denoiser.parameters()).fill_(float("nan"))
    with pytest.raises(UserError, match=r"step 12 are not finite \(sampler auto, 4 steps"):
        model.sample(2)


def test_two_trainings_do_not_share_a_folder(tmp_path: Path) -> None:
    def again(record: Record, seconds: float) -> None:
        if record.step == 2:
            for begin in (lambda: tiny("image", tmp_path / "run"), lambda: resume(tmp_path / "run")):
                with pytest.raises(UserError, match=r"Another process is training|holds files"):
                    begin()

    tiny("image", tmp_path / "run", again, **{"train.checkpoint_every": 100})


def test_a_folder_of_other_files_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "metrics.jsonl").write_text('{"step": 100, "precious": 1}\n')
    with pytest.raises(UserError, match="contains other files than a run"):
        tiny("image", tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["metrics.jsonl"]
    assert "precious" in (tmp_path / "metrics.jsonl").read_text()


def test_a_longer_goal_is_kept_and_a_shorter_one_raises_an_error(tmp_path: Path) -> None:
    run = tiny("image", tmp_path / "run", **{"optim.decay": "constant", "train.steps": 8})
    before = (run / "config.resolved.yaml").read_text()
    with pytest.raises(UserError, match="has done 8 steps already"):
        resume(run, steps=5)
    assert (run / "config.resolved.yaml").read_text() == before

    def crash(record: Record, seconds: float) -> None:
        raise RuntimeError("power cut")

    with pytest.raises(RuntimeError, match="power cut"):
        resume(run, steps=12, progress=crash)
    resume(run)
    assert steps_saved(run / "checkpoints")[-1] == 12


def test_samples_that_a_crash_left_out_are_made_up_for(tmp_path: Path, finished: Path) -> None:
    shutil.copytree(finished, tmp_path / "run")
    shutil.rmtree(tmp_path / "run" / "samples" / "step-00000012")
    resume(tmp_path / "run")
    ours, theirs = (run / "samples" / "step-00000012" / "manifest.json" for run in (tmp_path / "run", finished))
    assert ours.read_text() == theirs.read_text()


def test_checkpoints_that_a_crash_kept_from_deletion_are_deleted(tmp_path: Path) -> None:
    run = tiny("image", tmp_path / "run", **{"train.keep": 2})
    kept = steps_saved(run / "checkpoints")
    newest = step_path(run / "checkpoints", kept[-1])
    shutil.copytree(newest, step_path(run / "checkpoints", 1))
    resume(run)
    assert steps_saved(run / "checkpoints") == kept
    assert len(kept) == 2


def test_data_of_another_size_raise_an_error_on_resume(tmp_path: Path) -> None:
    import numpy as np
    from PIL import Image

    (tmp_path / "own").mkdir()
    for i in range(30):
        pixels = np.random.default_rng(i).integers(0, 256, (16, 16, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / "own" / f"{i}.png")
    run = tiny("image", tmp_path / "run", **{"data.path": tmp_path / "own", "data.size": 16, "train.steps": 4})
    for i in range(15):
        (tmp_path / "own" / f"{i}.png").unlink()
    with pytest.raises(UserError, match=r"was trained on \d+ examples, but there are \d+"):
        resume(run, steps=6)


@pytest.mark.parametrize(
    ("word", "value", "message"),
    [
        ("sample.options", {"eta": 2}, "eta must be between 0 and 1"),
        ("schedule_options", {"sigma_min": 5, "sigma_max": 1}, "0 < sigma_min < sigma_max"),
        ("schedule_options", {"rho": 0}, "schedule_options"),
        ("optim.betas", [2, 3], "optim.betas"),
        ("optim.lr", math.inf, "optim.lr"),
        ("device", "meta", "is not the name of a device"),
        ("seed", 10**23, "seed"),
        ("loss.times_options", {"mean": -1, "std": -1e9}, "loss.times_options"),
    ],
)
def test_values_that_cannot_work_raise_an_error_before_anything_is_written(
    word: str, value: object, message: str, tmp_path: Path
) -> None:
    sampler = {"sample.sampler": "ddim"} if word == "sample.options" else {}
    with pytest.raises(UserError, match=re.escape(message)):
        tiny("image", tmp_path / "run", **sampler, **{word: value})
    assert not (tmp_path / "run" / "config.resolved.yaml").exists()


def test_a_shorter_plan_says_what_becomes_of_the_learning_rate(tmp_path: Path) -> None:
    """A decaying rate bends when the number of steps is lowered; a constant one does not."""
    for decay in ("cosine", "constant"):
        run = tmp_path / decay
        with pytest.raises(KeyboardInterrupt):
            tiny("image", run, progress=stop_at(4), **{"train.steps": 40, "optim.decay": decay})
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            resume(run, steps=6)
        lowered = [str(w.message) for w in said if "is less than the 40 steps" in str(w.message)]
        assert len(lowered) == (decay == "cosine")
        assert all("a schedule that ends at step 6" in line for line in lowered)
