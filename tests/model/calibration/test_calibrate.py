"""Calibration of a whole model, an exact mixture with guidance: better, kept in a file, and used by request."""

from __future__ import annotations

import json
import shlex
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from exact_model import exact_model

import polydiff
from polydiff.cli import main
from polydiff.gaussian.process import calibrate as process
from polydiff.gaussian.process.calibrate import better
from polydiff.hub.files import CALIBRATION
from polydiff.model.model import Model
from polydiff.run.calibrations import Fitted, copy_fitted, read_fitted
from polydiff.support.errors import UserError
from polydiff.testing.analytic import GaussianMixture
from polydiff.testing.problems import gauss

HOW = {"steps": 5, "guidance": 2.0}


@pytest.fixture(scope="module")
def model() -> Model:
    means, variances = 0.8 * gauss(1, 4, 16), (0.05 + 0.5 * gauss(2, 4, 16).abs()).square()
    return exact_model(GaussianMixture(means, variances, labels=torch.tensor([0, 0, 1, 1])))


@pytest.fixture(scope="module")
def fitted(model: Model) -> Fitted:
    return polydiff.calibrate(model, **HOW, n=32)


def end(model: Model, n: int, first: int, **how: object) -> torch.Tensor:
    samples = next(iter(model.stream(n, first=first, batch_size=n, **how)))
    return torch.stack(list(samples.examples))


def test_samples_are_nearer_to_the_solution_than_the_defaults_with_guidance(model: Model, fitted: Fitted) -> None:
    """On noise that neither the fit nor its judge has seen, against many steps of Heun's method."""
    assert not fitted.default
    assert fitted.error < 0.6 * fitted.error_of_default
    truth = end(model, 64, 7, sampler="heun", spacing="asinh", steps=300, guidance=2.0)
    errors = [
        ((end(model, 64, 7, **how) - truth).norm(dim=1) / truth.norm(dim=1)).median().item()
        for how in (fitted.sampling, {**HOW, "sampler": "auto"})
    ]
    assert errors[0] < 0.6 * errors[1]


def test_the_file_gives_the_same_bits_and_a_later_fit_replaces_it(model: Model, fitted: Fitted, tmp_path: Path) -> None:
    fitted.save(tmp_path)
    other = replace(fitted, sampling={**fitted.sampling, "steps": 9})
    other.save(tmp_path)
    fitted.save(tmp_path)
    assert list(read_fitted(tmp_path)) == [other, fitted]
    run = replace(model, fitted=read_fitted(tmp_path))
    samples = run.sample(4, sampler="calibrated", **HOW)
    assert torch.equal(torch.stack(list(samples.examples)), end(model, 4, 0, **fitted.sampling))
    assert samples.origin is not None
    facts = samples.origin.facts  # hold the numbers, so a manifest needs no further file
    assert facts["options"] == fitted.sampling["options"]
    assert facts["spacing_options"] == fitted.sampling["spacing_options"]
    guided = replace(fitted, sampling={**fitted.sampling, "steps": 3, "guide": "runs/weak"})
    guided.save(tmp_path)
    copy_fitted(tmp_path, tmp_path / "exported")
    assert list(read_fitted(tmp_path / "exported")) == [other, fitted]


def test_what_is_missing_is_said_with_the_nearest_and_a_command(model: Model, fitted: Fitted) -> None:
    with pytest.raises(
        UserError, match=r"No sampler was calibrated for this model.*calibrate RUN --steps 5 --guidance 2"
    ):
        model.request(sampler="calibrated", **HOW)
    run = replace(model, fitted=[fitted])
    with pytest.raises(UserError, match=r"for 6 steps, guidance 2\. There are some for 5 steps, guidance 2"):
        run.request(sampler="calibrated", steps=6, guidance=2.0)
    with pytest.raises(UserError, match="for 5 steps, guidance 2, guidance_method=apg"):
        run.request(sampler="calibrated", guidance_method="apg", **HOW)
    with pytest.raises(UserError, match="Leave the spacing out"):
        run.request(sampler="calibrated", spacing="karras", **HOW)


def test_weights_that_changed_since_are_noticed(model: Model, fitted: Fitted) -> None:
    weight = next(model.denoiser.parameters())
    with torch.no_grad():
        weight += 1
    try:
        with pytest.raises(UserError, match="weights are not those that a sampler was calibrated for"):
            replace(model, fitted=[fitted]).plan(sampler="calibrated", **HOW)
    finally:
        with torch.no_grad():
            weight -= 1


def test_the_default_is_kept_unless_something_is_better(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "ROUNDS", 0)
    fitted = polydiff.calibrate(model, **HOW, n=8)
    assert fitted.default
    assert fitted.error == fitted.error_of_default
    assert torch.equal(end(model, 3, 0, **fitted.sampling), end(model, 3, 0, sampler="auto", **HOW))


def test_better_means_beyond_chance_and_without_larger_errors() -> None:
    errors = [0.1, 0.2, 0.15, 0.12, 0.3]
    assert better([0.5 * e for e in errors], errors)
    assert not better(errors, errors)
    assert not better([0.05, 0.21, 0.155, 0.121, 0.29], errors)  # one sample made the mean
    assert not better([0.02, 0.03, 0.03, 0.02, 0.6], errors)  # the worst sample is worse
    assert not better([0.01, 0.01, 0.01, 0.01, float("nan")], errors)


def test_bad_arguments_and_files_are_errors(model: Model, fitted: Fitted, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="steps=51: a sampler can be calibrated for 2 to 50 steps"):
        polydiff.calibrate(model, steps=51)
    with pytest.raises(UserError, match="spacing is what calibration determines"):
        polydiff.calibrate(model, spacing="karras")
    path = fitted.save(tmp_path)
    whole = json.loads(path.read_text())
    for change, message in (
        ({"format": 2}, "format 2, not 1"),
        ({"fitted": [{**whole["fitted"][0], "error": "small"}]}, "is damaged.*wrong type"),
        ({"fitted": [{"sampling": {}}]}, "is damaged"),
    ):
        (tmp_path / CALIBRATION).write_text(json.dumps(whole | change))
        with pytest.raises(UserError, match=message):
            read_fitted(tmp_path)


@pytest.mark.parametrize(
    "words",
    [
        ["--guidance", "1"],
        ["--weights", "model", "--guidance", "1.5", "--guidance-method", "apg", "--guidance-interval", "0.1,5"],
    ],
)
def test_the_printed_command_samples_with_what_was_fitted(
    small_runs: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    words: list[str],
) -> None:
    run = shutil.copytree(small_runs / "image", tmp_path / "run")
    monkeypatch.setattr(process, "better", lambda errors, before: True)
    assert main(["calibrate", str(run), "--steps", "2", "-n", "2", *words]) == 0
    printed = shlex.split(capsys.readouterr().out.splitlines()[-1])
    assert main([*printed[1:], "-n", "1", "-o", str(tmp_path / "drawn")]) == 0
    drawn = json.loads((tmp_path / "drawn" / "manifest.json").read_text())
    assert drawn["sampler"] == "calibrated"
