"""The spectral branch: its transform, its Wiener filter against the closed form, and where it is refused."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from polydiff.backbones.config import UNetConfig
from polydiff.backbones.embed import Context
from polydiff.backbones.unet import UNet
from polydiff.backbones.waveforms.spectral import Spectral, filter_mask
from polydiff.config.merge import resolve
from polydiff.core.space import Euclidean
from polydiff.support.errors import UserError

SIZE = 64
CONFIG = UNetConfig(
    channels=16, mult=(1, 1), blocks=1, attention=(), patch=4, spectral_window=SIZE, spectral_channels=16
)


def branch(channels: int = 1) -> tuple[Spectral, Context]:
    """Return a branch, and an embedding for two examples."""
    return Spectral(CONFIG, SIZE, channels, 8), Context(torch.randn(2, 8), None, None)


def normal(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("length", [1, 15, 16, 64, 1000])
def test_sounds_come_back_from_their_spectra(length: int) -> None:
    spectral, x = branch(2)[0], normal(2, 2, length)
    torch.testing.assert_close(spectral.sound(spectral.spectra(x), x.shape), x, rtol=0, atol=1e-5)


def test_white_noise_has_the_power_one_in_each_cell() -> None:
    spectra = branch()[0].spectra(normal(4000, 1, 256)).unflatten(1, (2, -1))
    power = spectra.square().sum(1)[..., 4:-4].mean((0, 2))
    torch.testing.assert_close(power, torch.ones(SIZE // 2 + 1), rtol=0, atol=0.05)


@pytest.mark.parametrize("sigma", [0.001, 0.1, 1.0, 40.0])
@pytest.mark.parametrize("power", [1e-6, 0.3, 1.0, 50.0])
def test_the_estimate_is_that_of_wiener(sigma: float, power: float) -> None:
    spectral, context = branch()
    torch.nn.init.constant_(spectral.out.bias, math.log(power) / 2)
    x = normal(2, 1, 200) * math.sqrt(power + sigma**2)
    entering = x / math.sqrt(1 + sigma**2)
    f = spectral(entering, torch.full((2,), math.log(sigma)), context)
    estimate = x / (1 + sigma**2) + sigma / math.sqrt(1 + sigma**2) * f  # c_skip x + c_out F
    expected = power / (power + sigma**2) * x
    torch.testing.assert_close(estimate, expected, rtol=1e-3, atol=3e-6 * float(x.abs().max()))


def test_frequencies_have_gains_of_their_own() -> None:
    spectral, context = branch()
    with torch.no_grad():
        spectral.out.bias.copy_(torch.where(torch.arange(SIZE // 2 + 1) < 12, 10.0, -10.0))  # a low pass
    t = torch.arange(1024) * 2 * math.pi / SIZE
    low, high = torch.cos(6 * t), torch.cos(24 * t)
    x = (low + high).expand(2, 1, -1)
    estimate = x / 2 + spectral(x / math.sqrt(2), torch.zeros(2), context) / math.sqrt(2)
    torch.testing.assert_close(estimate[0, 0, SIZE:-SIZE], low[SIZE:-SIZE], rtol=0, atol=2e-3)


def test_channels_have_gains_of_their_own() -> None:
    spectral, context = branch(2)
    with torch.no_grad():
        spectral.out.bias.view(2, -1)[1] = -15.0
    x = normal(2, 2, 300)
    f = spectral(x, torch.zeros(2), context)
    assert float(f[:, 0].detach().abs().max()) < 1e-6
    torch.testing.assert_close(f[:, 1], -x[:, 1], rtol=0, atol=1e-5)


def test_the_mask_is_finite_at_all_powers() -> None:
    extremes = torch.tensor([-1e4, -20.0, 0.0, 20.0, 1e4])[None, :, None]
    for log_sigma in (-9.0, 0.0, 6.0):
        assert bool(filter_mask(extremes, torch.tensor([log_sigma])).isfinite().all())


def test_a_network_starts_without_it() -> None:
    torch.manual_seed(0)
    network = UNet(CONFIG, channels=1, dims=1, conditions={})
    torch.nn.init.normal_(network.out.weight)
    x, level, space = normal(2, 1, 100), torch.zeros(2), Euclidean(2, (1, 100))
    whole = network(x, level, space)
    network.spectral = None
    assert torch.equal(whole, network(x, level, space))


def test_autocast_leaves_the_spectra_exact() -> None:
    spectral, context = branch()
    torch.nn.init.constant_(spectral.out.bias, -3.0)
    x, level = normal(2, 1, 300), torch.full((2,), -4.0)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = spectral(x, level, context)
    torch.testing.assert_close(found, spectral(x, level, context), rtol=1e-5, atol=1e-5)


def test_pictures_have_none() -> None:
    with pytest.raises(UserError, match="for waveforms"):
        UNet(CONFIG, channels=3, dims=2, conditions={})


@pytest.mark.parametrize(
    ("overrides", "windows"),
    [
        ({}, (512, 2048)),
        ({"data.sample_rate": 16000}, (1024, 4096)),
        ({"data.sample_rate": 44100}, (2048, 4096)),
        ({"data.sample_rate": 250_000}, (4096,)),
        ({"data.length": 1500}, (512, 1024)),
        ({"data.length": 700}, (512,)),
        ({"backbone.spectral_window": 256}, (256,)),
        ({"backbone.spectral_window": 0}, ()),
        ({"backbone.spectral_window": 256, "backbone.spectral_long_window": 1024}, (256, 1024)),
        ({"backbone.spectral_long_window": 1024}, (512, 1024)),
        ({"backbone.spectral_long_window": 0}, (512,)),
        ({"target": "eps"}, ()),
    ],
)
def test_frames_are_about_64_and_256_ms(overrides: dict[str, Any], windows: tuple[int, ...]) -> None:
    backbone = resolve("audio", values=overrides).config.backbone
    assert isinstance(backbone, UNetConfig)
    assert backbone.spectral_windows == windows


@pytest.mark.parametrize("name", ["spectral_window", "spectral_long_window"])
def test_other_targets_refuse_it(name: str) -> None:
    with pytest.raises(UserError, match=f"{name}=512 .* target=eps"):
        resolve("audio", values={"target": "eps", f"backbone.{name}": 512})


def test_the_long_frames_are_longer() -> None:
    with pytest.raises(UserError, match="spectral_long_window=256 is not longer than spectral_window=512"):
        resolve("audio", values={"backbone.spectral_long_window": 256})


@torch.no_grad()
def test_two_branches_add_up() -> None:
    both = UNet(CONFIG.model_copy(update={"spectral_long_window": 4 * SIZE}), channels=1, dims=1, conditions={})
    assert both.spectral is not None
    assert both.spectral_long is not None
    torch.nn.init.constant_(both.spectral.out.bias, 0.3)
    torch.nn.init.constant_(both.spectral_long.out.bias, -0.2)
    x, level, context = normal(2, 1, 500), torch.zeros(2), Context(torch.randn(2, both.embedding), None, None)
    whole = both.beside(x, level, context)
    parts = [branch(x, level, context) for branch in (both.spectral, both.spectral_long)]
    assert [branch.size for branch in (both.spectral, both.spectral_long)] == [SIZE, 4 * SIZE]
    torch.testing.assert_close(whole, parts[0] + parts[1])
    assert float(parts[1].abs().max()) > 0.01


def test_rotary_positions_need_heads_that_they_can_turn() -> None:
    own = {"backbone.positions": "rotary", "backbone.channels": 256, "backbone.heads": 64}
    with pytest.raises(UserError, match="positions=rotary needs heads of 4, 8, 12"):
        resolve("audio", values=own)
    resolve("audio", values={**own, "backbone.spectral_channels": 256})
