"""Time of audio networks: python benchmarks/speed_audio.py [--parts layout same unet1d patched unetv0] [--quick].

16,384 samples, batch 4. A training step is forward, backward, clipping, the optimizer and the moving average as each
library's users run them; an evaluation is one call of the network without gradients. Memory that is freed is kept for
the next tensor, for the peers too, which speeds them up.

layout: one convolution as conv1d and as a channels-last plane (C, 1, L). same: one network with the same weights in
both forms. unet1d: denoising_diffusion_pytorch's Unet1D(64) against a U-Net of polydiff with as many operations.
patched: the same against one with as many parameters, on patches. unetv0: audio_diffusion_pytorch's UNetV0 in the
configuration of its README against a U-Net with as many operations.
"""

from __future__ import annotations

import argparse
import copy
from collections.abc import Callable, Mapping
from functools import partial
from statistics import median

import torch
from audio_peers import Unet1D, UNetV0
from timing import Timing, in_turns, markdown, parser, relative_error, show, timing_table
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

from polydiff.backbones.config import UNetConfig
from polydiff.backbones.unet import UNet
from polydiff.core.space import Batch, Euclidean, Space
from polydiff.core.streams import streams
from polydiff.gaussian.denoise import Denoiser
from polydiff.gaussian.schedule.base import SCHEDULES
from polydiff.machine.allocator import keep_memory
from polydiff.training.loop import Training, fit

Run = Callable[[], object]
LENGTH = 16_384
SIZES = ((64, 16_384), (128, 8192), (256, 4096), (512, 2048))
"""Channels and length of single convolutions."""
EQUAL_OPERATIONS = UNetConfig(channels=128, mult=(1, 2, 4), strides=(4,), blocks=2, attention=(2,))
EQUAL_PARAMETERS = UNetConfig(channels=128, mult=(1, 2, 4), strides=(4,), blocks=1, attention=(2,), patch=4)
AS_UNETV0 = UNetConfig(channels=112, mult=(1, 2, 4, 8), strides=(4, 4, 2), blocks=2, attention=(2, 3), patch=16)


class Conv1d(nn.Module):
    """A convolution of planes (B, C, 1, L) done as conv1d.

    Arguments:
        layer: Whose weights it uses.
    """

    def __init__(self, layer: nn.Conv2d) -> None:
        super().__init__()
        self.stride, self.padding = layer.stride[1], layer.padding[1]
        self.weight, self.bias = nn.Parameter(layer.weight.detach()[:, :, 0].contiguous()), layer.bias

    def forward(self, h: Tensor) -> Tensor:
        y = functional.conv1d(h[:, :, 0].contiguous(), self.weight, self.bias, self.stride, self.padding)
        return y[:, :, None]


class Contiguous(nn.Module):
    """The identity, in the order (B, C, L)."""

    def forward(self, h: Tensor) -> Tensor:
        return h.clone(memory_format=torch.contiguous_format)


def as_conv1d(network: UNet) -> UNet:
    """Return the same network with each convolution as conv1d and no channels-last order."""
    flat = copy.deepcopy(network)
    for module in list(flat.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, nn.Conv2d):
                setattr(module, name, Conv1d(child))
    flat.down[0].enter = Contiguous()  # type: ignore[union-attr]
    return flat


def awaken(network: nn.Module) -> None:
    """Give layers that begin at 0 weights, so that every part of the network counts."""
    torch.manual_seed(0)
    for p in network.parameters():
        if p.ndim > 1 and not p.any():
            nn.init.normal_(p, std=p[0].numel() ** -0.5)


def operations(network: nn.Module, *arguments: object) -> float:
    """Return the floating-point operations of an evaluation."""
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(*arguments)
    return float(counter.get_total_flops())


def size(network: nn.Module, flop: float, batch: int) -> str:
    """Return what a network is, in words."""
    millions = sum(p.numel() for p in network.parameters()) / 1e6
    return f"{millions:.1f} M parameters, {flop / batch / 1e9:.1f} GFLOP a sample"


def unet(config: UNetConfig) -> UNet:
    """Return polydiff's network for mono sounds."""
    network = UNet(config, channels=1, dims=1, conditions={})
    awaken(network)
    return network


class Ours:
    """polydiff's training step and evaluation, on noise.

    Arguments:
        network: The backbone.
        space: Where a batch lives.
        precision: "float32" or "bf16".
        device: Where all is computed.
    """

    def __init__(self, network: nn.Module, space: Space, precision: str, device: str) -> None:
        self.space = space.to(device)
        self.x = self.space.noise(streams(0, "benchmark", range(space.batch), device))
        self.sigma = torch.ones(space.batch, device=device)
        self.denoiser = Denoiser(network.to(device), SCHEDULES["edm"](), precision=precision)
        training, batch = Training(copy.deepcopy(self.denoiser)), Batch(self.x, self.space, None)
        self.step = partial(next, fit(training, lambda step: batch, steps=10**9, batch_size=space.batch))

    def evaluate(self) -> Tensor:
        with torch.inference_mode():
            return self.denoiser(self.x, self.sigma, self.space)


def convolutions(
    channels: int, length: int, args: argparse.Namespace
) -> tuple[dict[str, Run], dict[str, Run], dict[str, float]]:
    """Return a convolution in each form, forward and with its gradients, and each form's relative error."""
    torch.manual_seed(0)
    x = torch.randn(args.batch, channels, length, device=args.device)
    w = torch.randn(channels, channels, 3, device=args.device) * (3 * channels) ** -0.5
    forward: dict[str, Run] = {}
    both: dict[str, Run] = {}
    values = {}
    for precision, dtype in (("fp32", torch.float32), ("bf16", torch.bfloat16)):
        plane = [a.to(dtype)[:, :, None].contiguous(memory_format=torch.channels_last) for a in (x, w)]
        for form, (x_in, w_in), convolve in (
            ("conv1d", [x.to(dtype), w.to(dtype)], partial(functional.conv1d, padding=1)),
            ("planes", plane, partial(functional.conv2d, padding=(0, 1))),
        ):
            a, b = x_in.detach().clone().requires_grad_(), w_in.detach().clone().requires_grad_()
            name = f"{form} {precision}"
            forward[name] = partial(without_gradients, convolve, a, b)
            values[name] = convolve(a, b).detach()
            g = torch.ones_like(values[name])
            both[name] = partial(lambda f, a, b, g: torch.autograd.grad(f(a, b), (a, b), g), convolve, a, b, g)
    truth = values["conv1d fp32"]
    return forward, both, {name: relative_error(v.reshape(truth.shape), truth) for name, v in values.items()}


def without_gradients(f: Callable[..., Tensor], *arguments: Tensor) -> Tensor:
    """Call a function without gradients."""
    with torch.no_grad():
        return f(*arguments)


def layout(args: argparse.Namespace) -> tuple[str, str]:
    """Compare forms of one convolution."""
    names = ["conv1d fp32", "planes fp32", "conv1d bf16", "planes bf16"]
    lines: dict[str, list[list[str]]] = {"Forward": [], "Forward and backward": []}
    wrong = dict.fromkeys(names, 0.0)
    for channels, length in args.sizes:
        forward, both, errors = convolutions(channels, length, args)
        wrong = {name: max(wrong[name], errors[name]) for name in names}
        flop = 2 * args.batch * channels**2 * 3 * length
        for title, runs, count in (("Forward", forward, 1), ("Forward and backward", both, 3)):
            took = in_turns(runs, args.rounds, args.device)
            rates = [f"{count * flop / median(took[name].seconds) / 1e9:.0f}" for name in names]
            lines[title].append([f"{channels} x {length}", *rates, f"**{median(took['planes bf16'].ratios):.1f}**"])
    text = "Relative error against conv1d in float32, at most: "
    text += ", ".join(f"{name} {wrong[name]:.1g}" for name in names[1:]) + ".\n\nGFLOP/s.\n\n"
    head = [*names, "planes bf16 / conv1d fp32"]
    return "Audio: one convolution", text + "\n".join(
        markdown([[f"{title}, C x L", *head], *rows]) for title, rows in lines.items()
    )


def same(args: argparse.Namespace) -> tuple[str, str]:
    """Compare a network with itself in the form of conv1d."""
    network, space = unet(args.config or EQUAL_OPERATIONS), Euclidean(args.batch, (1, args.length))
    ours = {
        "conv1d float32": Ours(as_conv1d(network), space, "float32", args.device),
        "planes float32": Ours(network, space, "float32", args.device),
        "planes bf16": Ours(copy.deepcopy(network), space, "bf16", args.device),
    }
    truth = ours["conv1d float32"].evaluate()
    errors = ", ".join(f"{name} {relative_error(o.evaluate(), truth):.1e}" for name, o in list(ours.items())[1:])
    one = ours["planes float32"]
    flop = operations(network, one.x, one.sigma.log(), one.space)
    text = f"{size(network, flop, args.batch)}. Relative error against conv1d: {errors}.\n\n"
    return "Audio: the same network and weights", text + tables(ours, dict.fromkeys(ours, flop), args)


def tables(variants: Mapping[str, Ours | Unet1D | UNetV0], flop: Mapping[str, float], args: argparse.Namespace) -> str:
    """Return the tables of training steps and evaluations, and which part of a convolution's rate was reached."""
    parts = []
    rates = convolution_rates(args)
    for title, runs, count in (
        ("Training step", {name: v.step for name, v in variants.items()}, 3),
        ("Evaluation", {name: v.evaluate for name, v in variants.items()}, 1),
    ):
        took: dict[str, Timing] = in_turns(runs, args.rounds, args.device)
        work = {name: count * f for name, f in flop.items()}
        last = list(variants)[-1]
        reached = work[last] / median(took[last].seconds) / 1e9
        parts.append(timing_table(title, took, work))
        parts.append(f"{last}: {reached:.0f} of the {rates[count]:.0f} GFLOP/s of a bf16 convolution alone.\n")
    return "\n".join(parts)


def convolution_rates(args: argparse.Namespace) -> dict[int, float]:
    """Return GFLOP/s of a bf16 convolution of 256 channels on planes, forward (1) and with gradients (3)."""
    channels, length = args.sizes[-2 if len(args.sizes) > 1 else 0]
    forward, both, _ = convolutions(channels, length, args)
    flop = 2 * args.batch * channels**2 * 3 * length
    return {
        count: count * flop / median(in_turns({"bf16": runs["planes bf16"]}, 5, args.device)["bf16"].seconds) / 1e9
        for count, runs in ((1, forward), (3, both))
    }


def against(
    peer: type[Unet1D | UNetV0], config: UNetConfig, title: str, args: argparse.Namespace
) -> tuple[str, str] | None:
    """Compare a peer with a network of polydiff in both precisions; None where the peer is not installed."""
    try:
        theirs = peer(args.batch, args.length, args.device)
    except ImportError as missing:
        print(f"Without {peer.label}: {missing}.\n")
        return None
    network, space = unet(config), Euclidean(args.batch, (1, args.length))
    ours = {p: Ours(copy.deepcopy(network), space, p, args.device) for p in ("float32", "bf16")}
    flop = operations(theirs.network, theirs.x, theirs.t)
    own = operations(network, ours["bf16"].x, ours["bf16"].sigma.log(), ours["bf16"].space)
    sizes = f"{peer.label}: {size(theirs.network, flop, args.batch)}. polydiff: {size(network, own, args.batch)}.\n\n"
    variants = {peer.label: theirs, **{f"polydiff {name}": value for name, value in ours.items()}}
    work = dict(zip(variants, (flop, own, own), strict=True))
    return title, sizes + tables(variants, work, args)


PARTS: dict[str, Callable[[argparse.Namespace], tuple[str, str] | None]] = {
    "layout": layout,
    "same": same,
    "unet1d": partial(against, Unet1D, EQUAL_OPERATIONS, "Audio: Unet1D at equal operations"),
    "patched": partial(against, Unet1D, EQUAL_PARAMETERS, "Audio: Unet1D at equal parameters, on patches"),
    "unetv0": partial(against, UNetV0, AS_UNETV0, "Audio: UNetV0 at equal operations"),
}


def main() -> None:
    """Measure all parts, or the requested ones."""
    made = parser(__doc__, rounds=3)
    made.add_argument("--parts", nargs="+", default=list(PARTS), choices=list(PARTS))
    made.add_argument("--batch", type=int, default=4, help="sounds at a time; default: 4")
    made.add_argument("--quick", action="store_true", help="tiny: sounds of 2,048 samples, one turn, a small network")
    args = made.parse_args()
    args.length, args.sizes, args.config = LENGTH, SIZES, None
    if args.quick:
        args.length, args.sizes, args.batch, args.rounds = 2048, ((32, 512),), 1, 1
        args.config = UNetConfig(channels=16, mult=(1, 2), strides=(4,), blocks=1, attention=(1,))
    torch.set_num_threads(args.threads)
    keep_memory()
    for part in args.parts:
        found = PARTS[part](args)
        if found is not None:
            show(*found, args)


if __name__ == "__main__":
    main()
