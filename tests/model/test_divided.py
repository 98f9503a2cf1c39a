"""Samples, evaluations and bounds have the same bits whatever the number of processes that share the batches."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from divided_jobs import N, draw_and_judge, draw_and_judge_pipeline, draw_with_scarce_memory
from drawing_cases import files
from pipeline_cases import LATENT
from stage_cases import CODEC, SHAPES_PAIR
from tiny_runs import SMALL_NETS, TINY
from together import together

from polydiff.pipeline.train import train_pipeline
from polydiff.training.trainer import train

FEW = {"train.steps": 2, "train.sample_every": 2, "train.checkpoint_every": 2, "device": "cpu"}
IMAGE = {**TINY, **SMALL_NETS["image"]}
RUNS: dict[str, tuple[str, dict[str, Any]]] = {
    "image": ("image", IMAGE),
    "molecule": ("molecule", {**TINY, **SMALL_NETS["molecule"]}),
    "upsampled": ("image", {**IMAGE, "task": "upsample"}),
    "autoencoder": ("image", CODEC),
    "pair": ("image", SHAPES_PAIR),
}
"""Name of a run -> its domain and keys; molecules have several sizes."""


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("runs")
    return {
        name: train(domain, folder / name, overrides={**keys, **FEW}, progress=False)
        for name, (domain, keys) in RUNS.items()
    }


def test_two_processes_draw_judge_and_bound_as_one(runs: dict[str, Path], tmp_path: Path) -> None:
    one = draw_and_judge(tmp_path / "one", runs)
    for found in together(2, draw_and_judge, tmp_path / "two", runs):
        for name in runs:
            assert found[name] == one[name]
    assert len(files(tmp_path / "one")) > 2 * N
    assert files(tmp_path / "two") == files(tmp_path / "one")


def test_two_processes_draw_and_judge_a_pipeline_as_one(tmp_path: Path) -> None:
    chain = train_pipeline({**LATENT, "common": {**LATENT["common"], "device": "cpu"}}, tmp_path / "latent")
    one = draw_and_judge_pipeline(tmp_path / "one", chain)
    for found in together(2, draw_and_judge_pipeline, tmp_path / "two", chain):
        assert found == one
    assert len(files(tmp_path / "one")) > N
    assert files(tmp_path / "two") == files(tmp_path / "one")


@pytest.mark.parametrize("scarce", [0, 1])
def test_scarce_memory_in_one_process_makes_its_batches_smaller(
    runs: dict[str, Path], tmp_path: Path, scarce: int
) -> None:
    whole = draw_with_scarce_memory(runs["image"], -1)
    for found in together(2, draw_with_scarce_memory, runs["image"], scarce):
        assert len(found) == N
        assert max(np.abs(a.astype(int) - b).max() for a, b in zip(found, whole, strict=True)) <= 1
