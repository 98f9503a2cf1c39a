"""The same losses and weights, up to rounding, whatever the number of processes and pieces that share a batch."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from process_jobs import resume_in, train_all, train_traced, train_until_one_is_terminated
from stage_cases import CODEC, SHAPES_PAIR
from tiny_runs import SMALL_NETS, TINY, assert_alike
from together import together

from polydiff.run.checkpoint import latest
from polydiff.run.folder import Run, steps_saved
from polydiff.support.errors import UserError
from polydiff.training.trainer import train

Case = tuple[str, dict[str, Any]]
COMMON: dict[str, Any] = {"train.precision": "float32", "train.steps": 6, "train.checkpoint_every": 6, "device": "cpu"}
SMALL_TRANSFORMER = {"backbone.name": "dit", "backbone.width": 16, "backbone.heads": 2, "backbone.depth": 2}
IMAGE = {**TINY, **SMALL_NETS["image"], **COMMON, "backbone.dropout": 0.0}


def image(**more: Any) -> Case:
    return "image", {**IMAGE, **{key.replace("__", "."): value for key, value in more.items()}}


CASES: dict[str, Case] = {
    "image": image(),
    "audio": ("audio", {**TINY, **SMALL_NETS["audio"], **COMMON}),
    "molecule": ("molecule", {**TINY, **SMALL_NETS["molecule"], **COMMON}),
    "letters": ("sequence", {**TINY, **COMMON, **SMALL_TRANSFORMER}),
    "a transformer": ("image", {**TINY, **COMMON, **SMALL_TRANSFORMER, "backbone.patch": 4}),
    "a transformer of graphs": (
        "molecule",
        {**TINY, **COMMON, **SMALL_NETS["molecule"], "backbone.name": "graph_transformer", "backbone.pair": 8},
    ),
    "a learned schedule": image(schedule="learned", target="eps", loss__times="uniform", loss__weighting="elbo"),
    "adaptive noise levels": image(loss__times="adaptive", loss__times_options={"bins": 2, "depth": 1}),
    "two terms": image(loss__objective="hybrid"),
    "few steps": image(loss__objective="shortcut"),
    "its own estimate": image(backbone__self_condition=True),
    "muon and averages": image(optim__name="muon", train__ema_snapshots=2, train__checkpoint_every=3),
    "a rate in bits": ("image", {**CODEC, **COMMON, "encode.bits": 4.0}),
    "a pair": ("image", {**SHAPES_PAIR, **COMMON}),
}
COMPARING = ("a learned schedule", "a rate in bits", "a pair")
"""Cases whose batches cannot be trained on in pieces."""
UNSHARDED = ("two terms", "adaptive noise levels", "a rate in bits", "a pair")
"""Cases that are not trained by processes that hold a part of the weights each, the latter two because they cannot."""


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("alone")
    for name, (domain, keys) in CASES.items():
        train(domain, folder / name, overrides=keys, progress=False)
    return folder


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pairs")
    together(2, train_all, folder, CASES)
    return folder


@pytest.mark.parametrize("name", CASES)
def test_two_processes_train_as_one(alone: Path, pairs: Path, name: str) -> None:
    assert_alike(alone / name, pairs / name)


def test_a_signal_to_one_process_gives_all_its_exit_code(tmp_path: Path) -> None:
    domain, keys = CASES["image"]
    assert together(2, train_until_one_is_terminated, tmp_path / "run", domain, keys, 2) == [143, 143]
    assert steps_saved(Run(tmp_path / "run").checkpoints) == [2]


@pytest.fixture(scope="module")
def sharded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sharded")
    cases = {name: (domain, {**keys, "launch.strategy": "fsdp"}) for name, (domain, keys) in CASES.items()}
    cases["image"][1]["train.checkpoint_every"] = 3
    together(2, train_all, folder, {name: case for name, case in cases.items() if name not in UNSHARDED})
    return folder


@pytest.mark.parametrize("name", [name for name in CASES if name not in UNSHARDED])
def test_two_processes_that_hold_a_part_of_the_weights_each_train_as_one(alone: Path, sharded: Path, name: str) -> None:
    assert_alike(alone / name, sharded / name)


@pytest.mark.parametrize(("world", "strategy"), [(1, "fsdp"), (2, "ddp"), (4, "fsdp")])
def test_a_checkpoint_of_parts_is_resumed_by_any_number_of_processes(
    alone: Path, sharded: Path, tmp_path: Path, world: int, strategy: str
) -> None:
    run = tmp_path / "run"
    shutil.copytree(sharded / "image", run)
    shutil.rmtree(latest(Run(run).checkpoints))
    together(world, resume_in, run, {"strategy": strategy})
    assert_alike(alone / "image", run)


def test_a_checkpoint_of_whole_weights_is_resumed_in_parts(alone: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(alone / "muon and averages", run)
    shutil.rmtree(latest(Run(run).checkpoints))
    together(2, resume_in, run, {"strategy": "fsdp"})
    assert_alike(alone / "muon and averages", run)


def test_layers_that_are_gathered_one_at_a_time_are_compiled(alone: Path, tmp_path: Path) -> None:
    domain, keys = CASES["a transformer"]
    assert together(2, train_traced, tmp_path, domain, {**keys, "launch.strategy": "fsdp"}) == [
        1,
        1,
    ]  # all blocks' code
    assert_alike(alone / "a transformer", tmp_path / "traced")


def test_parts_of_weights_can_be_trained_on_pieces_of_batches(alone: Path, tmp_path: Path) -> None:
    domain, keys = CASES["image"]
    values = {**keys, "launch.strategy": "fsdp", "train.accumulate": 2}
    together(2, train_all, tmp_path, {"pieces": (domain, values)})
    assert_alike(alone / "image", tmp_path / "pieces")


@pytest.mark.parametrize("name", [name for name in CASES if name not in COMPARING])
def test_pieces_train_as_a_whole_batch(alone: Path, tmp_path: Path, name: str) -> None:
    domain, keys = CASES[name]
    train(domain, tmp_path / "run", overrides={**keys, "train.accumulate": 4}, progress=False)
    assert_alike(alone / name, tmp_path / "run")


def test_four_processes_and_two_with_pieces_train_as_one(alone: Path, tmp_path: Path) -> None:
    domain, keys = CASES["image"]
    together(4, train_all, tmp_path, {"four": (domain, keys)})
    together(2, train_all, tmp_path, {"pieces": (domain, {**keys, "train.accumulate": 2})})
    assert_alike(alone / "image", tmp_path / "four")
    assert_alike(alone / "image", tmp_path / "pieces")


@pytest.mark.parametrize("name", COMPARING)
def test_a_batch_whose_samples_are_compared_is_not_divided_into_pieces(tmp_path: Path, name: str) -> None:
    domain, keys = CASES[name]
    with pytest.raises(UserError, match=r"train.accumulate=2 divides a batch into pieces .* compares the samples"):
        train(domain, tmp_path / "run", overrides={**keys, "train.accumulate": 2}, progress=False)


def test_a_batch_that_cannot_be_divided_evenly_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"train.batch_size=8 cannot be divided evenly over 1 process and .*=3"):
        train("image", tmp_path / "run", overrides={**IMAGE, "train.accumulate": 3}, progress=False)
