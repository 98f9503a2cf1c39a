"""Processes that Ray starts train as those of torchrun do; skipped without Ray."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_runs import SMALL_NETS, TINY

from polydiff.machine.processes.on_ray import installed_ray
from polydiff.run.folder import Run
from polydiff.support.errors import UserError

KEYS: dict[str, Any] = {
    **{key: value for key, value in TINY.items() if key != "train.checkpoint_every"},
    **SMALL_NETS["image"],
    **{"train.precision": "float32", "train.steps": 4, "device": "cpu", "launch.processes": 2},
}


def polydiff(*words: str) -> subprocess.CompletedProcess[str]:
    patience = {"RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S": "300"}
    environment = {**os.environ, **patience, "OMP_NUM_THREADS": "1", "RAY_DEDUP_LOGS": "0"}
    command = [sys.executable, "-m", "polydiff", *words]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=540, check=False)


def train(run: Path, **more: Any) -> subprocess.CompletedProcess[str]:
    keys = {**KEYS, **{key.replace("__", "."): value for key, value in more.items()}}
    words = [f"{key}={str(value).lower()}" for key, value in keys.items()]
    return polydiff("train", "--domain", "image", "-o", str(run), "--judge", "0", *words)


def losses(run: Path) -> torch.Tensor:
    return torch.tensor([record["loss"] for record in Run(run).records()])


def test_two_processes_of_ray_train_as_two_of_torchrun(tmp_path: Path) -> None:
    pytest.importorskip("ray.train.torch")
    found = train(tmp_path / "ray", launch__engine="ray")
    assert found.returncode == 0, found.stderr
    assert train(tmp_path / "torchrun").returncode == 0
    assert len(losses(tmp_path / "ray")) == 4
    torch.testing.assert_close(losses(tmp_path / "ray"), losses(tmp_path / "torchrun"), rtol=1e-5, atol=0)


def test_a_mistake_in_a_process_of_ray_is_said_and_ends_the_command_with_its_code(tmp_path: Path) -> None:
    pytest.importorskip("ray.train.torch")
    found = train(tmp_path / "run", launch__engine="ray", train__batch_size=7)
    assert found.returncode == 2
    assert "train.batch_size=7 cannot be divided evenly over 2 processes" in found.stderr + found.stdout


def test_without_ray_the_message_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UserError, match=r"needs Ray Train .* pip install 'polydiff\[ray\]'"):
        installed_ray()
