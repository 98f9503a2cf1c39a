"""learn=match: a pair learns which text belongs to which example."""

from __future__ import annotations

from pathlib import Path

import pytest
from stage_cases import SHAPES_PAIR
from tiny_runs import assert_same_run, stop_at

import polydiff
from polydiff.cli import main
from polydiff.judging.evaluate import evaluate
from polydiff.support.errors import UserError


def test_it_is_resumed_to_the_same_bits(tmp_path: Path) -> None:
    whole = polydiff.train("image", tmp_path / "whole", overrides=SHAPES_PAIR)
    with pytest.raises(KeyboardInterrupt):
        polydiff.train("image", tmp_path / "cut", overrides=SHAPES_PAIR, progress=stop_at(5))
    assert_same_run(whole, polydiff.resume(tmp_path / "cut"))


def test_it_finds_texts_far_more_often_than_by_chance(tmp_path: Path) -> None:
    values = {
        **SHAPES_PAIR,
        "train.steps": 150,
        "train.batch_size": 64,
        "train.checkpoint_every": 150,
        "optim.lr": 3e-3,
    }
    model = polydiff.load(polydiff.train("image", tmp_path / "run", overrides=values))
    found = evaluate(model, 300)["metrics"]
    assert found["text_found"]["value"] > 0.15  # chance is 0.01
    assert found["example_found"]["value"] > 0.15
    assert "among 100 different held-out texts" in found["text_found"]["meaning"]


def test_the_command_line_evaluates_and_reports_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = polydiff.train("image", tmp_path / "run", overrides=SHAPES_PAIR)
    assert main(["eval", str(run), "-n", "50"]) == 0
    assert "held-out pairs" in capsys.readouterr().out
    assert main(["report", str(run)]) == 0
    assert "held-out pairs" in (run / "report.html").read_text()
    assert main(["eval", str(run), "-n", "50", "--guidance", "2"]) == 2
    assert main(["sample", str(run)]) == 2
    assert "learn=match: this process cannot generate samples" in capsys.readouterr().err


def test_data_without_texts_are_an_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="these data have none"):
        polydiff.train("image", tmp_path / "run", overrides={**SHAPES_PAIR, "data.name": "digits"})
