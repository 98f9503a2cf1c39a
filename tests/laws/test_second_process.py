"""Other processes than the Gaussian one: binary pixels, and an autoencoder that generates nothing.

They are trained, resumed, averaged, sampled, evaluated and reported by the code that serves the Gaussian process.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from repository import ROOT
from tiny_runs import SMALL_NETS, TINY, assert_same_run, stop_at
from torch import Tensor, nn

import polydiff
from polydiff.cli import main
from polydiff.core import extensions
from polydiff.core.objective import Objective, Outcome
from polydiff.core.process.process import PROCESSES
from polydiff.gaussian.process.process import GaussianProcess
from polydiff.support.errors import UserError

SETTINGS = {**TINY, **SMALL_NETS["image"], "process": "binary_pixels"}


@pytest.fixture(autouse=True)
def binary_pixels() -> Iterator[None]:
    path = str(ROOT / "examples" / "binary_pixels.py")
    assert isinstance(PROCESSES["gaussian"], GaussianProcess)  # registered before, so that it stays afterwards
    with PROCESSES.temporary():
        extensions.load(path)
        yield
    del extensions._loaded[extensions.key_of(path)]


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
    assert "schedule=edm" not in page  # a key of another process


class Autoencoder(nn.Module):
    """64 pixels to 4 numbers and back."""

    def __init__(self) -> None:
        super().__init__()
        self.encode, self.decode = nn.Linear(64, 4), nn.Linear(4, 64)

    def forward(self, x: Tensor) -> Tensor:
        return self.decode(self.encode(x.flatten(1))).reshape(x.shape)


class Reconstruction(Objective[Autoencoder]):
    """The squared error of the reconstruction; it has no noise levels."""

    def __call__(self, module: Autoencoder, batch: Any, u: Tensor, generators: Any, moment: Any) -> Outcome:
        return Outcome((module(batch.x) - batch.x).square().flatten(1).mean(1), None)


@dataclass(frozen=True)
class Autoencoding:
    """A process that trains a stage and generates nothing."""

    name: str = "autoencoding"

    def check(self, config: Any) -> None:
        pass

    def network(self, config: Any, domain: Any, device: torch.device) -> nn.Module:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            return Autoencoder().to(device)

    def objective(self, config: Any) -> Objective[Any]:
        return Reconstruction()


def test_a_stage_that_generates_nothing_is_trained_and_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    with PROCESSES.temporary("autoencoding", Autoencoding()):
        words = [f"{key}={value}" for key, value in {**TINY, "train.steps": 60, "train.ema_snapshots": 3}.items()]
        assert main(["train", "--domain", "image", "process=autoencoding", *words]) == 0
        run = tmp_path / "runs" / "image-001"
        losses = [record["loss"] for record in map(json.loads, (run / "metrics.jsonl").read_text().splitlines())]
        assert losses[-1] < losses[0]
        assert (run / "report.html").is_file()
        assert not (run / "evaluation.json").exists()
        following = capsys.readouterr().out.partition("Next:")[2]
        assert "polydiff resume" in following
        assert "polydiff sample" not in following + (run / "report.html").read_text()
        overfit = ["--overfit-one-batch", "40"]
        assert main(["train", "--domain", "image", "process=autoencoding", *words, *overfit]) in {0, 1}
        assert "log-SNR, " not in capsys.readouterr().out  # no advice about noise levels, which it does not have
        model = polydiff.load(run)
        x = model.domain.batch("test", range(4), polydiff.streams(0, "augment", range(4))).x
        assert model.denoiser(x).shape == x.shape
        polydiff.resume(run, steps=64)
        capsys.readouterr()
        assert main(["sample", str(run), "-n", "2"]) == 2
        assert "process=autoencoding: this process cannot generate samples." in capsys.readouterr().err


def test_its_network_needs_pictures(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"process=binary_pixels needs pictures \(--domain image\)"):
        polydiff.train("audio", tmp_path / "run", overrides={**TINY, "process": "binary_pixels"})


@pytest.mark.parametrize("wrong", [Autoencoding, object(), len])
def test_what_is_no_process_is_an_error(wrong: Any, tmp_path: Path) -> None:
    with PROCESSES.temporary("wrong", wrong), pytest.raises(UserError, match=r"process=wrong: .* is registered"):
        polydiff.train("image", tmp_path / "run", overrides={**TINY, "process": "wrong"})


@pytest.mark.parametrize("key", ["sample.sampler", "sample.spacing", "schedule", "loss.norm", "sample.guidance"])
def test_a_key_that_it_does_not_use_is_an_error(key: str, tmp_path: Path) -> None:
    values = {**SETTINGS, key: 2.0 if key == "sample.guidance" else "karras"}
    with pytest.raises(UserError, match=rf"^process=binary_pixels does not use {key}\. Leave it out\.$"):
        polydiff.train("image", tmp_path / "run", overrides=values)
    assert not (tmp_path / "run").exists()


def test_sampling_with_a_key_that_it_does_not_use_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = polydiff.train("image", tmp_path / "run", overrides={**SETTINGS, "train.steps": 1})
    model = polydiff.load(run)
    with pytest.raises(UserError, match=r"binary_pixels does not use sample\.sampler, sample\.spacing\."):
        model.sample(2, sampler="heun", spacing="karras")
    capsys.readouterr()
    assert main(["sample", str(run), "-n", "1", "--guidance", "2", "-o", str(tmp_path / "out")]) == 2
    assert "does not use sample.guidance" in capsys.readouterr().err
    monkeypatch.delattr(type(model.process), "keys")  # a process that says nothing
    monkeypatch.delitem(vars(model.process), "keys")
    with pytest.warns(UserWarning, match=r"process=binary_pixels may ignore sample\.sampler: it does not say"):
        model.sample(2, sampler="heun")
