"""A process that is not Gaussian is trained, resumed, sampled, evaluated and reported like the Gaussian one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from repository import ROOT
from tiny_runs import SMALL_NETS, TINY, assert_same_run, stop_at

import polydiff
from polydiff.cli import main
from polydiff.core import extensions
from polydiff.core.process import PROCESSES
from polydiff.support.errors import UserError

SETTINGS = {**TINY, **SMALL_NETS["image"], "process": "binary_pixels"}


@pytest.fixture(autouse=True)
def binary_pixels() -> Iterator[None]:
    path = str(ROOT / "examples" / "binary_pixels.py")
    with PROCESSES.temporary():
        extensions.load(path)
        yield
    del extensions._loaded[path]


def test_it_is_resumed_to_the_same_bits(tmp_path: Path) -> None:
    whole = polydiff.train("image", tmp_path / "whole", overrides=SETTINGS)
    with pytest.raises(KeyboardInterrupt):
        polydiff.train("image", tmp_path / "cut", overrides=SETTINGS, progress=stop_at(5))
    assert_same_run(whole, polydiff.resume(tmp_path / "cut"))


def test_its_samples_are_binary_and_depend_on_their_numbers_alone(tmp_path: Path) -> None:
    model = polydiff.load(polydiff.train("image", tmp_path / "run", overrides=SETTINGS))
    samples = torch.stack(list(model.sample(6, seed=1, steps=4, batch_size=6).examples))
    assert samples.unique().numel() == 2  # no pixel is still masked
    some = torch.stack([e for part in model.stream(3, first=2, seed=1, steps=4, batch_size=1) for e in part.examples])
    assert torch.equal(some, samples[2:5])
    with pytest.raises(UserError, match="process=binary_pixels: this process cannot make variations"):
        polydiff.vary(model, model.domain.batch("test", range(2), polydiff.streams(0, "augment", range(2))))


def test_the_command_line_trains_evaluates_and_reports_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    settings = [f"{key}={value}" for key, value in SETTINGS.items()]
    assert main(["train", "--domain", "image", *settings, "--judge", "8"]) == 0
    assert main(["sample", "runs/image-001", "-n", "3", "-o", "out"]) == 0
    assert len(list((tmp_path / "out").glob("*.png"))) == 3
    page = (tmp_path / "runs" / "image-001" / "report.html").read_text()
    assert "binary_pixels" in page
