"""Presets that follow publications: parameters, noise levels and steps are those of the papers."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image as Pillow
from repository import ROOT

from polydiff.config.merge import resolve
from polydiff.contract.backbone import build_backbone
from polydiff.core.conditions import Classes
from polydiff.domains.image.config import ImageConfig
from polydiff.gaussian.loss.base import Loss
from polydiff.gaussian.sampling.plan import SAMPLERS
from polydiff.gaussian.sampling.spacing import noise_levels
from polydiff.gaussian.schedule.base import SCHEDULES
from polydiff.model.model import Model
from polydiff.training.trainer import start

PIXEL_STD = 0.5
"""Standard deviation of pixels from -1 to 1 that the presets assume: states have 1."""
PUBLISHED = {"cifar10": (10, 55.7e6), "ddpm64": (0, 120e6)}
"""Preset -> classes, and the parameters that the paper states."""


def recipe(preset: str, **keys: Any) -> ImageConfig:
    config = resolve("image", preset, values={"data.path": "photos", **keys}).config
    assert isinstance(config, ImageConfig)
    return config


@pytest.mark.parametrize("preset", list(PUBLISHED))
def test_a_recipe_has_about_the_published_parameters(preset: str) -> None:
    classes, published = PUBLISHED[preset]
    conditions = {"label": Classes(classes)} if classes else {}
    with torch.device("meta"):
        network = build_backbone(recipe(preset).backbone, channels=3, dims=2, conditions=conditions)
    count = sum(p.numel() for p in network.parameters())
    assert count == pytest.approx(published, rel=0.03)
    (row,) = (
        line for line in (ROOT / "docs" / "image.md").read_text().splitlines() if line.startswith(f"| `{preset}` |")
    )
    assert f"{count / 1e6:.1f} M" in row


@pytest.mark.parametrize("u", [0.01, 0.25, 0.5, 0.75, 0.99])
def test_training_levels_of_cifar10_in_pixels_are_those_of_edm(u: float) -> None:
    config = recipe("cifar10")
    schedule = SCHEDULES[config.schedule](**config.schedule_options)
    loss = Loss(times=config.loss.times, times_options=config.loss.times_options)
    (level,) = loss.noise_levels(torch.tensor([u], dtype=torch.float64), schedule).tolist()
    z = math.sqrt(2) * torch.erfinv(torch.tensor(2 * u - 1, dtype=torch.float64)).item()
    assert level * PIXEL_STD == pytest.approx(math.exp(-1.2 + 1.2 * z), rel=1e-3)


def test_sampling_levels_of_cifar10_in_pixels_are_those_of_edm() -> None:
    config = recipe("cifar10")
    schedule = SCHEDULES[config.schedule](**config.schedule_options)
    levels = [PIXEL_STD * float(level) for level in noise_levels(schedule, 18, config.sample.spacing)]
    edm = [(80 ** (1 / 7) + i / 17 * (0.002 ** (1 / 7) - 80 ** (1 / 7))) ** 7 for i in range(18)]
    assert levels == pytest.approx([*edm, 0.0], rel=1e-5, abs=1e-9)
    assert sum(row.at > 0 for row in SAMPLERS["heun"](noise_levels(schedule, 18, "karras"))) == 35


def test_training_of_cifar10_sees_200_million_pictures() -> None:
    train, warmup = recipe("cifar10").train, recipe("cifar10").optim.warmup
    assert train.steps * train.batch_size == pytest.approx(200e6, rel=1e-5)
    assert warmup * train.batch_size == pytest.approx(10e6, rel=1e-4)
    assert math.log(0.5) / math.log(train.ema) * train.batch_size == pytest.approx(0.5e6, rel=1e-2)
    assert recipe("cifar10").data.augment == 0.12
    assert recipe("cifar10", **{"data.augment": 0.0}).data.augment == 0


@pytest.mark.parametrize("i", [0, 250, 500, 999])
def test_levels_of_ddpm64_in_pixels_are_those_of_ddpm(i: int) -> None:
    config = recipe("ddpm64")
    log_snr = SCHEDULES[config.schedule](**config.schedule_options).log_snr(
        torch.tensor([i / 999], dtype=torch.float64)
    )
    alpha_bar = np.cumprod(1 - np.linspace(1e-4, 0.02, 1000))[i]
    assert PIXEL_STD * math.exp(-log_snr.item() / 2) == pytest.approx(math.sqrt(1 / alpha_bar - 1), rel=1e-5)


@pytest.mark.parametrize("preset", list(PUBLISHED))
def test_a_narrow_copy_of_a_recipe_trains_and_samples(preset: str, tmp_path: Path) -> None:
    for i in range(12):
        shades = np.random.default_rng(i).integers(0, 256, (16, 16, 3), np.uint8)
        folder = tmp_path / "photos" / str(i % 2)
        folder.mkdir(parents=True, exist_ok=True)
        Pillow.fromarray(shades).save(folder / f"{i}.png")
    narrow = {"data.size": 16, "backbone.channels": 8, "backbone.groups": 4, "train.batch_size": 4}
    few = {"train.steps": 1, "sample.steps": 2, "train.sample_every": 9}
    keys = {"data.path": tmp_path / "photos", **narrow, **few}
    settings = resolve("image", preset, values=keys)
    run = start(settings, tmp_path / "run", progress=False)
    model = Model.load(run)
    assert model.config.loss == settings.config.loss
    assert len(model.sample(2, seed=0)) == 2
