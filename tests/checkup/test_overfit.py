"""Tests of `polydiff.checkup.overfit`."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch

from polydiff.checkup.overfit import overfit, sampler_error
from polydiff.cli import main
from polydiff.config.merge import resolve
from polydiff.model.model import Model

TINY = {"backbone.channels": "16", "backbone.blocks": "1", "train.batch_size": "16"}
"""A network for pictures that learns four digits in seconds."""


@pytest.fixture(scope="module")
def learned() -> dict[str, Any]:
    return overfit(resolve("image", words=TINY), 160)


def test_four_examples_are_learned_by_heart(learned: dict[str, Any]) -> None:
    assert learned["passed"]
    assert learned["after"] < 0.5 * learned["before"]
    assert learned["off"] < 0.1
    assert learned["sampler"] == pytest.approx(1, abs=0.1)


def test_what_cannot_learn_does_not_pass() -> None:
    """A learning rate near 0: samples are nobody's, and the loss stays."""
    stuck = overfit(resolve("image", words={**TINY, "optim.lr": "1e-9"}), 20)
    assert not stuck["passed"]
    assert stuck["after"] > 0.5 * stuck["before"]


def test_a_sampler_that_leads_astray_is_seen() -> None:
    """From a highest noise level of 0.3, samples of N(0, 1) have a standard deviation far below 1."""
    words = {**TINY, "schedule_options.sigma_max": "0.3", "loss.times": "uniform", "loss.times_options": "{}"}
    config = resolve("image", words=words).config
    from polydiff.config.processes import build_denoiser
    from polydiff.contract.discover import build_domain

    domain = build_domain(config)
    model = Model(config, domain, build_denoiser(config, domain, torch.device("cpu")))
    spread = sampler_error(model)
    assert spread is not None
    assert spread < 0.5


def test_the_command_line_prints_whether_it_passed(capsys: pytest.CaptureFixture[str]) -> None:
    words = [f"{key}={value}" for key, value in TINY.items()]
    code = main(["train", "--domain", "image", "--overfit-one-batch", "3", *words])
    said = capsys.readouterr().out
    assert code == 1
    assert "4 examples, 3 steps" in said
    assert "not passed" in said


def test_molecules_of_different_sizes_are_judged_by_their_loss(tmp_path: Path) -> None:
    words = {"backbone.hidden": "16", "backbone.layers": "2", "train.batch_size": "8", "data.max_heavy": "3"}
    result = overfit(resolve("molecule", words=words), 3)
    assert result["off"] is None
    assert math.isfinite(result["after"])
