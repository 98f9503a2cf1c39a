"""Time image networks against peers of the same architecture: python benchmarks/speed_images.py [--part ...].

diffusers: our U-Net in the topology of DDPM's CIFAR-10 network (35.7 M parameters) with the weights of diffusers'
`UNet2DModel`, so that both compute the same function, whose relative difference is printed first. Its users' recipe is
float32, AdamW, its `EMAModel` and clipping; ours is bf16 autocast, fused AdamW and a foreach average.

lucidrains: denoising-diffusion-pytorch's `Unet` (dim 64) with its `GaussianDiffusion` and the steps of its `Trainer`
against our U-Net of about as many operations and of about as many parameters.
"""

from __future__ import annotations

import argparse
import copy
from collections.abc import Callable
from typing import Any

import torch
from timing import in_turns, parser, relative_error, show, timing_table
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

from polydiff.backbones.config import UNetConfig
from polydiff.backbones.unet import UNet

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
        pairs = {"norm_in": "norm1", "conv_in": "conv1", "modulation": "time_emb_proj", "norm_out": "norm2", "conv_out": "conv2"}
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
