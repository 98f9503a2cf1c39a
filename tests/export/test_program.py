"""An exported network is the run's network, at other sizes too, and its program draws the run's samples."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from repository import blocks, commands
from torch import Tensor
from untrained import SMALL, untrained

import polydiff
from polydiff.cli import main
from polydiff.contract.fields import to_json
from polydiff.contract.text.captions import Captions
from polydiff.core.space import Euclidean, Space
from polydiff.core.streams import streams
from polydiff.export.program import onnx_program
from polydiff.export.reference import inputs as reference
from polydiff.gaussian.schedule.base import SCHEDULES
from polydiff.gaussian.schedule.timesteps import Timesteps
from polydiff.support.errors import UserError

N = 5


def batch(model: Any, more: int, n: int = N) -> tuple[Space, Tensor, Tensor, dict[str, Tensor], dict[str, Tensor]]:
    """Noisy states of a size other than that of the trace, with their levels, the space's tensors and conditions."""
    space, cond = model.domain.blank(streams(7, "blank", range(n)), {})
    tensors: dict[str, Tensor] = {}
    if model.config.domain == "molecule":
        tensors = model.domain.space_tensors(space)
        space = model.domain.space_of(tensors)
    elif more:
        channels, *sizes = space.shape
        space = Euclidean(n, (channels, *(size + more for size in sizes)))
    x = 3 * space.noise(streams(7, "sample", range(n)))
    return space, x, torch.linspace(0.05, 9, n), tensors, dict(cond or {})


def module(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec
    assert spec.loader
    found = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(found)
    return found


@pytest.mark.parametrize(("domain", "more"), [("image", 6), ("audio", 328), ("molecule", 0)])
def test_onnxruntime_computes_the_network_and_the_samples_of_the_run(domain: str, more: int, tmp_path: Path) -> None:
    run, folder = untrained(tmp_path / "run", domain, **SMALL[domain]), tmp_path / "onnx"
    how = ["--sampler", "dpmpp_2m", "--steps", "4", "--guidance", "2"]
    assert main(["export", str(run), "--format", "onnx", "-o", str(folder), *how]) == 0
    model, spec = polydiff.load(run), json.loads((folder / "model.json").read_text())
    session = onnxruntime.InferenceSession(str(folder / "model.onnx"))

    def network(feed: dict[str, Any]) -> Any:
        assert feed.keys() == spec["inputs"].keys()
        return session.run(None, feed)[0]

    for sizes, n in ((0, 1), (more, N)):
        space, x, sigma, tensors, cond = batch(model, sizes, n)
        if model.config.backbone.self_condition:
            cond["_estimate"] = x / 2
        with torch.no_grad():
            truth = model.denoiser.with_precision("float32")(x, sigma, space, cond or None)
        feed = {name: value.numpy() for name, value in {"x": x, "sigma": sigma, **tensors, **cond}.items()}
        torch.testing.assert_close(torch.from_numpy(network(feed)), truth, atol=1e-4, rtol=1e-4)

    space, _, _, tensors, cond = batch(model, 0)
    plan = model.plan(sampler="dpmpp_2m", steps=4, guidance=2.0)
    truth = model.states(space, cond, 3, range(N), plan)
    noise = space.noise(streams(3, "sample", range(N))).numpy()
    sample, states = module(folder / "sample.py"), module(folder / "states.py")
    given = {name: value.numpy() for name, value in {**tensors, **cond}.items()}

    def torchs(feed: dict[str, Any]) -> Any:
        x, sigma = torch.from_numpy(feed["x"]), torch.from_numpy(feed["sigma"])
        names = feed.keys() - {"x", "sigma", *tensors}
        with torch.no_grad():
            known = {name: torch.from_numpy(feed[name]) for name in names}
            return model.denoiser.with_precision("float32")(x, sigma, space, known or None).numpy()

    found = sample.sample(torchs, spec, lambda: noise, given)
    torch.testing.assert_close(torch.from_numpy(found).float(), truth, atol=1e-4, rtol=1e-4)
    # Rarely onnxruntime is less exact: of the five sounds' evaluations of this random network one is off by 0.007.
    near = torch.from_numpy(sample.sample(network, spec, lambda: noise, given)).float()
    torch.testing.assert_close(near, truth, atol=0.02 if domain == "audio" else 1e-4, rtol=1e-4)
    examples = model.domain.decode(truth, space)
    if domain == "image":
        ours = states.pixels(found, spec).transpose(0, 3, 1, 2)
        assert np.abs(ours.astype(int) - torch.stack(examples).numpy().astype(int)).max() <= 1
    elif domain == "audio":
        np.testing.assert_allclose(states.sounds(found, spec), torch.stack(examples).numpy(), atol=1e-4)
    else:
        for (numbers, positions), molecule in zip(states.atoms(found, given, spec), examples, strict=True):
            assert numbers.tolist() == molecule.numbers.tolist()
            np.testing.assert_allclose(positions, molecule.positions, atol=1e-3)
    cond = {"image": "label=7", "audio": "pitch=C4", "molecule": "C=2"}[domain]
    paths = program(folder, tmp_path / "samples", "--cond", cond)
    suffix = {"image": ".png", "audio": ".wav", "molecule": ".xyz"}[domain]
    assert [path.name for path in paths] == [f"{i:05d}{suffix}" for i in range(3)]
    if domain == "molecule":
        lines = [path.read_text().splitlines() for path in paths]
        assert all(int(one[0]) == len(one) - 2 for one in lines)


def program(folder: Path, output: Path, *words: str) -> list[Path]:
    """Run the program without polydiff and torch, and return the paths that it prints."""
    block = "import sys, runpy; sys.modules['torch'] = sys.modules['polydiff'] = None; sys.path.insert(0, sys.argv[1])"
    given = [str(folder), "-n", "3", "-o", str(output), *words, "--seed", "1"]
    code = f"{block}; sys.argv = sys.argv[1:]; runpy.run_path(sys.argv[0] + '/sample.py', run_name='__main__')"
    done = subprocess.run([sys.executable, "-c", code, *given], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return [Path(line) for line in done.stdout.splitlines()]


def test_torch_computes_the_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At a batch of one and at another size, and in the words of the page."""
    monkeypatch.chdir(tmp_path)
    run = untrained(tmp_path / "runs" / "digits", "image", **SMALL["image"])
    (words,) = [words for words in commands("docs/export.md") if "torch" in words]
    assert main(words) == 0
    network, model = torch.export.load("digits-torch/model.pt2").module(), polydiff.load(run)
    space, x, sigma, _, cond = batch(model, 3)
    with torch.no_grad():
        truth = model.denoiser.with_precision("float32")(x, sigma, space, cond)
        torch.testing.assert_close(network(x, sigma, cond), truth, atol=1e-4, rtol=1e-4)
        one = {name: value[:1] for name, value in cond.items()}
        torch.testing.assert_close(network(x[:1], sigma[:1], one), truth[:1], atol=1e-4, rtol=1e-4)
    scope: dict[str, Any] = {}
    exec(blocks("docs/export.md", "python")[0], scope)
    assert scope["estimate"].shape == (4, 1, 8, 8)


def test_samples_of_a_plugin_are_arrays_and_its_conditions_may_be_left_out(ring: None, tmp_path: Path) -> None:
    schedule = {"schedule": "linear", "schedule_options": {}}
    run, folder = untrained(tmp_path / "run", "ring", **schedule), tmp_path / "onnx"
    assert main(["export", str(run), "--format", "onnx", "-o", str(folder), "--guidance", "1"]) == 0
    program(folder, tmp_path / "samples")
    assert np.load(tmp_path / "samples" / "samples.npy").shape == (3, 2)


def test_a_program_exported_without_guidance_keeps_the_interval_for_its_own_option(tmp_path: Path) -> None:
    run, folder = untrained(tmp_path / "run", "audio", **SMALL["audio"]), tmp_path / "onnx"
    how = ["--sampler", "dpmpp_2m", "--steps", "4", "--guidance", "1"]
    assert main(["export", str(run), "--format", "onnx", "-o", str(folder), *how]) == 0
    spec = json.loads((folder / "model.json").read_text())
    assert spec["sampling"]["guidance"] == {"scale": 1.0, "interval": [1.0, 10_000.0]}


def test_onnxruntime_computes_the_timesteps_of_a_table(tmp_path: Path) -> None:
    """At and between grid points, as a network of diffusers takes them."""
    steps = Timesteps(SCHEDULES["linear"]())
    x = torch.tensor([-4.0, -1.0, 0.0, 2.5]), -steps.log_snr()[[0, 3, 500, 999]].float() / 2

    class Clock(torch.nn.Module):
        def forward(self, log_sigma: Tensor) -> Tensor:
            return steps.of(log_sigma)

    traced = torch.export.export(Clock(), (x[0],), strict=False)
    onnx_program(traced, ["log_sigma"], tmp_path / "clock.onnx")
    session = onnxruntime.InferenceSession(str(tmp_path / "clock.onnx"))
    for log_sigma in x:
        found = torch.from_numpy(session.run(None, {"log_sigma": log_sigma.numpy()})[0])
        torch.testing.assert_close(found, steps.of(log_sigma), atol=1e-3, rtol=0)
    assert found.tolist() == [0, 3, 500, 999]


@pytest.mark.parametrize("kind", ["words", "bytes"])
def test_texts_become_the_tokens_of_the_run(kind: str) -> None:
    texts = ["A red circle, at the top.", "two  Größen"]
    field = Captions.measure(texts, [1, 1], kind)
    spec = {"values": {"conditions": to_json({"text": field})}, "inputs": {}}
    for text in (*texts, "a BLUE circle" if kind == "words" else "x", "any"):
        found = reference.conditions(spec, 2, {"text": text}, {}, np.random.default_rng(0))["text"]
        assert found.tolist() == field.encode([None if text == "any" else text] * 2).tolist()
    drawn = reference.conditions(spec, 9, {}, {}, np.random.default_rng(0))["text"].tolist()
    assert {tuple(row) for row in drawn} == {tuple(row) for row in field.encode(texts).tolist()}


@pytest.mark.parametrize(
    ("values", "words", "message"),
    [
        ({"process": "masked"}, [], "only runs with process=gaussian"),
        ({"task": "inpaint"}, [], "conditioned on known of a given example"),
        ({}, ["--sampler", "adaptive"], "chooses its steps as it goes"),
        ({}, ["--guidance", "2", "--guidance-method", "apg"], "guidance cfg without options"),
    ],
)
def test_what_cannot_be_exported_is_an_error_before_a_folder_is_made(
    values: dict[str, Any], words: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = untrained(tmp_path / "run", "image", **SMALL["image"], **values)
    assert main(["export", str(run), "--format", "torch", "-o", str(tmp_path / "out"), *words]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_wrong_arguments_are_errors(tmp_path: Path) -> None:
    from polydiff.export.formats import Request, export

    with pytest.raises(UserError, match=r"Unknown format 'onx'\. Did you mean 'onnx'"):
        export("onx", Request(tmp_path), tmp_path / "out")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    with pytest.raises(UserError, match="not an empty folder"):
        export("onnx", Request(tmp_path), tmp_path / "full")
