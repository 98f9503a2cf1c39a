"""learn=encode: defaults, errors, and what a run writes."""

from __future__ import annotations

from pathlib import Path

import pytest
from stage_cases import CODEC, LEARNER, trained_codec
from tiny_runs import assert_same_run, stop_at

import polydiff
from polydiff.cli import main
from polydiff.config.merge import resolve
from polydiff.model.edit import held_out, reconstruct
from polydiff.support.errors import UserError


def test_its_defaults_yield_to_the_users() -> None:
    settings = resolve("image", values={"learn": "encode", "optim.lr": 1e-4})
    assert settings.config.backbone.name == "autoencoder"
    assert settings.config.optim.lr == 1e-4
    assert settings.provenance["backbone.name"] == "learn encode"
    assert resolve("image", values={"learn": "denoise"}).config.backbone.name == "unet"


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            {"learn": "encode", "backbone.name": "unet"},
            "unet: this network is a denoiser, and learn=encode",
        ),
        ({"backbone.name": "autoencoder"}, "backbone.name=autoencoder: this network is a codec, and learn=denoise"),
        ({"learn": "encode", "schedule": "cosine"}, "learn=encode does not use schedule"),
        ({"learn": "encode", "task": "inpaint"}, "learn=encode has no tasks"),
        ({"learn": "encod"}, "did you mean.*encode|denoise, encode, match"),
        ({"learn": "encode", "loss.objective": "ect"}, r"learn=encode does not use loss\.objective\. Leave it out"),
        ({"learn": "encode", "process": "other"}, "learn=encode does not use process"),
        ({"learn": "encode", "sample.steps": 5}, r"learn=encode does not use sample\.steps\. Leave it out"),
        (
            {"learn": "encode", "loss.norm": "l1", "sample.negative": {"label": 3}, "train.condition_dropout": 0.2},
            r"learn=encode does not use loss\.norm, sample\.negative, train\.condition_dropout\. Leave them out",
        ),
        ({"learn": "encode", "backbone.text.layers": 1}, r"learn=encode does not use backbone\.text\.layers"),
        ({"encode.kl": 0.1, "encode.norm": "l2"}, r"learn=denoise does not use encode\.kl, encode\.norm"),
        ({"learn": "encode", "encode.spectral": 1.0}, r"compares spectra of waveforms .* Set encode\.spectral=0"),
        ({"encode.kl": 0.1}, r"learn=denoise does not use encode\.kl"),
        (
            {"learn": "encode", "encode.kl": 0.1, "encode.bits": 2},
            r"encode\.kl has no effect beside encode\.bits=2, wh",
        ),
        ({"tell_noise": 0.2}, r"tell_noise is noise on the embeddings of tell, which is not set\. Leave it out, or"),
    ],
)
def test_what_does_not_fit_is_an_error(values: dict[str, str], message: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=message):
        polydiff.train("image", tmp_path / "run", overrides={**LEARNER, **values})
    assert not (tmp_path / "run").exists()


def test_a_key_of_the_user_leaves_the_rest_of_the_recipe() -> None:
    network = resolve("audio", values={"learn": "encode", "backbone.codes": 16}).config.backbone
    assert (network.codes, network.factor, network.patch, network.channels, network.kernel) == (16, 32, 16, 128, 5)


def test_its_resolved_configuration_trains_the_same_run(tmp_path: Path) -> None:
    run = polydiff.train("image", tmp_path / "run", overrides=CODEC)
    again = polydiff.train("image", tmp_path / "again", files=[run / "config.resolved.yaml"])
    assert_same_run(run, again)


def test_it_is_resumed_to_the_same_bits(tmp_path: Path) -> None:
    whole = polydiff.train("image", tmp_path / "whole", overrides=CODEC)
    with pytest.raises(KeyboardInterrupt):
        polydiff.train("image", tmp_path / "cut", overrides=CODEC, progress=stop_at(5))
    assert_same_run(whole, polydiff.resume(tmp_path / "cut"))


@pytest.mark.parametrize("domain", ["image", "audio"])
def test_the_command_line_shows_evaluates_and_reports_reconstructions(
    domain: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = trained_codec(domain, tmp_path / "ae")
    assert len(list((run / "samples" / "real").glob("sample-*"))) == 16
    assert len(list((run / "samples" / "step-00000012").glob("sample-*"))) == 16
    assert main(["eval", str(run), "-n", "4"]) == 0
    out = capsys.readouterr().out
    assert "4 reconstructions, 4 real examples" in out
    assert "rate" in out
    assert main(["eval", str(run), "-n", "4", "--guidance", "2"]) == 2
    assert "guidance applies to samples" in capsys.readouterr().err
    assert main(["report", str(run)]) == 0
    page = (run / "report.html").read_text()
    assert "4 reconstructions" in page
    assert "An autoencoder for the domain" in page
    assert "schedule=edm," not in page
    assert main(["sample", str(run), "-n", "1"]) == 2
    assert "learn=encode: this process cannot generate samples" in capsys.readouterr().err


def test_an_error_of_codes_changes_reconstructions_as_a_function_of_the_seed(tmp_path: Path) -> None:
    model = polydiff.load(trained_codec("image", tmp_path / "ae"))
    given = held_out(model, 8)[0]
    plain, noisy, again = (
        [e.tolist() for e in reconstruct(model, given, **how).examples]
        for how in ({}, {"error": 0.5, "seed": 3}, {"error": 0.5, "seed": 3})
    )
    assert noisy == again
    assert noisy != plain
