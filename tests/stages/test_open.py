"""Runs in the codes of another run: independent of where that run is now, and strict about what it is."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from stage_cases import trained_codec, trained_on_codes
from tiny_runs import TINY, assert_same_run, stop_at, tiny

import polydiff
from polydiff.cli import main
from polydiff.config.merge import resolve
from polydiff.stages.open import warn_of_other_data
from polydiff.support.errors import UserError


def examples(run: Path, **how: Any) -> torch.Tensor:
    return torch.stack(list(polydiff.load(run).sample(4, seed=1, **how).examples))


@pytest.mark.parametrize("domain", ["image", "audio"])
def test_it_is_resumed_to_the_same_bits_and_samples_without_the_run_of_its_codec(domain: str, tmp_path: Path) -> None:
    codec = trained_codec(domain, tmp_path / "ae")
    whole = trained_on_codes(domain, tmp_path / "whole", codec)
    with pytest.raises(KeyboardInterrupt):
        trained_on_codes(domain, tmp_path / "cut", codec, progress=stop_at(5))
    before = examples(whole)
    shutil.rmtree(codec)
    assert_same_run(whole, polydiff.resume(tmp_path / "cut"))
    assert torch.equal(examples(whole), before)
    shutil.move(whole, tmp_path / "moved")
    assert torch.equal(examples(tmp_path / "moved"), before)


def test_a_codec_that_is_trained_further_changes_no_sample(tmp_path: Path) -> None:
    codec = trained_codec("image", tmp_path / "ae")
    run = trained_on_codes("image", tmp_path / "ldm", codec)
    before = examples(run)
    polydiff.resume(codec, steps=16)
    assert torch.equal(examples(run), before)


def test_a_folder_in_which_a_crash_left_a_copy_is_begun_again(tmp_path: Path) -> None:
    codec = trained_codec("image", tmp_path / "ae")
    run = tmp_path / "ldm"
    shutil.copytree(trained_codec("image", tmp_path / "other", seed=1) / "checkpoints", run / "parts" / "codec")
    (run / ".lock").touch()
    again, whole = trained_on_codes("image", run, codec), trained_on_codes("image", tmp_path / "whole", codec)
    assert torch.equal(examples(again), examples(whole))


def test_a_damaged_copy_is_an_error(tmp_path: Path) -> None:
    run = trained_on_codes("image", tmp_path / "ldm", trained_codec("image", tmp_path / "ae"))
    path = run / "parts" / "codec" / "ema.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(UserError, match=r"ema\.safetensors does not match its manifest"):
        polydiff.load(run)


@pytest.mark.parametrize("workers", [0, 3])
def test_the_number_of_workers_changes_no_bit(workers: int, tmp_path: Path) -> None:
    codec = trained_codec("image", tmp_path / "ae")
    one = trained_on_codes("image", tmp_path / "one", codec)
    assert_same_run(one, trained_on_codes("image", tmp_path / "other", codec, **{"train.workers": workers}))


def test_what_is_no_codec_of_the_domain_is_an_error(tmp_path: Path) -> None:
    denoiser = tiny("image", tmp_path / "denoiser")
    with pytest.raises(UserError, match=r"was trained with learn=denoise\. A codec is a run with learn=encode"):
        trained_on_codes("image", tmp_path / "a", denoiser)
    sounds = trained_codec("audio", tmp_path / "sounds")
    with pytest.raises(UserError, match="is a run of the domain audio, not image"):
        trained_on_codes("image", tmp_path / "b", sounds)
    with pytest.raises(UserError, match="there is no such run"):
        trained_on_codes("image", tmp_path / "c", tmp_path / "nothing")
    codec = trained_codec("image", tmp_path / "ae")
    with pytest.raises(UserError, match="the condition known is aligned with states, not with codes"):
        trained_on_codes("image", tmp_path / "d", codec, task="inpaint")


def test_a_missing_copy_is_replaced_by_the_same_weights_alone(tmp_path: Path) -> None:
    codec = trained_codec("image", tmp_path / "ae")
    run = trained_on_codes("image", tmp_path / "ldm", codec)
    before = examples(run)
    shutil.rmtree(run / "parts")
    assert torch.equal(examples(run), before)
    polydiff.resume(codec, steps=16)
    with pytest.raises(UserError, match=r"is missing, and codec=.* has other weights now"):
        polydiff.load(run)


def test_a_run_cannot_start_from_one_in_other_states(tmp_path: Path) -> None:
    first, second = (trained_codec("image", tmp_path / f"ae{seed}", seed=seed) for seed in (0, 1))
    run = trained_on_codes("image", tmp_path / "ldm", first)
    for i, more in enumerate(({"codec": str(second)}, {"codec": None})):
        with pytest.raises(UserError, match="was trained in other states: its codec is not that of this run"):
            tiny("image", tmp_path / f"b{i}", **{"train.init": str(run), **more})
    with pytest.raises(UserError, match="was trained with learn=encode, so its weights do not fit learn=denoise"):
        tiny("image", tmp_path / "c", **{"train.init": str(first)})


def test_a_codec_of_other_data_is_an_error_or_a_warning(tmp_path: Path) -> None:
    codec = trained_codec("image", tmp_path / "ae")
    with pytest.raises(UserError, match="was trained on other data than this run: mean has 1 numbers"):
        trained_on_codes("image", tmp_path / "a", codec, **{"data.name": "shapes"})
    with pytest.warns(UserWarning, match=r"was trained with data\.test_share=0\.2, unlike this run"):
        trained_on_codes("image", tmp_path / "b", codec, **{"data.test_share": 0.3})


@pytest.mark.filterwarnings("error")
def test_a_codec_of_another_size_needs_no_warning() -> None:
    codec = resolve("image", values={"learn": "encode", "data.name": "shapes", "data.size": 64}).config
    smaller = resolve("image", values={"data.name": "shapes", "data.size": 64, "data.shrink": 2}).config
    warn_of_other_data("codec=ae", codec, smaller)
    with pytest.warns(UserWarning, match=r"codec=ae was trained with data\.things=\[1\], unlike this run"):
        warn_of_other_data(
            "codec=ae", codec, resolve("image", values={"data.name": "shapes", "data.things": [2]}).config
        )
    sounds = [resolve("audio", values={"data.length": n}).config for n in (4096, 8192)]
    warn_of_other_data("codec=ae", sounds[0], sounds[1])


def test_every_incidental_key_is_a_key_of_the_data() -> None:
    for domain in ("image", "audio", "molecule"):
        data = type(resolve(domain).config.data)
        assert set(data.incidental) <= data.model_fields.keys()


def test_an_edit_that_needs_places_is_an_error(tmp_path: Path) -> None:
    model = polydiff.load(trained_on_codes("image", tmp_path / "ldm", trained_codec("image", tmp_path / "ae")))
    given = model.domain.batch("test", range(2), polydiff.streams(0, "augment", range(2)))
    with pytest.raises(UserError, match=r"works in codes .* and cannot solve inverse problems"):
        polydiff.solve(model, given, "mean=2")


def test_verbs_work_through_a_codec(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = trained_on_codes("image", tmp_path / "ldm", trained_codec("image", tmp_path / "ae"))
    for words in (
        ["sample", run, "-n", "2", "--cond", "label=7", "--guidance", "2", "-o", tmp_path / "s"],
        ["vary", run, "-n", "2", "--steps", "4", "-o", tmp_path / "v"],
        ["interpolate", run, tmp_path / "s/sample-00000.png", tmp_path / "s/sample-00001.png", "-o", tmp_path / "i"],
        ["eval", run, "-n", "4"],
        ["report", run],
    ):
        assert main([str(word) for word in words]) == 0, words
    assert "codec" in (run / "report.html").read_text()
    capsys.readouterr()
    assert main(["eval", str(run), "-n", "4", "--likelihood"]) == 0
    assert "density in state" in capsys.readouterr().out


def test_a_run_that_starts_from_another_keeps_its_scale_of_codes(tmp_path: Path) -> None:
    codec = trained_codec("image", tmp_path / "ae")
    first = trained_on_codes("image", tmp_path / "first", codec)
    second = trained_on_codes("image", tmp_path / "second", codec, **{"train.init": str(first)})
    ours, theirs = (polydiff.load(run).domain.statistics["codec"] for run in (first, second))
    assert ours == theirs
    assert TINY["train.steps"] == polydiff.load(second).step
