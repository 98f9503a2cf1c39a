"""Image networks of other libraries: the networks, their weights in ours, and the training steps of their users."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from polydiff.backbones.config import UNetConfig
from polydiff.backbones.unet import UNet

Run = Callable[[], object]
SHAPE = (3, 32, 32)
CIFAR = UNetConfig(
    channels=128, mult=(1, 2, 2, 2), blocks=2, attention=(1,), heads=1, groups=32, topology="ddpm", modulation="shift"
)
"""The network of DDPM for CIFAR-10 (Ho et al., 2020), google/ddpm-cifar10-32."""


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


def script_unet(channels: Sequence[int], planes: int, size: int) -> nn.Module:
    """Return diffusers' network as its script for unconditional images builds it: attention one level from the last."""
    from diffusers import UNet2DModel

    attends = [i == len(channels) - 2 for i in range(len(channels))]
    net: nn.Module = UNet2DModel(
        sample_size=size, in_channels=planes, out_channels=planes, layers_per_block=2,
        block_out_channels=tuple(channels),
        down_block_types=tuple("AttnDownBlock2D" if a else "DownBlock2D" for a in attends),
        up_block_types=tuple("AttnUpBlock2D" if a else "UpBlock2D" for a in reversed(attends)),
    )  # fmt: skip
    return net


class Diffusers:
    """The training of diffusers' script for unconditional images, and its pipeline.

    AdamW, a cosine of the learning rate after a warm-up of 500 steps, or of a tenth of the steps if they are few, and
    `EMAModel` with its options there.

    Arguments:
        net: A `UNet2DModel`.
        steps: Steps of the training.
        rate: Learning rate.
        precision: "float32", or "bf16" for autocast.
    """

    def __init__(self, net: Any, steps: int, rate: float = 1e-4, precision: str = "float32") -> None:
        from diffusers import DDPMScheduler
        from diffusers.optimization import get_scheduler
        from diffusers.training_utils import EMAModel

        self.net, self.precision, self.scheduler = net, precision, DDPMScheduler()
        self.device = next(net.parameters()).device.type
        self.optimizer = torch.optim.AdamW(net.parameters(), lr=rate, betas=(0.95, 0.999), weight_decay=1e-6)
        self.average = EMAModel(net.parameters(), decay=0.9999, use_ema_warmup=True, power=0.75)
        warmup = min(500, steps // 10)
        self.rate = get_scheduler("cosine", self.optimizer, num_warmup_steps=warmup, num_training_steps=steps)

    def step(self, x: Tensor) -> None:
        """Train on images (B, C, S, S) in [-1, 1]."""
        noise, t = torch.randn_like(x), torch.randint(0, 1000, (len(x),), device=x.device)
        noisy = self.scheduler.add_noise(x, noise, t)
        with torch.autocast(self.device, torch.bfloat16, enabled=self.precision == "bf16"):
            predicted = self.net(noisy, t).sample
        functional.mse_loss(predicted.float(), noise).backward()
        torch.nn.utils.clip_grad_norm_(self.net.parameters(), 1.0)
        self.optimizer.step()
        self.rate.step()
        self.optimizer.zero_grad()
        self.average.step(self.net.parameters())

    def sample(self, n: int, evaluations: int = 1000) -> Tensor:
        """Return n samples of the averaged weights by `DDPMPipeline`, (n, C, S, S) in [0, 1]."""
        from diffusers import DDPMPipeline

        pipeline = DDPMPipeline(unet=self.net, scheduler=self.scheduler)
        pipeline.set_progress_bar_config(disable=True)
        self.average.store(self.net.parameters())
        self.average.copy_to(self.net.parameters())
        drawn = pipeline(batch_size=n, num_inference_steps=evaluations, output_type="np").images
        self.average.restore(self.net.parameters())
        return torch.from_numpy(drawn).movedim(-1, 1)


def diffusers_step(batch: int, device: str, precision: str) -> Run:
    """Return a training step as in diffusers' script for unconditional images, without the loading of data."""
    peer = Diffusers(diffusers_unet(CIFAR, SHAPE[-1]).to(device), steps=100_000, precision=precision)
    x = inputs(batch, device)[0]
    return lambda: peer.step(x)


def lucidrains_parts(
    device: str,
    dim: int = 64,
    mults: Sequence[int] = (1, 2, 4, 8),
    channels: int = SHAPE[0],
    size: int = SHAPE[-1],
    evaluations: int | None = None,
) -> tuple[nn.Module, nn.Module]:
    """Return denoising_diffusion_pytorch's network, by default as its README builds it, and the diffusion around it."""
    from denoising_diffusion_pytorch import GaussianDiffusion, Unet

    net = Unet(dim=dim, dim_mults=tuple(mults), channels=channels, flash_attn=False)
    return net.to(device), GaussianDiffusion(net, image_size=size, sampling_timesteps=evaluations).to(device)


class Lucidrains:
    """The training of denoising_diffusion_pytorch's `Trainer`, without accelerate and the loading of data.

    Arguments:
        diffusion: A `GaussianDiffusion`.
        rate: Learning rate.
        precision: "float32", or "bf16" for autocast.
    """

    def __init__(self, diffusion: Any, rate: float = 1e-4, precision: str = "float32") -> None:
        from ema_pytorch import EMA

        self.diffusion, self.precision = diffusion, precision
        self.optimizer = torch.optim.Adam(diffusion.parameters(), lr=rate, betas=(0.9, 0.99))
        self.average = EMA(diffusion, beta=0.995, update_every=10)

    def step(self, x: Tensor) -> None:
        """Train on examples in [0, 1]."""
        with torch.autocast(x.device.type, torch.bfloat16, enabled=self.precision == "bf16"):
            loss = self.diffusion(x)
        loss.item()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.diffusion.parameters(), 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.average.update()

    def sample(self, n: int) -> Tensor:
        """Return n samples of the averaged weights, in [0, 1]."""
        drawn: Tensor = self.average.ema_model.eval().sample(batch_size=n)
        return drawn


def lucidrains_step(batch: int, device: str) -> Run:
    """Return the step of denoising_diffusion_pytorch's `Trainer`, without accelerate and the loading of data."""
    peer = Lucidrains(lucidrains_parts(device)[1])
    x = torch.rand(batch, *SHAPE, device=device)
    return lambda: peer.step(x)
