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
from timing import apart, in_turns, parser, relative_error, show, timing_table
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

from polydiff.backbones.config import UNetConfig
from polydiff.backbones.embed import Context
from polydiff.backbones.unet import UNet
from polydiff.checkup.step_profile import speeds
from polydiff.contract.sections import OptimConfig
from polydiff.core.space import Batch, Euclidean
from polydiff.gaussian.denoise import Denoiser
from polydiff.gaussian.schedule.base import SCHEDULES
from polydiff.training.loop import Training, fit

Run = Callable[[], object]
SHAPE = (3, 32, 32)
CIFAR = UNetConfig(
    channels=128, mult=(1, 2, 2, 2), blocks=2, attention=(1,), heads=1, groups=32, topology="ddpm", modulation="shift"
)
"""The network of DDPM for CIFAR-10 (Ho et al., 2020), google/ddpm-cifar10-32."""


EQUAL = UNetConfig(channels=64, mult=(1, 2, 4, 6), blocks=2, attention=(3,))
"""About as many operations and parameters as denoising_diffusion_pytorch's Unet(64)."""


def diffusers_unet(config: UNetConfig, size: int) -> nn.Module:
    """Return diffusers' network of the topology of a configuration, with the padding and the epsilon of ours."""
    from diffusers import UNet2DModel

    attends = [i in config.attention for i in range(len(config.mult))]
    net: nn.Module = UNet2DModel(
        sample_size=size, in_channels=3, out_channels=3, layers_per_block=config.blocks,
        block_out_channels=tuple(config.channels * m for m in config.mult),
        down_block_types=tuple("AttnDownBlock2D" if a else "DownBlock2D" for a in attends),
        up_block_types=tuple("AttnUpBlock2D" if a else "UpBlock2D" for a in reversed(attends)),
        attention_head_dim=None, norm_num_groups=config.groups, downsample_padding=1, norm_eps=1e-5,
    )  # fmt: skip
    return net


def copy_weights(theirs: Any, ours: UNet) -> None:
    """Give our network the weights of diffusers'; the embedding of the noise level stays its own."""

    def same(to: nn.Module, source: nn.Module) -> None:
        to.load_state_dict(source.state_dict())

    def stage(to: Any, block: Any, attention: Any = None) -> None:
        pairs = {
            "norm_in": "norm1",
            "conv_in": "conv1",
            "modulation": "time_emb_proj",
            "norm_out": "norm2",
            "conv_out": "conv2",
        }
        for name, source in pairs.items():
            same(getattr(to.block, name), getattr(block, source))
        if block.conv_shortcut is not None:
            same(to.block.skip, block.conv_shortcut)
        if attention is not None:
            same(to.attention.norm, attention.group_norm)
            same(to.attention.out, attention.to_out[0])
            rows = (attention.to_q, attention.to_k, attention.to_v)
            for name in ("weight", "bias"):
                getattr(to.attention.qkv, name).data.copy_(torch.cat([getattr(row, name) for row in rows]))

    def level(stages: Any, block: Any) -> None:
        attentions = getattr(block, "attentions", None) or [None] * len(stages)
        for to, resnet, attention in zip(stages, block.resnets, attentions, strict=True):
            stage(to, resnet, attention)

    same(ours.stem, theirs.conv_in)
    for down, before, block in zip(ours.down, [None, *theirs.down_blocks], theirs.down_blocks, strict=False):
        if before is not None:
            same(down.enter, before.downsamplers[0].conv)
        level(down.stages, block)
    stage(ours.middle[0], theirs.mid_block.resnets[0], theirs.mid_block.attentions[0])
    stage(ours.middle[1], theirs.mid_block.resnets[1])
    for up, block in zip(reversed(ours.up), theirs.up_blocks, strict=True):
        level(up.stages, block)
        if block.upsamplers is not None:
            same(up.leave.conv, block.upsamplers[0].conv)
    same(ours.norm, theirs.conv_norm_out)
    same(ours.out, theirs.conv_out)


def inputs(batch: int, device: str) -> tuple[Tensor, Tensor]:
    """Return a batch of images and their time steps."""
    return torch.randn(batch, *SHAPE).to(device), torch.randint(0, 1000, (batch,), device=device)


def difference(size: int = 4) -> float:
    """Return the relative error of our network's output with the weights of diffusers', for one embedding."""
    theirs, ours = diffusers_unet(CIFAR, SHAPE[-1]).eval(), UNet(CIFAR, channels=3, dims=2, conditions={}).eval()
    copy_weights(theirs, ours)
    x, t = inputs(size, "cpu")
    with torch.no_grad():
        embedding = functional.silu(theirs.time_embedding(theirs.time_proj(t)))
        return relative_error(ours.planes(x, Context(embedding)), theirs(x, t).sample)


def diffusers_step(batch: int, device: str, precision: str) -> Run:
    """Return a training step as in diffusers' script for unconditional images, without the loading of data."""
    from diffusers import DDPMScheduler
    from diffusers.training_utils import EMAModel

    net = diffusers_unet(CIFAR, SHAPE[-1]).to(device)
    scheduler, x = DDPMScheduler(), inputs(batch, device)[0]
    optimizer = torch.optim.AdamW(net.parameters(), lr=1e-4, betas=(0.95, 0.999), weight_decay=1e-6)
    average = EMAModel(net.parameters(), decay=0.9999, use_ema_warmup=True)

    def step() -> None:
        noise, t = torch.randn_like(x), torch.randint(0, 1000, (batch,), device=device)
        noisy = scheduler.add_noise(x, noise, t)
        with torch.autocast(device, torch.bfloat16, enabled=precision == "bf16"):
            predicted = net(noisy, t).sample
        functional.mse_loss(predicted.float(), noise).backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        average.step(net.parameters())

    return step


def lucidrains_parts(device: str) -> tuple[nn.Module, nn.Module]:
    """Return denoising_diffusion_pytorch's network as its README builds it, and the diffusion around it."""
    from denoising_diffusion_pytorch import GaussianDiffusion, Unet

    net = Unet(dim=64, dim_mults=(1, 2, 4, 8), flash_attn=False)
    return net.to(device), GaussianDiffusion(net, image_size=SHAPE[-1]).to(device)


def lucidrains_step(batch: int, device: str) -> Run:
    """Return the step of denoising_diffusion_pytorch's `Trainer`, without accelerate and the loading of data."""
    from ema_pytorch import EMA

    diffusion = lucidrains_parts(device)[1]
    x = torch.rand(batch, *SHAPE, device=device)
    optimizer = torch.optim.Adam(diffusion.parameters(), lr=1e-4, betas=(0.9, 0.99))
    average = EMA(diffusion, beta=0.995, update_every=10)

    def step() -> None:
        diffusion(x).backward()
        torch.nn.utils.clip_grad_norm_(diffusion.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        average.update()

    return step


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
    said: Any, title: str, variants: dict[str, tuple[bool, Callable[..., Run], Sequence[Any]]], work: int
) -> str:
    """Return the table of variants, each (whether it keeps memory, what makes it, of what)."""
    with ExitStack() as stack:
        runs = {
            name: stack.enter_context(apart(said.threads, keep, make, *args))
            for name, (keep, make, args) in variants.items()
        }
        return timing_table(title, in_turns(runs, said.rounds), work)


def against_diffusers(said: Any) -> str:
    """Return the tables of diffusers' network."""
    work = our_flop(CIFAR, said.batch)
    size = (said.batch, said.device)
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
    same = f"Same weights, float32: relative difference {difference():.1e}. {ceilings(said.device)}\n"
    return "\n".join([same, compare(said, "training step", steps, 3 * work), compare(said, "evaluation", calls, work)])


def in_float32(said: Any) -> str:
    """Return the tables of diffusers' network where both compute in float32."""
    work, size = our_flop(CIFAR, said.batch), (said.batch, said.device, "float32")
    steps = {"diffusers": (False, diffusers_step, size), "polydiff": (True, polydiff_step, (CIFAR, *size))}
    calls = {
        "diffusers": (False, evaluation, ("diffusers", *size)),
        "polydiff": (True, evaluation, ("polydiff", *size)),
    }
    return "\n".join([compare(said, "training step", steps, 3 * work), compare(said, "evaluation", calls, work)])


def against_lucidrains(said: Any) -> str:
    """Return the tables of denoising_diffusion_pytorch's network."""
    work, size = our_flop(EQUAL, said.batch), (said.batch, said.device)
    net, ours = lucidrains_parts("cpu")[0], UNet(EQUAL, channels=3, dims=2, conditions={})
    counts = [sum(p.numel() for p in n.parameters()) / 1e6 for n in (net, ours)]
    theirs = flop(net, *inputs(said.batch, "cpu")) / said.batch / 1e9
    facts = (
        f"Theirs: {counts[0]:.1f} M parameters, {theirs:.2f} GFLOP an evaluation of one image; "
        f"ours: {counts[1]:.1f} M, {work / said.batch / 1e9:.2f}. The rate is that of ours' operations. "
        f"{ceilings(said.device)}\n"
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
    return "\n".join([facts, compare(said, "training step", steps, 3 * work), compare(said, "evaluation", calls, work)])


def compiled(said: Any) -> str:
    """Return the tables of our network with and without torch.compile."""
    work, size = our_flop(CIFAR, said.batch), (said.batch, said.device, "bf16")
    steps = {
        "eager": (True, polydiff_step, (CIFAR, *size)),
        "compiled": (True, polydiff_step, (CIFAR, *size, True)),
    }
    calls = {
        "eager": (True, evaluation, ("polydiff", *size)),
        "compiled": (True, evaluation, ("polydiff", *size, CIFAR, True)),
    }
    return "\n".join([compare(said, "training step", steps, 3 * work), compare(said, "evaluation", calls, work)])


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
    said = words.parse_args()
    for part in said.parts:
        title, measure = PARTS[part]
        show(title, measure(said), said)


if __name__ == "__main__":
    main()
