r"""The U-Net: one definition for waveforms (1-D) and images (2-D).

A state is a plane (B, C, H, W); a waveform is a plane of height 1 with kernels (1, k), since 2-D convolutions in
channels-last order are several times faster than 1-D ones. Residual blocks compute

$$ h + \mathrm{conv}(\mathrm{silu}((1 + \gamma)\, \mathrm{norm}(\mathrm{conv}(\mathrm{silu}(\mathrm{norm}(h)))) + \beta)), $$

with gamma and beta linear in the embedding of the noise level and the conditions (Ronneberger et al., 2015,
https://arxiv.org/abs/1505.04597; Dhariwal and Nichol, 2021, https://arxiv.org/abs/2105.05233).

Symbols: B batch, C channels, H and W height and width, h activations, c the embedding (B, E).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional

from polydiff.backbones.config import UNetConfig
from polydiff.backbones.embed import ContextEmbedding
from polydiff.space import Condition, Space

M = TypeVar("M", nn.Conv2d, nn.Linear)


@dataclass(frozen=True)
class Plane:
    """Makes layers for dims = 1 or 2 as layers for planes, of height 1 where dims = 1."""

    dims: int

    def sides(self, n: int, flat: int = 1) -> tuple[int, int]:
        """Return n for each axis, and `flat` for the height of a waveform."""
        return (n if self.dims == 2 else flat), n

    def conv(self, c_in: int, c_out: int, kernel: int, stride: int = 1) -> nn.Conv2d:
        """Return a convolution with odd kernel that divides sizes by its stride."""
        padding = self.sides(kernel // 2, flat=0)
        return nn.Conv2d(c_in, c_out, self.sides(kernel), self.sides(stride), padding)


def zero(layer: M) -> M:
    """Return the layer with all parameters 0, so that a network starts as the identity or as 0."""
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)
    return layer


def group_norm(channels: int, config: UNetConfig, affine: bool = True) -> nn.GroupNorm:
    """Return a normalisation with groups of `group_size` channels, or as near to it as divides their number."""
    return nn.GroupNorm(math.gcd(channels, max(channels // config.group_size, 1)), channels, affine=affine)


class ResidualBlock(nn.Module):
    """Two convolutions with the embedding between them.

    Arguments:
        plane: Maker of convolutions.
        c_in: Channels in.
        c_out: Channels out.
        width: E.
        config: Kernel, group size and dropout.
    """

    def __init__(self, plane: Plane, c_in: int, c_out: int, width: int, config: UNetConfig) -> None:
        super().__init__()
        self.norm_in = group_norm(c_in, config)
        self.conv_in = plane.conv(c_in, c_out, config.kernel)
        self.modulation = nn.Linear(width, 2 * c_out)
        self.norm_out = group_norm(c_out, config, affine=False)
        self.dropout = nn.Dropout(config.dropout)
        self.conv_out = zero(plane.conv(c_out, c_out, config.kernel))
        self.skip = nn.Identity() if c_in == c_out else plane.conv(c_in, c_out, 1)

    def forward(self, h: Tensor, c: Tensor) -> Tensor:
        """Return activations (B, c_out, H, W) from h (B, c_in, H, W) and c (B, E)."""
        y = self.conv_in(functional.silu(self.norm_in(h)))
        scale, shift = self.modulation(c)[..., None, None].chunk(2, 1)
        y = functional.silu(torch.addcmul(shift, self.norm_out(y), 1 + scale))
        return self.skip(h) + self.conv_out(self.dropout(y))


class Attention(nn.Module):
    """Residual multi-head self-attention over all places of a plane (Vaswani et al., 2017).

    Arguments:
        channels: C.
        config: Heads and group size.
    """

    def __init__(self, channels: int, config: UNetConfig) -> None:
        super().__init__()
        self.heads = config.heads
        self.norm = group_norm(channels, config)
        self.qkv = nn.Linear(channels, 3 * channels)
        self.out = zero(nn.Linear(channels, channels))

    def forward(self, h: Tensor) -> Tensor:
        """Return activations of the same shape (B, C, H, W)."""
        tokens = rearrange(self.norm(h), "b c h w -> b (h w) c")
        q, k, v = rearrange(self.qkv(tokens), "b n (s heads d) -> s b heads n d", s=3, heads=self.heads)
        mixed = rearrange(functional.scaled_dot_product_attention(q, k, v), "b heads n d -> b n (heads d)")
        return h + rearrange(self.out(mixed), "b (h w) c -> b c h w", h=h.shape[2])


class Stage(nn.Module):
    """A residual block, and attention after it where the level has it."""

    def __init__(self, plane: Plane, c_in: int, c_out: int, width: int, config: UNetConfig, attends: bool) -> None:
        super().__init__()
        self.block = ResidualBlock(plane, c_in, c_out, width, config)
        self.attention = Attention(c_out, config) if attends else nn.Identity()

    def forward(self, h: Tensor, c: Tensor) -> Tensor:
        """Return activations (B, c_out, H, W)."""
        out: Tensor = self.attention(self.block(h, c))
        return out


class Upsample(nn.Module):
    """Repetition of each place, then a convolution: no transposed convolution, whose overlaps leave a pattern."""

    def __init__(self, plane: Plane, c_in: int, c_out: int, stride: int, kernel: int) -> None:
        super().__init__()
        self.factor = tuple(map(float, plane.sides(stride)))
        self.conv = plane.conv(c_in, c_out, kernel)

    def forward(self, h: Tensor) -> Tensor:
        """Return activations (B, c_out, H stride, W stride)."""
        out: Tensor = self.conv(functional.interpolate(h, scale_factor=self.factor, mode="nearest"))
        return out


class UNet(nn.Module):
    """U-Net for states (B, C, L) or (B, C, H, W) of any size.

    Sizes that the strides do not divide are padded with zeros inside, and cropped at the end.

    Arguments:
        config: Its dimensions.
        channels: C of the data.
        dims: 1 for waveforms, 2 for images.
        conditions: Name -> number of classes, or 0 for a real number.
    """

    def __init__(self, config: UNetConfig, *, channels: int, dims: int, conditions: Mapping[str, int]) -> None:
        super().__init__()
        if dims not in (1, 2):
            raise ValueError(f"A U-Net works in 1 or 2 dimensions, not in {dims}.")
        plane = Plane(dims)
        self.patch = plane.sides(config.patch)
        widths = [config.channels * m for m in config.mult]
        strides = config.level_strides
        deepest = len(widths) - 1
        folded = channels * self.patch[0] * self.patch[1]
        width = 4 * config.channels

        def stages(c_in: list[int], c_out: int, level: int) -> nn.ModuleList:
            attends = level in config.attention
            return nn.ModuleList(Stage(plane, c, c_out, width, config, attends) for c in c_in)

        def inputs(first: int, level: int, skip: int = 0) -> list[int]:
            return [c + skip for c in [first, *[widths[level]] * (config.blocks - 1)]]

        self.multiple = self.patch
        for stride in strides:
            sides = plane.sides(stride)
            self.multiple = self.multiple[0] * sides[0], self.multiple[1] * sides[1]
        self.embed = ContextEmbedding(conditions, width)
        self.stem = plane.conv(folded, widths[0], config.kernel)
        self.down = nn.ModuleList(stages(inputs(w, i), w, i) for i, w in enumerate(widths))
        self.shrink = nn.ModuleList(
            plane.conv(widths[i], widths[i + 1], 2 * s - 1 if s > 1 else config.kernel, s)
            for i, s in enumerate(strides)
        )
        self.middle = Stage(plane, widths[-1], widths[-1], width, config, deepest in config.attention)
        self.up = nn.ModuleList(stages(inputs(w, i, skip=w), w, i) for i, w in enumerate(widths))
        self.grow = nn.ModuleList(
            Upsample(plane, widths[i + 1], widths[i], s, config.kernel) for i, s in enumerate(strides)
        )
        self.norm = group_norm(widths[0], config)
        self.out = zero(plane.conv(widths[0], folded, config.kernel))

    def forward(self, x: Tensor, log_sigma: Tensor, space: Space, cond: Condition | None = None) -> Tensor:
        """Return a state of the shape of x.

        Arguments:
            x: State of unit variance, (B, C, L) or (B, C, H, W).
            log_sigma: Log of the noise level, (B,).
            space: Where x lives; unused.
            cond: Conditions, or None.
        """
        image = x if x.ndim == 4 else x[:, :, None]
        height, width = image.shape[2:]
        padded = functional.pad(image, (0, -width % self.multiple[1], 0, -height % self.multiple[0]))
        f = self.unfold(self.levels(self.fold(padded), self.embed(log_sigma, cond)))
        return f[:, :, :height, :width].reshape(x.shape)

    def levels(self, h: Tensor, c: Tensor) -> Tensor:
        """Go down all levels and up again, on folded planes whose sizes the strides divide."""
        h = self.stem(h).contiguous(memory_format=torch.channels_last)
        skips = []
        for i, stages in enumerate(self.down):
            h = self.shrink[i - 1](h) if i else h
            for stage in stages:
                h = stage(h, c)
                skips.append(h)
        h = self.middle(h, c)
        for i in reversed(range(len(self.up))):
            for stage in self.up[i]:
                h = stage(torch.cat([h, skips.pop()], 1), c)
            h = self.grow[i - 1](h) if i else h
        out: Tensor = self.out(functional.silu(self.norm(h)))
        return out

    def fold(self, x: Tensor) -> Tensor:
        """Make patches channels."""
        p, q = self.patch
        return rearrange(x, "b c (h p) (w q) -> b (c p q) h w", p=p, q=q)

    def unfold(self, x: Tensor) -> Tensor:
        """Undo `fold`."""
        p, q = self.patch
        return rearrange(x, "b (c p q) h w -> b c (h p) (w q)", p=p, q=q)
