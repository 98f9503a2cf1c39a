"""The sections on diffusers of the page on exports work. tests/export uses the others."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import diffusers
import pytest
from diffusers_cases import EMBEDS, captioned
from PIL import Image
from repository import blocks, commands
from untrained import UNET, untrained

from polydiff.cli import main


def test_the_commands_and_the_python_on_diffusers_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    for i in range(8):
        Image.linear_gradient("L").resize((8, 8)).rotate(45 * i).save(tmp_path / "photos" / f"{i}.png")
    diffusers.DDPMPipeline(diffusers.UNet2DModel(**UNET), diffusers.DDPMScheduler()).save_pretrained("pipeline")
    captioned(tmp_path / "captioned", 12)
    diffusers.UNet2DConditionModel(**EMBEDS).save_pretrained("text-pipeline/unet")
    diffusers.DDPMScheduler().save_pretrained("text-pipeline/scheduler")
    for name in ("circle", "empty"):
        shutil.copyfile(tmp_path / "captioned" / "0.npy", f"{name}.npy")
    pages = [words for words in commands("docs/export.md") if not {"onnx", "torch", "runs/digits"} & {*words}]
    assert [words[0] for words in pages] == ["train", "export", *["import", "sample", "eval", "train"] * 2]
    trained, exported, *further = pages
    keys = dict(word.split("=") for word in trained if "=" in word)
    untrained(tmp_path / trained[-1], trained[2], **keys | {"data.standardise": keys["data.standardise"] == "true"})
    assert main(exported) == 0
    scope: dict[str, Any] = {}
    exec(blocks("docs/export.md", "python")[1].replace("=20", "=2"), scope)
    assert len(scope["images"]) == 4
    more = {
        "sample": ["--steps", "2"],
        "eval": ["--steps", "2"],
        "train": ["train.batch_size=4", "sample.steps=2", "--judge", "0"],
    }
    for words in further:
        fewer = [word.replace("500", "20").replace("1000", "2") for word in words]
        assert main([*fewer, *more.get(words[0], [])]) == 0, words
