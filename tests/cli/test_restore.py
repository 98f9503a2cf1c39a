"""Tests of `polydiff solve`, and of variations by text, with runs of two steps."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
from PIL import Image
from tiny_runs import tiny

from polydiff.cli import main

RATE, LENGTH = 4000, 512
SOUNDS = {
    "data.sample_rate": RATE,
    "data.length": LENGTH,
    "data.n_train": 64,
    "data.n_test": 16,
    "data.channels": 2,
}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs that no test changes."""
    folder = tmp_path_factory.mktemp("solve")
    tiny("audio", folder / "audio", **{"train.steps": 2, **SOUNDS})
    tiny("image", folder / "image", **{"train.steps": 2})
    tiny("image", folder / "shapes", **{"train.steps": 2, "data.name": "shapes"})
    tiny("molecule", folder / "molecule", **{"train.steps": 2})
    return folder


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "photo.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 32, 3), dtype=np.uint8)).save(path)
    return path


@pytest.mark.parametrize("given", ["grey", "blur=1.5", "mean=4", "gap=2,2:6,6"])
def test_pictures_are_solved_from_files(runs: Path, picture: Path, tmp_path: Path, given: str) -> None:
    words = ["solve", str(runs / "shapes"), str(picture), "--given", given, "--each", "2", "--noise", "0.05"]
    assert main([*words, "--steps", "2", "-o", str(tmp_path / "out")]) == 0
    for part in ("given", "made"):
        images = [np.array(Image.open(path)) for path in sorted((tmp_path / "out" / part).glob("*.png"))]
        assert [image.shape for image in images] == [(32, 32, 3)] * 2
        assert not np.array_equal(*images)
        assert (tmp_path / "out" / part / "show.html").exists()
    manifest = json.loads((tmp_path / "out" / "made" / "manifest.json").read_text())
    assert (manifest["measurement"], manifest["noise"], manifest["method"]) == (given, 0.05, "moments")
    assert manifest["files"] == [str(picture)] * 2
    assert not (tmp_path / "out" / "metrics.json").exists()  # the true picture of a file is not known


@pytest.mark.parametrize("given", ["low=500", "mean=4", "mono", "gap=0.05:0.07"])
def test_sounds_of_any_length_are_solved_from_files(runs: Path, tmp_path: Path, given: str) -> None:
    path = tmp_path / "drum.wav"
    soundfile.write(path, 0.1 * np.random.default_rng(0).standard_normal((700, 2)), RATE, subtype="FLOAT")
    words = ["solve", str(runs / "audio"), str(path), "--given", given, "--how", "moments", "--steps", "2"]
    assert main([*words, "-o", str(tmp_path / "out")]) == 0
    for part in ("given", "made"):
        (found,) = (tmp_path / "out" / part).glob("*.wav")
        assert soundfile.read(found)[0].shape == (700, 2)


def test_a_file_that_is_a_measurement_gives_what_measuring_gives(runs: Path, tmp_path: Path) -> None:
    small = np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    Image.fromarray(small).save(tmp_path / "small.png")
    Image.fromarray(small.repeat(4, 0).repeat(4, 1)).save(tmp_path / "whole.png")  # of which these are the means
    words = ["--given", "mean=4", "--each", "2", "--steps", "2"]
    for name, more in (("whole", []), ("small", ["--measured"])):
        path, out = tmp_path / f"{name}.png", tmp_path / f"{name}-out"
        assert main(["solve", str(runs / "shapes"), str(path), *words, *more, "-o", str(out)]) == 0
    for part in ("given", "made"):
        whole, small = (
            np.stack([np.array(Image.open(path)) for path in sorted((tmp_path / f"{name}-out" / part).glob("*.png"))])
            for name in ("whole", "small")
        )
        assert np.abs(whole.astype(int) - small).max() <= 1
    assert json.loads((tmp_path / "small-out" / "made" / "manifest.json").read_text())["measured"] is True


def test_held_out_examples_are_judged_beside_a_simple_method(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["solve", str(runs / "image"), "--given", "mean=2", "-n", "3", "--first", "2", "--seed", "5"]
    assert main([*words, "--how", "dps", "--steps", "3", "-o", str(tmp_path / "out")]) == 0
    found = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert {name: found[name] for name in ("measurement", "method", "n", "first", "seed")} == {
        "measurement": "mean=2", "method": "dps", "n": 3, "first": 2, "seed": 5,
    }  # fmt: skip
    assert set(found["metrics"]) == {"psnr", "ssim"}
    assert found["metrics"]["psnr"]["baseline"] > found["metrics"]["psnr"]["value"]  # after two steps of training
    printed = capsys.readouterr().out
    assert "3 held-out examples from number 2 on, measured by mean=2 with noise 0; dps, seed 5" in printed
    assert "The simple method is interpolation between the blocks" in printed
    assert printed.splitlines()[-1] == str((tmp_path / "out").resolve())


@pytest.mark.parametrize(
    ("run", "words", "sentence"),
    [
        ("image", ["--given", "maen=2"], "Did you mean 'mean'?"),
        ("image", ["--given", "mean=9"], "from 2 to 8"),
        ("image", ["--given", "blur=3"], "for images of 8 pixels"),
        ("image", ["--given", "grey"], "grey already"),
        ("image", ["--given", "mean=2", "--how", "pgdm"], "Did you mean 'pigdm'?"),
        ("image", ["--given", "mean=2", "--noise", "-1"], "noise must be"),
        ("image", ["--given", "mean=2", "--zeta", "1"], "moments has no zeta"),
        ("image", ["--given", "mean=2", "--how", "dps", "--sampler", "heun"], "Use the sampler ddim"),
        ("image", [], "--given"),
        ("image", ["--given", "mean=2", "--measured"], "--measured is about files"),
        ("audio", ["--given", "low=2001"], "to 2000"),
        ("audio", ["--given", "blur=2"], "Unknown measurement 'blur'"),
        ("molecule", ["--given", "mean=2"], "The domain molecule has no measurements"),
    ],
)
def test_what_cannot_be_solved_is_an_error_of_one_line(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], run: str, words: list[str], sentence: str
) -> None:
    assert main(["solve", str(runs / run), *words, "-o", str(tmp_path / "out")]) == 2
    printed = capsys.readouterr().err.strip().splitlines()
    assert sentence in printed[-1]
    assert not (tmp_path / "out").exists()


def test_a_picture_is_varied_with_a_text(runs: Path, picture: Path, tmp_path: Path) -> None:
    words = ["vary", str(runs / "shapes"), str(picture), "--strength", "0.9", "--steps", "2"]
    words += ["--weights", "model", "--guidance", "40"]  # after two steps of training a text has little effect
    assert main([*words, "--cond", "text=a small red circle at the top left", "-o", str(tmp_path / "out")]) == 0
    manifest = json.loads((tmp_path / "out" / "made" / "manifest.json").read_text())
    assert [row["cond"]["text"] for row in manifest["samples"]] == ["a small red circle at the top left"]
    made, plain = (tmp_path / name / "made" / "sample-00000.png" for name in ("out", "plain"))
    assert main([*words, "-o", str(tmp_path / "plain")]) == 0
    assert made.read_bytes() != plain.read_bytes()
