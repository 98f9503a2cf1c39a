"""Runs to export: of each domain, with a guide, a latent one and its pipeline; and drawing in another process."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from pipeline_cases import LATENT
from repository import ROOT
from tiny_runs import SMALL_NETS

import polydiff
from polydiff.pipeline.train import train_pipeline

DOMAINS = ("image", "audio", "molecule", "sequence")
N, SEED = 3, 5
"""Number and seed of the samples that are compared."""


def golden_run(domain: str, folder: Path) -> Path:
    """Return a copy of the golden run of a domain."""
    run = folder / domain
    shutil.copytree(ROOT / "tests" / "golden" / domain, run / "checkpoints")
    return run


def all_kinds(folder: Path) -> dict[str, Path]:
    """Return the folders of runs and of a pipeline, by name."""
    runs = {domain: golden_run(domain, folder) for domain in DOMAINS}
    few = {"train.steps": 2, "train.batch_size": 4, "train.sample_every": 100, "sample.steps": 3, **SMALL_NETS["image"]}
    guide = {"sample.guide": str(runs["image"]), "sample.guidance": 2, "train.init": str(runs["image"])}
    runs["guided"] = polydiff.train("image", folder / "guided", overrides={**few, **image_keys(runs["image"]), **guide})
    runs["pipeline"] = train_pipeline(LATENT, folder / "pipeline", progress=False)
    runs["latent"] = runs["pipeline"] / "stages" / "ldm"
    return runs


def image_keys(run: Path) -> dict[str, object]:
    """Return the keys of the network of a run of images, so that its weights fit another one."""
    backbone = polydiff.load(run).config.backbone  # type: ignore[union-attr]
    return {f"backbone.{key}": value for key, value in backbone.model_dump(mode="json").items() if key != "text"}


def drawn_files(folder: Path) -> dict[str, bytes]:
    """Return the files of samples in a folder, by name."""
    return {path.name: path.read_bytes() for path in sorted(folder.glob("sample-*"))}


def draw(models: Mapping[str, Path | str], folder: Path) -> dict[str, dict[str, bytes]]:
    """Return the files of samples of models, by name."""
    for name, model in models.items():
        polydiff.load(model).sample(N, seed=SEED).save(folder / name)
    return {name: drawn_files(folder / name) for name in models}


def draw_elsewhere(models: Mapping[str, Path], folder: Path) -> dict[str, dict[str, bytes]]:
    """Return the files of samples of models that another process loads and draws, by name."""
    program = "".join(
        f"polydiff.load({str(model)!r}).sample({N}, seed={SEED}).save({str(folder / name)!r})\n"
        for name, model in models.items()
    )
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    subprocess.run([sys.executable, "-c", f"import polydiff\n{program}"], check=True, timeout=600, env=environment)
    return {name: drawn_files(folder / name) for name in models}
