"""The network of a new run of images follows from their size."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image as Pillow
from torch.utils.flop_counter import FlopCounterMode

from polydiff.backbones.config import DiTConfig, UNetConfig
from polydiff.config.merge import resolve
from polydiff.contract.backbone import build_backbone
from polydiff.core.conditions import Aligned, Classes
from polydiff.core.space import Euclidean
from polydiff.domains.image.domain import Image
from polydiff.domains.image.network import places_of
from polydiff.model.model import Model
from polydiff.support.errors import UserError
from polydiff.training.trainer import start

DIGITS_GFLOP = 6.3
"""Operations of a training step on digits, 10^9."""


def configured(size: int, preset: str = "quick", **keys: Any) -> Any:
    return resolve("image", preset, values={"data.path": "photos", "data.size": size, **keys})


def step_gflop(size: int) -> float:
    """Return 10^9 operations of a training step of the preset quick."""
    config = configured(size).config
    network = build_backbone(config.backbone, channels=3, dims=2, conditions={"label": Classes(2)})
    n = 2
    x, cond = torch.randn(n, 3, size, size), {"label": torch.zeros(n, dtype=torch.long)}
    with FlopCounterMode(display=False) as counter:
        network(x, torch.zeros(n), Euclidean(n, (3, size, size)), cond).square().mean().backward()
    return float(counter.get_total_flops() / 1e9 * config.train.batch_size / n)


@pytest.mark.parametrize("preset", ["quick", "small"])
@pytest.mark.parametrize("size", [24, 28, 32, 48, 50, 64, 96, 100, 128, 256])
def test_the_coarsest_level_has_about_eight_places_and_attention(size: int, preset: str) -> None:
    config = configured(size, preset).config
    places = places_of(size, config.backbone)
    assert 5.5 < places[-1] < 12
    assert len(places) - 1 in config.backbone.attention
    assert all(places[level] <= 17 for level in config.backbone.attention)
    assert config.backbone.channels >= min(3 * config.backbone.patch**2, 48)


@pytest.mark.parametrize("size", [32, 64])
def test_a_step_of_quick_costs_about_eight_times_one_on_digits(size: int) -> None:
    """About 0.4 s on two CPU cores, where one on digits takes 0.05 s; digits' own network would cost 16 or 64 times."""
    assert step_gflop(size) < 9 * DIGITS_GFLOP


def test_small_images_and_the_size_of_a_preset_keep_its_network() -> None:
    for size, preset in ((8, "quick"), (16, "quick"), (32, "small"), (24, "small")):
        settings = configured(size, preset)
        assert settings.config.backbone == resolve("image", preset).config.backbone
        network = [key for key in settings.provenance if key.startswith("backbone.")]
        assert not any(settings.provenance[key].startswith("follows") for key in network)
    assert resolve("image").config.train.batch_size == 64


def test_small_at_64_pixels_has_one_level_more() -> None:
    network = configured(64, "small").config.backbone
    assert (network.mult, network.attention, network.channels) == ((1, 2, 2, 2), (2, 3), 128)


@pytest.mark.parametrize(
    ("keys", "kept"),
    [
        ({"backbone.mult": (1, 2)}, {"mult": (1, 2), "patch": 1, "channels": 32}),
        ({"backbone.channels": 8}, {"channels": 8, "mult": (1, 2)}),
        ({"backbone.attention": ()}, {"attention": (), "mult": (1, 2)}),
        ({"backbone.strides": (4,)}, {"strides": (4,), "mult": (1, 2)}),
        ({"backbone.dropout": 0.2}, {"dropout": 0.2, "mult": (1, 2, 2), "patch": 2}),
    ],
)
def test_what_the_user_set_stays(keys: dict[str, Any], kept: dict[str, Any]) -> None:
    settings = configured(64, **keys)
    assert {name: getattr(settings.config.backbone, name) for name in kept} == kept
    assert configured(64, **{"train.batch_size": 7}).config.train.batch_size == 7


def test_a_value_of_the_user_that_contradicts_the_network_is_one_error() -> None:
    with pytest.raises(UserError, match="must divide the channels"):
        configured(128, **{"backbone.groups": 32})


def test_another_backbone_is_left_alone() -> None:
    assert configured(64, **{"backbone.name": "mlp"}).config.train.batch_size == 64


def test_following_from_its_own_result_changes_nothing() -> None:
    for preset in ("quick", "small"):
        config = configured(64, preset).config
        again = resolve(values=config.model_dump(mode="json")).config
        assert again == config
    assert isinstance(config.backbone, UNetConfig)


def test_training_states_the_values_and_the_run_keeps_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "photos").mkdir()
    for i in range(12):
        Pillow.fromarray(np.full((32, 32, 3), 20 * i, np.uint8)).save(tmp_path / "photos" / f"{i}.png")
    few = {"train.steps": 1, "sample.steps": 1, "train.sample_every": 9, "backbone.blocks": 1}
    settings = resolve("image", values={"data.path": tmp_path / "photos", **few})
    run = start(settings, tmp_path / "run", progress=True)
    line = next(line for line in capsys.readouterr().err.splitlines() if line.startswith("Defaults that suit the data"))
    assert "from data.size: " in line
    assert "backbone.mult=[1, 2, 2]" in line
    assert "from data: schedule_options={" in line
    assert "# follows from data.size" in (run / "config.resolved.yaml").read_text()
    assert Model.load(run).config.backbone == settings.config.backbone


@pytest.mark.parametrize(("size", "things"), [(32, (1,)), (64, (1, 2, 3))])
def test_scenes_of_shapes_have_a_recipe_of_their_own(size: int, things: tuple[int, ...]) -> None:
    settings = resolve("image", "quick", values={"data.name": "shapes", "data.size": size, "data.things": things})
    config = settings.config
    assert isinstance(config.backbone, UNetConfig)
    assert places_of(size, config.backbone) == [16, 8]
    assert config.backbone.coordinates
    assert settings.provenance["sample.guidance"] == "follows from data.name"
    assert settings.provenance["optim.lr"] == "follows from backbone.name"
    domain = Image(config)
    assert dict(domain.suited(["schedule_options", "loss.times_options"])) == {}  # the noise range suffices already
    share = 0.5 * math.erfc(
        (math.log(domain.statistics["principal_std"]) - config.loss.times_options["mean"]) / 1.6 / 2**0.5
    )
    assert 0.05 < share < 0.15  # of the training levels lie above the largest principal standard deviation
    assert resolve("image", "quick", values={"data.name": "shapes", "optim.lr": 0.1}).config.optim.lr == 0.1


DATA_KEYS = ("schedule_options", "loss", "train", "sample")


@pytest.mark.parametrize("values", [{"preset": "dit"}, {"backbone.name": "dit"}, {"preset": "jit"}])
def test_what_scenes_need_is_the_same_with_each_network(values: dict[str, Any]) -> None:
    """Noise levels, steps, batch and guidance are of the data; patch, width and learning rate of the network."""
    scenes = {"data.name": "shapes", "data.things": (1, 2, 3)}
    unet = resolve("image", values=scenes).config
    dit = resolve("image", values={**scenes, **values}).config
    for name in DATA_KEYS:
        ours, theirs = getattr(dit, name), getattr(unet, name)
        if name == "loss":
            ours, theirs = ours.times_options, theirs.times_options
        assert ours == theirs
    network = dit.backbone
    assert isinstance(network, DiTConfig)
    assert network.coordinates
    assert (network.patch, network.width, network.depth) == (4, 128, 6)
    assert (unet.optim.lr, dit.optim.lr) == (5e-4, 5e-4)
    alone = [resolve("image", values={**scenes, "data.things": (1,), **more}).config.optim.lr for more in ({}, values)]
    assert alone == [1.5e-3, 1e-3]


@pytest.mark.parametrize("preset", ["small", "dit-s"])
def test_scenes_keep_the_network_and_the_steps_of_a_large_preset(preset: str) -> None:
    config = resolve("image", preset, values={"data.name": "shapes"}).config
    own = resolve("image", preset, values={"data.path": "photos"}).config
    assert config.loss.times_options == {"mean": 0.8, "std": 1.6}
    assert config.backbone == own.backbone.model_copy(update={"coordinates": True})
    assert (config.train, config.optim) == (own.train, own.optim)


def test_scenes_change_only_noise_levels_that_they_know() -> None:
    config = resolve("image", values={"data.name": "shapes", "schedule": "flow", "target": "flow"}).config
    assert config.schedule_options == {}
    assert resolve("image", values={"data.name": "shapes", "backbone.channels": 96}).config.backbone.coordinates


@pytest.mark.parametrize("preset", ["dit", "dit-s", "jit"])
@pytest.mark.parametrize("size", [24, 28, 32, 48, 50, 64, 96, 97, 100, 128, 256])
def test_a_transformer_has_64_to_256_patches_and_is_as_wide_as_one(size: int, preset: str) -> None:
    network = configured(size, preset).config.backbone
    assert isinstance(network, DiTConfig)
    assert 8 <= math.ceil(size / network.patch) <= 16
    assert network.width >= 3 * network.patch**2 or network.bottleneck


def test_a_transformer_that_fits_its_images_stays() -> None:
    assert configured(32, "dit-s").config.backbone == DiTConfig()
    assert configured(256, "jit-b16").config == resolve("image", "jit-b16", values={"data.path": "photos"}).config
    digits = resolve("image", "dit")
    assert not any(source.startswith("follows") for source in digits.provenance.values())
    assert resolve("image", values={"backbone.name": "dit"}).config.backbone == digits.config.backbone
    kept = configured(64, **{"backbone.name": "dit", "backbone.patch": 8}).config.backbone
    assert isinstance(kept, DiTConfig)
    assert (kept.patch, kept.width, kept.depth) == (8, 192, 4)


@pytest.mark.parametrize("preset", ["quick", "dit"])
@pytest.mark.parametrize(("size", "factor"), [(96, 3), (96, 4), (49, 7), (64, 2)])
def test_the_patch_fits_a_small_image_that_is_the_condition(preset: str, size: int, factor: int) -> None:
    keys = {"task": "upsample", "data.factor": factor}
    config = configured(size, preset, **keys).config
    conditions = {"low": Aligned(3, factor)}
    network = build_backbone(config.backbone, channels=3, dims=2, conditions=conditions)
    assert sum(p.numel() for p in network.parameters()) > 0
