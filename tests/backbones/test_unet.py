"""The U-Net: any size, one definition for both dimensions, nothing at the start."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from repository import ROOT
from torch import Tensor, nn
from torch.nn import functional

from polydiff.backbones.attention import MAX_PLAIN_PLACES, attend
from polydiff.backbones.config import UNetConfig
from polydiff.backbones.embed import Context
from polydiff.backbones.kernels.norm import GroupNorm
from polydiff.backbones.unet import UNet
from polydiff.backbones.unet_blocks import ResidualBlock
from polydiff.backbones.unet_layers import Plane
from polydiff.config.merge import resolve
from polydiff.contract.discover import discover
from polydiff.contract.spec import DomainSpec
from polydiff.core.conditions import Classes, Number
from polydiff.core.space import Euclidean
from polydiff.core.streams import stream
from polydiff.testing.backbone import check_backbone

Awake = Callable[..., nn.Module]
TINY = UNetConfig(channels=16, mult=(1, 2), blocks=1, attention=(1,))
AUDIO = UNetConfig(channels=16, mult=(1, 2, 2), strides=(4, 2), blocks=2, attention=(2,), patch=4, group_size=8)
DDPM = UNetConfig(channels=16, mult=(1, 2), blocks=1, attention=(1,), topology="ddpm", modulation="shift", groups=8)
CONDITIONS = {"type": Classes(3), "pitch": Number()}


def drawn(*shape: int) -> Tensor:
    return torch.randn(shape, generator=stream(0, "state"))


def unet(config: UNetConfig, channels: int, dims: int) -> UNet:
    return UNet(config, channels=channels, dims=dims, conditions=CONDITIONS)


def cond(batch: int) -> dict[str, Tensor]:
    pitch = torch.linspace(-1, 1, batch)
    pitch[0] = torch.nan
    return {"type": torch.arange(batch) % 4 - 1, "pitch": pitch}


def shipped() -> Iterator[tuple[str, str]]:
    """The presets of polydiff's own domains that use a U-Net."""
    for plugin in discover(DomainSpec):
        if isinstance(plugin.spec, DomainSpec) and plugin.spec.factory.startswith("polydiff."):
            for preset in plugin.spec.presets:
                if resolve(plugin.name, preset).config.backbone.name == "unet":
                    yield plugin.name, preset


@pytest.mark.parametrize(("domain", "preset"), list(shipped()))
def test_presets_take_any_size(domain: str, preset: str, awake: Awake) -> None:
    config = resolve(domain, preset).config.backbone
    assert isinstance(config, UNetConfig)
    shape = (1, 203) if domain == "audio" else (3, 7, 13)
    network = awake(unet(config, shape[0], len(shape) - 1))
    x = drawn(2, *shape)
    with torch.no_grad():
        f = network(x, torch.zeros(2), Euclidean(2, shape), cond(2))
    assert f.shape == x.shape
    assert f.isfinite().all()
    assert f.std() > 0.01


def test_domains_ship_unets() -> None:
    assert {domain for domain, _ in shipped()} >= {"audio", "image"}


@given(st.integers(1, 40), st.integers(1, 21))
def test_odd_sizes_are_zero_padded_and_cropped(length: int, side: int) -> None:
    for config, shape in ((AUDIO, (1, length)), (TINY, (2, side, length))):
        torch.manual_seed(0)
        network = unet(config, shape[0], len(shape) - 1)
        nn.init.normal_(network.out.weight, std=0.1)
        x = drawn(1, *shape)
        padding = [(-n) % network.multiple[1] for n in reversed(shape[1:])]
        padded = functional.pad(x, [p for after in padding for p in (0, after)])
        log_sigma = torch.zeros(1)
        with torch.no_grad():
            f = network(x, log_sigma, Euclidean(1, shape))
            whole = network(padded, log_sigma, Euclidean(1, padded.shape[1:]))
        assert f.any()
        torch.testing.assert_close(f, whole[tuple(slice(n) for n in x.shape)])


@pytest.mark.parametrize("c_out", [16, 32])
def test_one_dimensional_block_is_conv1d(c_out: int, awake: Awake) -> None:
    """A residual block for waveforms against the same weights in 1-D operations."""
    block = awake(ResidualBlock(Plane(1), 16, c_out, 8, TINY))
    assert isinstance(block, ResidualBlock)
    h, c = drawn(3, 16, 50), drawn(3, 8)

    def conv(layer: nn.Module, y: Tensor) -> Tensor:
        if isinstance(layer, nn.Identity):
            return y
        assert isinstance(layer, nn.Conv2d)
        weight = layer.weight.squeeze(2)
        return functional.conv1d(y, weight, layer.bias, padding=weight.shape[-1] // 2)

    scale, shift = block.modulation(c)[..., None].chunk(2, 1)
    y = conv(block.conv_in, functional.silu(functional.group_norm(h, 1, block.norm_in.weight, block.norm_in.bias)))
    y = functional.silu((1 + scale) * functional.group_norm(y, c_out // 16) + shift)
    expected = conv(block.skip, h) + conv(block.conv_out, y)
    torch.testing.assert_close(block(h[:, :, None], c)[:, :, 0], expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("config", "shape"), [(AUDIO, (2, 96)), (TINY, (1, 8, 8))], ids=["1-D", "2-D"])
def test_starts_at_zero_and_trains_every_parameter(config: UNetConfig, shape: tuple[int, ...], awake: Awake) -> None:
    network = unet(config, shape[0], len(shape) - 1)
    x, space = drawn(4, *shape), Euclidean(4, shape)
    assert not network(x, torch.zeros(4), space, cond(4)).any()
    f = awake(network)(x, torch.zeros(4), space, cond(4))
    (f - drawn(4, *shape)).square().sum().backward()
    for name, p in network.named_parameters():
        assert p.grad is not None, name
        assert p.grad.any(), name
        assert p.grad.isfinite().all(), name


@pytest.mark.parametrize(("config", "shape"), [(AUDIO, (2, 101)), (TINY, (3, 7, 9))], ids=["1-D", "2-D"])
def test_conforms(config: UNetConfig, shape: tuple[int, ...]) -> None:
    check_backbone(unet(config, shape[0], len(shape) - 1), Euclidean(4, shape), drawn(4, *shape), cond(4))


@pytest.mark.parametrize(("config", "shape"), [(AUDIO, (2, 96)), (TINY, (1, 8, 8))], ids=["1-D", "2-D"])
def test_order_of_samples_is_kept(config: UNetConfig, shape: tuple[int, ...], awake: Awake) -> None:
    network = awake(unet(config, shape[0], len(shape) - 1))
    x, log_sigma, given = drawn(5, *shape), torch.linspace(-3, 2, 5), cond(5)
    order = torch.tensor([3, 0, 4, 2, 1])
    with torch.no_grad():
        f = network(x, log_sigma, Euclidean(5, shape), given)
        g = network(x[order], log_sigma[order], Euclidean(5, shape), {k: v[order] for k, v in given.items()})
    torch.testing.assert_close(g, f[order], rtol=1e-4, atol=1e-4)
    assert (f - f[order]).abs().max() > 0.1


@pytest.mark.parametrize(("config", "shape"), [(AUDIO, (2, 96)), (TINY, (1, 8, 8))], ids=["1-D", "2-D"])
def test_bf16_stays_near(config: UNetConfig, shape: tuple[int, ...], awake: Awake) -> None:
    network = awake(unet(config, shape[0], len(shape) - 1))
    x, space = drawn(4, *shape), Euclidean(4, shape)
    exact = network(x, torch.zeros(4), space, cond(4))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rough = network(x, torch.zeros(4), space, cond(4))
    assert 0 < float(((rough - exact).norm() / exact.norm()).detach()) < 0.03


@pytest.mark.parametrize(
    ("config", "shape"), [(AUDIO, (2, 96)), (TINY, (1, 8, 8)), (DDPM, (1, 8, 8))], ids=["1-D", "2-D", "ddpm"]
)
def test_activations_stay_channels_last(config: UNetConfig, shape: tuple[int, ...]) -> None:
    network = unet(config, shape[0], len(shape) - 1)
    seen = []

    def note(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        seen.append(output.is_contiguous(memory_format=torch.channels_last))

    for module in network.modules():
        if isinstance(module, ResidualBlock | GroupNorm):
            module.register_forward_hook(note)
    network(drawn(2, *shape), torch.zeros(2), Euclidean(2, shape))
    assert len(seen) > 6
    assert all(seen)


@pytest.mark.parametrize(("channels", "mult", "size"), [(32, (1, 2, 2), 16), (16, (1, 1), 10)], ids=["16", "10"])
def test_the_topology_of_ddpm_is_that_of_diffusers(
    channels: int, mult: tuple[int, ...], size: int, monkeypatch: pytest.MonkeyPatch, awake: Awake
) -> None:
    """UNet2DModel with its weights copied into ours, for its own embedding of the time."""
    pytest.importorskip("diffusers")
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    image_peers = importlib.import_module("image_peers")
    config = DDPM.model_copy(update={"channels": channels, "mult": mult, "heads": 1, "blocks": 2})
    theirs = awake(image_peers.diffusers_unet(config, size)).eval()
    ours = UNet(config, channels=3, dims=2, conditions={}).eval()
    image_peers.copy_weights(theirs, ours)
    x, t = drawn(2, 3, size, size), torch.tensor([3, 700])
    with torch.no_grad():
        embedding = functional.silu(theirs.time_embedding(theirs.time_proj(t)))
        expected = theirs(x, t).sample
        torch.testing.assert_close(
            ours.planes(x, Context(embedding)), expected, rtol=1e-5, atol=1e-5 * expected.abs().max().item()
        )
    sys.modules.pop("image_peers", None)


@pytest.mark.parametrize("places", [9, MAX_PLAIN_PLACES + 1], ids=["products", "fused"])
def test_attention_in_bf16_is_the_same(places: int) -> None:
    q, k, v = (drawn(2, 2, places, 8).roll(i, 2).bfloat16() for i in range(3))
    weights = (q.float() @ k.float().mT / 8**0.5).softmax(-1)
    mixed = attend(q, k, v)
    assert mixed.dtype == torch.bfloat16
    torch.testing.assert_close(mixed.float(), weights @ v.float(), rtol=1e-2, atol=1e-2)


@pytest.mark.parametrize(("config", "shape"), [(AUDIO, (2, 64)), (DDPM, (1, 8, 8))], ids=["1-D", "ddpm"])
def test_the_whole_network_is_one_graph(config: UNetConfig, shape: tuple[int, ...], awake: Awake) -> None:
    network = awake(unet(config, shape[0], len(shape) - 1))
    arguments = drawn(2, *shape), torch.zeros(2), Euclidean(2, shape), cond(2)
    plain = network(*arguments)
    network.compile(backend="eager")
    torch.testing.assert_close(network(*arguments), plain, rtol=1e-5, atol=1e-5)


def test_patches_come_back() -> None:
    for config, shape in ((AUDIO, (2, 16)), (UNetConfig(patch=2), (3, 4, 6))):
        network = unet(config, shape[0], len(shape) - 1)
        x = drawn(2, shape[0], 1, *shape[1:]) if len(shape) == 2 else drawn(2, *shape)
        folded = network.fold(x)
        assert folded.shape[1] == shape[0] * config.patch ** (len(shape) - 1)
        assert torch.equal(network.unfold(folded), x)


def test_strides_for_all_levels() -> None:
    assert UNetConfig().level_strides == (2, 2)
    assert UNetConfig(strides=(4,)).level_strides == (4, 4)
    assert UNetConfig(strides=(4, 2)).level_strides == (4, 2)
    assert UNetConfig(mult=(1,), attention=()).level_strides == ()


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"strides": (4, 2, 2)}, "strides has 3 numbers; 3 levels need 2"),
        ({"attention": (3,)}, "mult has levels 0 to 2"),
        ({"channels": 30, "heads": 8}, "heads=8 must divide"),
        ({"heads": 3, "attention": (), "topology": "ddpm"}, "heads=3 must divide .* the deepest always is"),
        ({"channels": 48, "groups": 32}, r"groups=32 must divide the channels of every level: \[48, 96, 96\]"),
        ({"kernel": 4}, "kernel=4 is even"),
        ({"channel": 64}, "channel"),
    ],
)
def test_impossible_settings_raise_an_error(wrong: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        UNetConfig(**wrong)


def test_dimensions_are_one_or_two() -> None:
    with pytest.raises(ValueError, match="1 or 2 dimensions, not in 3"):
        unet(TINY, 1, 3)


def test_plane_makes_flat_kernels() -> None:
    assert Plane(1).conv(4, 8, 5, 2).weight.shape == (8, 4, 1, 5)
    assert Plane(2).conv(4, 8, 5, 2).weight.shape == (8, 4, 5, 5)
    assert replace(Plane(1), dims=2) == Plane(2)


@pytest.mark.parametrize("config", [AUDIO, DDPM], ids=["1-D", "ddpm"])
def test_recomputed_activations_change_no_gradient(config: UNetConfig, awake: Awake) -> None:
    shape = (2, 64) if config is AUDIO else (2, 12, 8)

    def gradients(recompute: bool) -> list[Tensor]:
        network = awake(unet(config.model_copy(update={"recompute": recompute, "dropout": 0.3}), 2, len(shape) - 1))
        network.train()
        torch.manual_seed(1)
        network(drawn(3, *shape), torch.zeros(3), Euclidean(3, shape), cond(3)).square().mean().backward()
        return [p.grad for p in network.parameters() if p.grad is not None]

    kept, again = gradients(False), gradients(True)
    assert len(kept) > 20
    assert all(torch.equal(a, b) for a, b in zip(kept, again, strict=True))


def test_the_ends_see_further_than_the_blocks() -> None:
    """Before any training the way from a patch to the first activations is as wide as `ends` says."""
    config = TINY.model_copy(update={"ends": 9, "patch": 2})
    network = unet(config, 1, 1)
    x = torch.zeros(1, 1, 64)
    x[..., 32] = 1
    impulse = network.stem(network.fold(x[:, :, None])) - network.stem(network.fold(torch.zeros_like(x)[:, :, None]))
    assert impulse.abs().amax((0, 1, 2)).nonzero()[:, 0].tolist() == list(range(12, 21))
    assert network.out.kernel_size == (1, 9)
    assert unet(TINY, 1, 1).out.kernel_size == (1, TINY.kernel)
    with pytest.raises(ValidationError, match="ends=4 is even"):
        UNetConfig(ends=4)
