"""Inspection of a folder of images: formats, sizes, classes, noise range."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow

from polydiff.backbones.config import MLPConfig
from polydiff.cli import main
from polydiff.config.merge import resolve
from polydiff.domains.image.config import ImageConfig, ImageData
from polydiff.domains.image.data.inspect import network_in_words
from polydiff.domains.image.domain import Image


def write(root: Path, suffixes: tuple[str, ...] = (".png", ".jpg", ".gif"), n: int = 30) -> Path:
    g = np.random.default_rng(0)
    for name in ("cat", "dog"):
        (root / name).mkdir(parents=True)
        for i in range(n):
            pixels = g.integers(0, 256, (20, 30, 3), dtype=np.uint8) // 4 + g.integers(0, 192, dtype=np.uint8)
            Pillow.fromarray(pixels).save(root / name / f"{i}{suffixes[i % len(suffixes)]}")
    return root


def test_facts_name_formats_sizes_classes_and_the_noise_range(tmp_path: Path) -> None:
    found = Image.inspect(ImageConfig(data=ImageData(path=write(tmp_path), size=10)), ())
    assert found.problems == []
    facts = found.facts
    assert facts["formats"] == {"PNG": 20, "JPEG": 20, "GIF": 20}
    assert facts["pixels"] == {"colour": 40, "palette": 20}
    assert facts["shorter sides in pixels"] == {"least": 20.0, "half": 20.0, "greatest": 20.0}
    assert facts["classes"] == "cat, dog"
    assert facts["train examples"] + facts["test examples"] == 60
    assert "10 x 10 pixels, colour" in facts["read as"]
    assert "the images are 2 times larger" in facts["read as"]
    assert facts["largest principal standard deviation"] > 5
    assert "20 of preset quick is too low" in facts["sigma_max"]


def test_the_network_of_a_new_run_and_a_larger_preset_are_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["data", "check", str(write(tmp_path)), "data.size=64", "--json"]) == 0
    network = json.loads(capsys.readouterr().out)["facts"]["network"]
    assert network.startswith("levels of 32, 16, 8 places of 2 x 2 pixels with 32, 64, 64 channels, batches of 32")
    assert "--preset small data.size=64 is a larger one" in network
    facts = Image.inspect(ImageConfig(data=ImageData(path=tmp_path, size=10)), ()).facts
    assert facts["network"] == "levels of 10, 5 places with 32, 64 channels, batches of 64"


def test_numbers_by_class_and_split_are_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path / "train", n=20)
    write(tmp_path / "test", n=7)
    for i in range(3, 7):
        (tmp_path / "test" / "dog" / f"{i}{('.png', '.jpg', '.gif')[i % 3]}").unlink()
    assert main(["data", "check", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    assert [line.split() for line in out.splitlines() if line.startswith(("cat", "dog", "all"))] == [
        ["cat", "20", "7"],
        ["dog", "20", "3"],
        ["all", "40", "10"],
    ]
    assert "Few examples are held out: dog (3 of 23)." in out


def test_a_folder_that_cannot_be_used_is_a_problem(tmp_path: Path) -> None:
    found = Image.inspect(ImageConfig(data=ImageData(path=tmp_path)), ())
    assert "holds 0 images" in found.problems[0]


def test_the_words_of_a_network_name_its_grid_and_a_larger_one() -> None:
    folder = {"data.path": "photos", "data.size": 64}
    dit = resolve("image", "dit", values=folder).config
    assert isinstance(dit, ImageConfig)
    assert network_in_words(dit)["network"] == (
        "16 x 16 patches of 4 x 4 pixels, width 128, 4 blocks, batches of 32; for first tests on a CPU. "
        "--preset dit-s data.size=64 is a larger one, for a GPU"
    )
    unet = resolve("image", values=folder).config
    assert isinstance(unet, ImageConfig)
    assert "--preset small" in network_in_words(unet)["network"]
    assert network_in_words(unet.model_copy(update={"backbone": MLPConfig()})) == {}
