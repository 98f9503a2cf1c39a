"""Profiles: parts sum to the whole, a trace names them; memory is that of the work."""

from __future__ import annotations

import gzip
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from profile_cases import SMALL, small
from repository import blocks

from polydiff.checkup.dry_run import interval
from polydiff.checkup.step_profile import STEPS, profile
from polydiff.cli import main
from polydiff.cli.train import PROFILED, train_parser
from polydiff.support.errors import UserError
from polydiff.training.loop import PHASES

pytestmark = pytest.mark.usefixtures("no_repeated_timings")


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict:
    return profile(small(), tmp_path_factory.mktemp("trace") / "t.json.gz", steps=3)


def test_the_parts_of_a_step_sum_to_it(found: dict) -> None:
    assert set(found["parts"]) == {*PHASES, "other"}
    assert sum(found["parts"].values()) == pytest.approx(found["seconds"])
    assert min(found["parts"].values()) > 0
    assert found["flops"] * (found["parts"]["forward"] + found["parts"]["backward"]) == pytest.approx(found["flop"])


def test_the_trace_names_the_parts(found: dict) -> None:
    with gzip.open(found["trace"], "rt") as file:
        events = json.load(file)["traceEvents"]
    names = [event.get("name") for event in events if event.get("cat") == "user_annotation"]
    assert [names.count(name) for name in PHASES] == [2] * len(PHASES)


def test_operators_are_listed_by_their_own_time(found: dict) -> None:
    times = [row["seconds"] for row in found["operators"]]
    assert times == sorted(times, reverse=True)
    assert sum(times) < found["seconds"] * 1.5  # no time is counted twice; tracing itself takes some
    assert any("convolution" in row["name"] for row in found["operators"])
    assert not {row["name"] for row in found["operators"]} & {*PHASES, "ProfilerStep*"}


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_twice_the_examples_are_twice_the_operations(optimizer: str) -> None:
    """Muon's products, which do not depend on the batch, are not those of the forward and backward part."""
    twice = [profile(small(**{"train.batch_size": b, "optim.name": optimizer}), steps=1) for b in ("4", "8")]
    assert twice[1]["flop"] == 2 * twice[0]["flop"]


def test_a_trace_that_cannot_be_written_raises_an_error(tmp_path: Path) -> None:
    config = small()
    for name, found_text in (("trace.txt", "ends in .json"), ("nowhere/trace.json", "no folder")):
        with pytest.raises(UserError, match=found_text):
            profile(config, tmp_path / name)


def test_the_command_prints_shares_of_one_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["train", "-d", "image", "--profile", "2", *(f"{k}={v}" for k, v in SMALL.items())]) == 0
    out = capsys.readouterr().out
    assert "mean of 2 steps: batch of 8" in out
    parts = out.split("operator")[0]
    assert sum(map(float, re.findall(r"([\d.]+)%", parts))) == pytest.approx(100, abs=0.4)  # each to a tenth
    assert [path.name for path in tmp_path.iterdir()] == ["profile-image.json.gz"]
    assert main(["train", "-d", "image", "--profile", "--dry-run"]) == 2
    assert "not allowed with" in capsys.readouterr().err


def test_the_number_of_steps_may_be_left_out() -> None:
    assert PROFILED == STEPS
    for words, steps, rest in [
        (["--profile", "seed=3"], PROFILED, ["seed=3"]),
        (["seed=3", "--profile"], PROFILED, ["seed=3"]),
        (["--profile", "--seed", "3"], PROFILED, ["--seed", "3"]),
        (["--profile", "4", "seed=3"], 4, ["seed=3"]),
        (["--profile=5", "seed=3"], 5, ["seed=3"]),
        (["seed=3"], None, ["seed=3"]),
    ]:
        args, more = train_parser().parse_known_args(words)
        assert (args.profile, [*more, *args.words]) == (steps, rest)
    with pytest.raises(UserError, match=r"Argument --profile: -3 is not above 0"):
        train_parser().parse_known_args(["--profile", "-3"])


def test_the_page_runs(capsys: pytest.CaptureFixture[str]) -> None:
    (code,) = (block for block in blocks("docs/performance.md", "python") if "polydiff.checkup.step_profile" in block)
    exec(code, {})
    assert 0 < float(capsys.readouterr().out) < 1


def test_a_profile_on_a_cpu_says_nothing_of_gpus(tmp_path: Path) -> None:
    """In a process of its own, because the message comes from native code."""
    words = ["train", "-d", "image", "--profile", "1", "backbone.channels=8", "backbone.group_size=4", "device=cpu"]
    command = [sys.executable, "-m", "polydiff", *words, "train.batch_size=4", "-o", str(tmp_path / "t.json")]
    done = subprocess.run(
        command, capture_output=True, text=True, check=True, env={**os.environ, "CUDA_VISIBLE_DEVICES": ""}
    )
    assert "gpu" not in done.stderr.lower()


def test_equal_dimensions_are_one_number() -> None:
    assert interval(64.0, 64.0) == "64"
    assert interval(27.0, 60.0) == "27 to 60"
