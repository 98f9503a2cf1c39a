"""Blocks of the U-Net: a residual block, a stage with attention, and one level on the way down and on the way up.

`polydiff.backbones.unet` gives the formula of the residual block and puts the levels together.

Symbols: B batch, C channels, H and W height and width, h activations, E width of the embedding.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from polydiff.backbones.attention import Attention, CrossAttention
from polydiff.backbones.config import UNetConfig
from polydiff.backbones.embed import Context
from polydiff.backbones.unet_layers import Plane, group_norm, zero


class ResidualBlock(nn.Module):
    """Two convolutions with the embedding between them.

    Arguments:
        plane: Maker of convolutions.
        c_in: Channels of the input.
        c_out: Channels of the output.
        embedding: E.
        config: Kernel, groups, modulation and dropout.
    """

    def __init__(self, plane: Plane, c_in: int, c_out: int, embedding: int, config: UNetConfig) -> None:
        super().__init__()
        self.shifts = config.modulation == "shift"
        self.norm_in = group_norm(c_in, config)
        self.conv_in = plane.conv(c_in, c_out, config.kernel)
        self.modulation = nn.Linear(embedding, c_out if self.shifts else 2 * c_out)
        self.norm_out = group_norm(c_out, config, affine=self.shifts)
        self.dropout = nn.Dropout(config.dropout)
        self.conv_out = zero(plane.conv(c_out, c_out, config.kernel))
        self.skip = nn.Identity() if c_in == c_out else plane.conv(c_in, c_out, 1)

    def forward(self, h: Tensor, c: Tensor) -> Tensor:
        """Return activations (B, c_out, H, W) from h (B, c_in, H, W) and c (B, E)."""
        y, modulation = self.conv_in(self.norm_in(h)), self.modulation(c)
        y = self.norm_out(y + modulation[..., None, None]) if self.shifts else self.norm_out(y, *modulation.chunk(2, 1))
        out: Tensor = self.skip(h) + self.conv_out(self.dropout(y))
        return out


class Stage(nn.Module):
    """A residual block, then self-attention and cross-attention if the level has them.

    Arguments:
        plane: Maker of convolutions.
        c_in: Channels of all inputs together.
        c_out: Channels of the output.
        embedding: E.
        config: Options of the blocks and of attention.
        attends: Whether self-attention follows the block.
        reads: Whether the network has sequences, which cross-attention reads after self-attention.
    """

    def __init__(
        self, plane: Plane, c_in: int, c_out: int, embedding: int, config: UNetConfig, attends: bool, reads: bool
    ) -> None:
        super().__init__()
        self.block = ResidualBlock(plane, c_in, c_out, embedding, config)
        self.attention = Attention(c_out, config) if attends else nn.Identity()
        self.reading = CrossAttention(c_out, embedding, config) if attends and reads else None
        self.recompute = config.recompute

    def forward(self, context: Context, *planes: Tensor) -> Tensor:
        """Return activations (B, c_out, H, W); the channels of all planes (B, *, H, W) sum to c_in."""
        if self.recompute and torch.is_grad_enabled():
            kept: Tensor = checkpoint(self.compute, context, *planes, use_reentrant=False)
            return kept
        return self.compute(context, *planes)

    def compute(self, context: Context, *planes: Tensor) -> Tensor:
        """Compute the result of `forward`; with `recompute` the backward pass computes it again."""
        h = planes[0] if len(planes) == 1 else torch.cat(planes, 1)
        out: Tensor = self.attention(self.block(h, context.vector))
        return out if self.reading is None else self.reading(out, context)


class Upsample(nn.Module):
    """Nearest-neighbour upsampling, then a convolution; overlaps of a transposed convolution would leave a pattern.

    Arguments:
        plane: Maker of convolutions.
        c_in: Channels of the input.
        c_out: Channels of the output.
        stride: Factor by which the sizes grow; the height of a waveform stays 1.
        kernel: Side of the convolution, odd.
    """

    def __init__(self, plane: Plane, c_in: int, c_out: int, stride: int, kernel: int) -> None:
        super().__init__()
        self.factor = tuple(map(float, plane.sides(stride)))
        self.conv = plane.conv(c_in, c_out, kernel)

    def forward(self, h: Tensor) -> Tensor:
        """Return activations (B, c_out, H stride, W stride), of waveforms (B, c_out, 1, W stride)."""
        out: Tensor = self.conv(functional.interpolate(h, scale_factor=self.factor, mode="nearest"))
        return out


class Down(nn.Module):
    """One level on the way down.

    Arguments:
        enter: Layer from the finer level.
        stages: Its blocks.
        leaves_all: Whether the output of `enter` is a skip connection too.
    """

    def __init__(self, enter: nn.Module, stages: Iterable[Stage], leaves_all: bool) -> None:
        super().__init__()
        self.enter = enter
        self.stages = nn.ModuleList(stages)
        self.leaves_all = leaves_all

    def forward(self, h: Tensor, context: Context) -> list[Tensor]:
        """Return the skip connections for the way up, (B, *, H, W) each; the last is also the next level's input."""
        left = [self.enter(h)]
        for stage in self.stages:
            left.append(stage(context, left[-1]))
        return left if self.leaves_all else left[1:]


class Up(nn.Module):
    """One level on the way up.

    Arguments:
        stages: Its blocks.
        leave: Layer to the finer level.
    """

    def __init__(self, stages: Iterable[Stage], leave: nn.Module) -> None:
        super().__init__()
        self.stages = nn.ModuleList(stages)
        self.leave = leave

    def forward(self, h: Tensor, context: Context, left: list[Tensor]) -> Tensor:
        """Return activations for the finer level; `left` holds the skip connections of `Down`, used last first."""
        for stage, skip in zip(self.stages, reversed(left), strict=True):
            h = stage(context, h, skip)
        out: Tensor = self.leave(h)
        return out
