"""Time image networks against peers: python benchmarks/speed_images.py [--parts diffusers float32 lucidrains].

diffusers: our U-Net in the topology of DDPM's CIFAR-10 network (35.7 M parameters) with the weights of diffusers'
`UNet2DModel`, so that both compute the same function, whose relative difference is printed first. Its users' step is
that of its unconditional training script: float32, AdamW, clipping, `EMAModel`. Ours is `polydiff.training.loop.fit`.
float32: the same two in float32, so that nothing but the implementation differs. lucidrains: the Unet(64) of
denoising_diffusion_pytorch, its `GaussianDiffusion` and the step of its `Trainer` against our U-Net of about as many
parameters and operations. compiled: ours under torch.compile.

Each variant runs in a process of its own with its library's settings: polydiff's keeps freed memory for the next
tensor. Batch 16 of 3 x 32 x 32, or as --batch says.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Any

import torch
from image_peers import (
    CIFAR,
    SHAPE,
    Run,
    copy_weights,
    diffusers_step,
    diffusers_unet,
    inputs,
    lucidrains_parts,
    lucidrains_step,
)
from timing import apart, in_turns, parser, relative_error, show, timing_table
from torch import nn
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

from polydiff.backbones.config import UNetConfig
from polydiff.backbones.embed import Context
from polydiff.backbones.unet import UNet
from polydiff.checkup.step_profile import speeds
from polydiff.contract.sections.training import OptimConfig
from polydiff.core.space import Batch, Euclidean
from polydiff.gaussian.denoise import Denoiser
from polydiff.gaussian.schedule.base import SCHEDULES
from polydiff.training.loop import Training, fit

EQUAL = UNetConfig(channels=64, mult=(1, 2, 4, 6), blocks=2, attention=(3,))
"""About as many operations and parameters as denoising_diffusion_pytorch's Unet(64)."""


def difference(size: int = 4) -> float:
    """Return the relative error of our network's output with the weights of diffusers', for one embedding."""
    theirs, ours = diffusers_unet(CIFAR, SHAPE[-1]).eval(), UNet(CIFAR, channels=3, dims=2, conditions={}).eval()
    copy_weights(theirs, ours)
    x, t = inputs(size, "cpu")
    with torch.no_grad():
        embedding = functional.silu(theirs.time_embedding(theirs.time_proj(t)))
        return relative_error(ours.planes(x, Context(embedding)), theirs(x, t).sample)


def polydiff_denoiser(config: UNetConfig, device: str, precision: str) -> Denoiser:
    """Return an untrained denoiser of a configuration."""
    net = UNet(config, channels=3, dims=2, conditions={})
    return Denoiser(net, SCHEDULES["edm"](), precision=precision).to(device)


def polydiff_step(config: UNetConfig, batch: int, device: str, precision: str, compiled: bool = False) -> Run:
    """Return a step of `polydiff.training.loop.fit`, all that it does included."""
    training = Training(polydiff_denoiser(config, device, precision), optim=OptimConfig())
    if compiled:
        training.module.compile()
    given = Batch(inputs(batch, "cpu")[0], Euclidean(batch, SHAPE), None)
    steps = fit(training, lambda _: given, steps=10**6, batch_size=batch)
    return lambda: next(steps)


def evaluation(
    kind: str, batch: int, device: str, precision: str, config: UNetConfig = CIFAR, compiled: bool = False
) -> Run:
    """Return one evaluation of a network as it is made in sampling."""
    x, t = inputs(batch, device)
    if kind == "polydiff":
        denoiser, space, sigma = polydiff_denoiser(config, device, precision).eval(), Euclidean(batch, SHAPE), 1.0 + t
        if compiled:
            denoiser.compile()
        run = torch.no_grad()(lambda: denoiser(x, sigma, space))
    else:
        net = (
            diffusers_unet(CIFAR, SHAPE[-1]).to(device) if kind == "diffusers" else lucidrains_parts(device)[0]
        ).eval()
        run = torch.no_grad()(torch.autocast(device, torch.bfloat16, enabled=precision == "bf16")(lambda: net(x, t)))
    return run


def flop(network: nn.Module, *arguments: Any) -> int:
    """Return the operations of one evaluation."""
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(*arguments)
    total: int = counter.get_total_flops()
    return total


def our_flop(config: UNetConfig, batch: int) -> int:
    """Return the operations of one evaluation of our network."""
    network = UNet(config, channels=3, dims=2, conditions={})
    return flop(network, inputs(batch, "cpu")[0], torch.zeros(batch), Euclidean(batch, SHAPE))


def ceilings(device: str) -> str:
    """Return how fast a large convolution alone is here, which bounds what any of the networks can reach."""
    rates = [speeds(torch.device(device), dtype)["convolution"] / 1e9 for dtype in (torch.float32, torch.bfloat16)]
    return f"A large 3 x 3 convolution alone: {rates[0]:.0f} GFLOP/s in float32, {rates[1]:.0f} in bf16."


def compare(
    args: Any, title: str, variants: dict[str, tuple[bool, Callable[..., Run], Sequence[Any]]], work: int
) -> str:
    """Return the table of variants, each (whether it keeps memory, what makes it, of what)."""
    with ExitStack() as stack:
        runs = {
            name: stack.enter_context(apart(args.threads, keep, make, *inputs))
            for name, (keep, make, inputs) in variants.items()
        }
        return timing_table(title, in_turns(runs, args.rounds), work)


def against_diffusers(args: Any) -> str:
    """Return the tables of diffusers' network."""
    work = our_flop(CIFAR, args.batch)
    size = (args.batch, args.device)
    steps = {
        "diffusers, float32, as in its script": (False, diffusers_step, (*size, "float32")),
        "diffusers, bf16 autocast": (False, diffusers_step, (*size, "bf16")),
        "polydiff, bf16": (True, polydiff_step, (CIFAR, *size, "bf16")),
    }
    calls = {
        "diffusers, float32": (False, evaluation, ("diffusers", *size, "float32")),
        "diffusers, bf16 autocast": (False, evaluation, ("diffusers", *size, "bf16")),
        "polydiff, bf16": (True, evaluation, ("polydiff", *size, "bf16")),
    }
    same = f"Same weights, float32: relative difference {difference():.1e}. {ceilings(args.device)}\n"
    return "\n".join([same, compare(args, "training step", steps, 3 * work), compare(args, "evaluation", calls, work)])


def in_float32(args: Any) -> str:
    """Return the tables of diffusers' network where both compute in float32."""
    work, size = our_flop(CIFAR, args.batch), (args.batch, args.device, "float32")
    steps = {"diffusers": (False, diffusers_step, size), "polydiff": (True, polydiff_step, (CIFAR, *size))}
    calls = {
        "diffusers": (False, evaluation, ("diffusers", *size)),
        "polydiff": (True, evaluation, ("polydiff", *size)),
    }
    return "\n".join([compare(args, "training step", steps, 3 * work), compare(args, "evaluation", calls, work)])


def against_lucidrains(args: Any) -> str:
    """Return the tables of denoising_diffusion_pytorch's network."""
    work, size = our_flop(EQUAL, args.batch), (args.batch, args.device)
    net, ours = lucidrains_parts("cpu")[0], UNet(EQUAL, channels=3, dims=2, conditions={})
    counts = [sum(p.numel() for p in n.parameters()) / 1e6 for n in (net, ours)]
    theirs = flop(net, *inputs(args.batch, "cpu")) / args.batch / 1e9
    facts = (
        f"Theirs: {counts[0]:.1f} M parameters, {theirs:.2f} GFLOP an evaluation of one image; "
        f"ours: {counts[1]:.1f} M, {work / args.batch / 1e9:.2f}. The rate is that of ours' operations. "
        f"{ceilings(args.device)}\n"
    )
    steps = {
        "denoising_diffusion_pytorch, float32": (False, lucidrains_step, size),
        "polydiff, float32": (True, polydiff_step, (EQUAL, *size, "float32")),
        "polydiff, bf16": (True, polydiff_step, (EQUAL, *size, "bf16")),
    }
    calls = {
        "denoising_diffusion_pytorch, float32": (False, evaluation, ("lucidrains", *size, "float32")),
        "polydiff, float32": (True, evaluation, ("polydiff", *size, "float32", EQUAL)),
        "polydiff, bf16": (True, evaluation, ("polydiff", *size, "bf16", EQUAL)),
    }
    return "\n".join([facts, compare(args, "training step", steps, 3 * work), compare(args, "evaluation", calls, work)])


def compiled(args: Any) -> str:
    """Return the tables of our network with and without torch.compile."""
    work, size = our_flop(CIFAR, args.batch), (args.batch, args.device, "bf16")
    steps = {
        "eager": (True, polydiff_step, (CIFAR, *size)),
        "compiled": (True, polydiff_step, (CIFAR, *size, True)),
    }
    calls = {
        "eager": (True, evaluation, ("polydiff", *size)),
        "compiled": (True, evaluation, ("polydiff", *size, CIFAR, True)),
    }
    return "\n".join([compare(args, "training step", steps, 3 * work), compare(args, "evaluation", calls, work)])


PARTS = {
    "diffusers": ("Images: diffusers' UNet2DModel, the same network", against_diffusers),
    "float32": ("Images: the same network, both in float32", in_float32),
    "lucidrains": ("Images: denoising_diffusion_pytorch's Unet", against_lucidrains),
    "compiled": ("Images: torch.compile", compiled),
}


def main() -> None:
    """Measure the requested parts."""
    words = parser(__doc__, rounds=5)
    words.add_argument("--parts", nargs="+", choices=PARTS, default=["diffusers", "float32", "lucidrains"])
    words.add_argument("--batch", type=int, default=16)
    args = words.parse_args()
    for part in args.parts:
        title, measure = PARTS[part]
        show(title, measure(args), args)


if __name__ == "__main__":
    main()
