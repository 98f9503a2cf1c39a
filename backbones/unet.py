r"""The U-Net: one definition for waveforms (1-D) and images (2-D).

A state is a plane (B, C, H, W); a waveform is a plane of height 1 with kernels (1, k), since 2-D convolutions in
channels-last order are several times faster than 1-D ones. Residual blocks compute

$$ y = \mathrm{conv}(\mathrm{silu}(\mathrm{norm}(h))), \qquad
   h + \mathrm{conv}(\mathrm{silu}((1 + \gamma)\, \mathrm{norm}(y) + \beta)), $$

with gamma and beta linear in the embedding of the noise level and the conditions (Ronneberger et al., 2015,
https://arxiv.org/abs/1505.04597; Dhariwal and Nichol, 2021, https://arxiv.org/abs/2105.05233); with the modulation
"shift" they compute h + conv(silu(norm(y + beta))).

The topology "ddpm" is that of Ho et al. (2020, https://arxiv.org/abs/2006.11239): only blocks change the number of
channels, the way up takes every output of the way down, also those of the stem and of the strided convolutions, and the
middle is two blocks with attention between them. In "lean", the layers between levels change the number of channels,
the way up takes the outputs of the blocks only, and the middle is one block.

Symbols: B batch, C channels, H and W height and width, h activations, c the embedding (B, E).
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

from polydiff.backbones.config import UNetConfig
from polydiff.backbones.embed import Context
from polydiff.backbones.unet_blocks import Down, Stage, Up, Upsample
from polydiff.backbones.unet_layers import PlaneNetwork, group_norm, output_layer, zero
from polydiff.backbones.waveforms.spectral import Spectral
from polydiff.core.conditions import Conditions
from polydiff.support.errors import UserError


class Level(NamedTuple):
    """Channels of one level, its stride, and whether it has attention.

    Attributes:
        width: Channels of its blocks.
        enters: Channels of the input from the finer level.
        arrives: Channels of the input from the coarser level.
        stride: Factor by which it is coarser than the level before; 1 at the finest.
        attends: Whether attention follows each block.
    """

    width: int
    enters: int
    arrives: int
    stride: int
    attends: bool


def levels(config: UNetConfig) -> list[Level]:
    """Return the levels that a configuration describes, the finest first."""
    widths = [config.channels * m for m in config.mult]
    finer, coarser = [widths[0], *widths[:-1]], [*widths[1:], widths[-1]]
    enters, arrives = (finer, coarser) if config.topology == "ddpm" else (widths, widths)
    strides = (1, *config.level_strides)
    attends = [i in config.attention for i in range(len(widths))]
    return [Level(*level) for level in zip(widths, enters, arrives, strides, attends, strict=True)]


class UNet(PlaneNetwork):
    """U-Net for states (B, C, L) or (B, C, H, W) of any size.

    States whose sizes the strides do not divide are padded with zeros, and the output is cropped.

    Arguments:
        config: Its dimensions.
        channels: C of the data.
        dims: 1 for waveforms, 2 for images.
        conditions: Name -> kind (`polydiff.core.conditions`).
    """

    def __init__(self, config: UNetConfig, *, channels: int, dims: int, conditions: Conditions) -> None:
        width, coarsest = 4 * config.channels, math.prod(config.level_strides)
        super().__init__(config, width, coarsest, channels=channels, dims=dims, conditions=conditions)
        self.config, self.embedding = config, width
        grid = levels(config)
        deepest, full = grid[-1], config.topology == "ddpm"
        self.reads = self.embed.tokens is not None
        if self.reads and not (config.attention or full):
            raise UserError("A sequence is read by attention, but no level has it. Name a level in backbone.attention.")
        ends = config.ends or config.kernel
        self.stem = self.plane.conv(self.enters, grid[0].width, ends)
        self.down = nn.ModuleList(self._down(level, finer) for level, finer in zip(grid, [None, *grid], strict=False))
        self.middle = nn.ModuleList(
            self._stage(deepest.width, deepest.width, attends)
            for attends in ([True, False] if full else [deepest.attends])
        )
        self.up = nn.ModuleList(self._up(level, finer) for level, finer in zip(grid, [None, *grid], strict=False))
        short, long = config.spectral_window, config.spectral_long_window
        if dims != 1 and config.spectral_windows:
            raise UserError(
                "backbone.spectral_window and spectral_long_window are for waveforms; leave them 0 for images."
            )
        self.spectral = Spectral(config, short, channels, width) if short else None
        self.spectral_long = Spectral(config, long, channels, width) if long else None
        self.norm = group_norm(grid[0].width, config)
        self.out = output_layer(zero(self.plane.conv(grid[0].width, self.leaves, ends)))

    def _stage(self, c_in: int, c_out: int, attends: bool) -> Stage:
        return Stage(self.plane, c_in, c_out, self.embedding, self.config, attends, self.reads)

    def _down(self, level: Level, finer: Level | None) -> Down:
        kernel = max(2 * level.stride - 1, self.config.kernel)
        enter = nn.Identity() if finer is None else self.plane.conv(finer.width, level.enters, kernel, level.stride)
        channels = [level.enters] + [level.width] * (self.config.blocks - 1)
        stages = [self._stage(c, level.width, level.attends) for c in channels]
        return Down(enter, stages, leaves_all=self.config.topology == "ddpm")

    def _up(self, level: Level, finer: Level | None) -> Up:
        left = [level.width] * self.config.blocks + [level.enters] * (self.config.topology == "ddpm")
        channels = [level.arrives] + [level.width] * (len(left) - 1)
        stages = [self._stage(c + skip, level.width, level.attends) for c, skip in zip(channels, left, strict=True)]
        if finer is None:
            return Up(stages, nn.Identity())
        return Up(stages, Upsample(self.plane, level.width, finer.arrives, level.stride, self.config.kernel))

    def beside(self, x: Tensor, log_sigma: Tensor, context: Context) -> Tensor | None:
        """Return the sum of the outputs of the spectral branches; None without them."""
        found = [f(x, log_sigma, context) for f in (self.spectral, self.spectral_long) if f is not None]
        return sum(found[1:], found[0]) if found else None

    def planes(self, h: Tensor, context: Context) -> Tensor:
        """Return output planes (B, c, H, W) from input planes h whose sides the strides divide."""
        h = self.stem(h).contiguous(memory_format=torch.channels_last)
        left: list[list[Tensor]] = []
        for down in self.down:
            left.append(down(h, context))
            h = left[-1][-1]
        for stage in self.middle:
            h = stage(context, h)
        for up in reversed(self.up):
            h = up(h, context, left.pop())
        out: Tensor = self.out(self.norm(h))
        return out
