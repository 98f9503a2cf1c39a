"""Audio networks in bf16 and on planes of height 1, against float32 and conv1d."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from polydiff.backbones.config import UNetConfig
from polydiff.backbones.unet import UNet
from polydiff.core.space import Batch, Euclidean
from polydiff.core.streams import stream, streams
from polydiff.domains.audio.config import AudioConfig, AudioData
from polydiff.domains.audio.domain import Audio
from polydiff.gaussian.denoise import Denoiser
from polydiff.gaussian.schedule.base import SCHEDULES
from polydiff.training.loop import Training, fit

SMALL = UNetConfig(channels=32, mult=(1, 2, 2), strides=(4, 2), blocks=1, attention=(2,))
PATCHED = SMALL.model_copy(update={"patch": 8})
LENGTH = 512


def network(config: UNetConfig) -> UNet:
    """Return a U-Net in which no layer is initialised to 0."""
    torch.manual_seed(0)
    made = UNet(config, channels=1, dims=1, conditions={})
    with torch.no_grad():
        for i, p in enumerate(made.parameters()):
            if p.ndim > 1:
                p.copy_(torch.randn(p.shape, generator=stream(0, "weights", i)) * p[0].numel() ** -0.5)
    return made


def run(net: UNet, bf16: bool = False) -> Tensor:
    """Return the outputs of a network for three sounds."""
    x, space = torch.randn(3, 1, LENGTH, generator=stream(0, "sounds")), Euclidean(3, (1, LENGTH))
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=bf16):
        f = net(x, torch.tensor([-2.0, 0.0, 1.0]), space)
    assert isinstance(f, Tensor)
    return f


def distance(a: Tensor, b: Tensor) -> float:
    return ((a - b).norm() / b.norm()).item()


def conv1d(layer: nn.Conv2d, h: Tensor) -> Tensor:
    """Compute a convolution of planes of height 1 as conv1d in the layout (B, C, L)."""
    assert h.shape[2] == 1
    weight, padding = layer.weight.squeeze(2).contiguous(), layer.padding[1]
    return functional.conv1d(h[:, :, 0].contiguous(), weight, layer.bias, layer.stride[1], padding)[:, :, None]


@pytest.mark.parametrize("config", [SMALL, PATCHED], ids=["plain", "patched"])
def test_planes_are_conv1d(config: UNetConfig) -> None:
    """Output and gradient of the network agree to 1e-5 in float32 if conv1d replaces every convolution."""
    results = []
    for one_dimensional in (False, True):
        net = network(config)
        convolutions = [module for module in net.modules() if isinstance(module, nn.Conv2d)]
        assert len(convolutions) > 10
        for layer in convolutions if one_dimensional else ():
            layer.forward = partial(conv1d, layer)  # type: ignore[method-assign]
        f = run(net)
        f.square().mean().backward()
        gradient = torch.cat([p.grad.flatten() for p in net.parameters() if p.grad is not None])
        results.append((f.detach(), gradient))
    (planes, its_gradient), (flat, other_gradient) = results
    assert distance(planes, flat) < 1e-5
    assert distance(its_gradient, other_gradient) < 1e-5


@pytest.mark.parametrize("config", [SMALL, PATCHED], ids=["plain", "patched"])
def test_bf16_is_within_two_percent(config: UNetConfig) -> None:
    net = network(config)
    exact = run(net)
    exact.square().mean().backward()
    gradient = torch.cat([p.grad.flatten() for p in net.parameters() if p.grad is not None])
    net.zero_grad()
    rough = run(net, bf16=True)
    rough.float().square().mean().backward()
    other = torch.cat([p.grad.flatten() for p in net.parameters() if p.grad is not None])
    assert 0 < distance(rough.float(), exact) < 0.02
    assert 0 < distance(other, gradient) < 0.05


@pytest.fixture(scope="module")
def curve() -> Callable[[str], Tensor]:
    """Return a function that trains a small network on plucks and returns the loss of each of 200 steps."""
    config = AudioConfig(data=AudioData(length=LENGTH, classes=4), backbone=PATCHED)
    audio = Audio(config)
    order = range(64)
    batch = audio.batch("train", order, streams(0, "augment", order))

    def losses(precision: str) -> Tensor:
        torch.manual_seed(0)
        net = UNet(PATCHED, channels=1, dims=1, conditions={})
        training = Training(Denoiser(net, SCHEDULES["edm"](), precision=precision), optim=config.optim)

        def part(step: int) -> Batch:
            first = 16 * (step % 4)
            return Batch(batch.x[first : first + 16], audio.states.space(16), None)

        return torch.tensor([record.loss for record in fit(training, part, steps=200, batch_size=16)])

    return losses


@pytest.mark.slow
def test_training_in_bf16_follows_float32(curve: Callable[[str], Tensor]) -> None:
    """200 steps from equal weights on equal noise: losses fall, and those in bf16 differ by at most 0.2 %."""
    exact, rough = curve("float32"), curve("bf16")
    assert not torch.equal(exact, rough)
    assert exact[-40:].mean() < 0.9 * exact[:40].mean()
    blocks = (rough.reshape(10, 20).mean(1) / exact.reshape(10, 20).mean(1) - 1).abs()
    assert blocks.max() < 0.002, blocks
