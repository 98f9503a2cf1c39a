r"""The U-Net: one definition for waveforms (1-D) and images (2-D).

A state is a plane (B, C, H, W); a waveform is a plane of height 1 with kernels (1, k), since 2-D convolutions in
channels-last order are several times faster than 1-D ones. Residual blocks compute

$$ y = \mathrm{conv}(\mathrm{silu}(\mathrm{norm}(h))), \qquad
   h + \mathrm{conv}(\mathrm{silu}((1 + \gamma)\, \mathrm{norm}(y) + \beta)), $$

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
from polydiff.backbones.embed import ContextEmbedding, Output
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
        embedding: E.
        config: Kernel, group size and dropout.
    """

    def __init__(self, plane: Plane, c_in: int, c_out: int, embedding: int, config: UNetConfig) -> None:
        super().__init__()
        self.norm_in = group_norm(c_in, config)
        self.conv_in = plane.conv(c_in, c_out, config.kernel)
        self.modulation = nn.Linear(embedding, 2 * c_out)
        self.norm_out = group_norm(c_out, config, affine=False)
        self.dropout = nn.Dropout(config.dropout)
        self.conv_out = zero(plane.conv(c_out, c_out, config.kernel))
        self.skip = nn.Identity() if c_in == c_out else plane.conv(c_in, c_out, 1)

    def forward(self, h: Tensor, c: Tensor) -> Tensor:
        """Return activations (B, c_out, H, W) from h (B, c_in, H, W) and c (B, E)."""
        y = self.conv_in(functional.silu(self.norm_in(h)))
        scale, shift = self.modulation(c)[..., None, None].chunk(2, 1)
        y = functional.silu(torch.addcmul(shift, self.norm_out(y), 1 + scale))
        out: Tensor = self.skip(h) + self.conv_out(self.dropout(y))
        return out


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
        mixed = rearrange(attend(q, k, v), "b heads n d -> b n (heads d)")
        out: Tensor = h + rearrange(self.out(mixed), "b (h w) c -> b c h w", h=h.shape[2])
        return out


def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Return softmax(q k^T / sqrt(d)) v of tensors (B, heads, N, d)."""
    if q.device.type != "cpu" or q.dtype != torch.bfloat16:
        return functional.scaled_dot_product_attention(q, k, v)
    with torch.autocast("cpu", enabled=False):  # the CPU's backward in bf16 takes up to 4 times as long as in float32
        return functional.scaled_dot_product_attention(q.float(), k.float(), v.float()).to(q.dtype)


class Stage(nn.Module):
    """A residual block, and attention after it where the level has it."""

    def __init__(self, plane: Plane, c_in: int, c_out: int, embedding: int, config: UNetConfig, attends: bool) -> None:
        super().__init__()
        self.block = ResidualBlock(plane, c_in, c_out, embedding, config)
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


class Down(nn.Module):
    """One level on the way down.

    Arguments:
        plane: Maker of convolutions.
        enter: What leads here from the finer level.
        channels: C of the level.
        embedding: E.
        config: Number of blocks and their dimensions.
        attends: Whether attention follows each block.
    """

    def __init__(
        self, plane: Plane, enter: nn.Module, channels: int, embedding: int, config: UNetConfig, attends: bool
    ) -> None:
        super().__init__()
        self.enter = enter
        self.stages = nn.ModuleList(
            Stage(plane, channels, channels, embedding, config, attends) for _ in range(config.blocks)
        )

    def forward(self, h: Tensor, c: Tensor) -> list[Tensor]:
        """Return what each block leaves; the last is also what goes on."""
        h = self.enter(h)
        left = []
        for stage in self.stages:
            h = stage(h, c)
            left.append(h)
        return left


class Up(nn.Module):
    """One level on the way up.

    Arguments:
        plane: Maker of convolutions.
        leave: What leads from here to the finer level.
        channels: C of the level.
        embedding: E.
        config: Number of blocks and their dimensions.
        attends: Whether attention follows each block.
    """

    def __init__(
        self, plane: Plane, leave: nn.Module, channels: int, embedding: int, config: UNetConfig, attends: bool
    ) -> None:
        super().__init__()
        self.leave = leave
        self.stages = nn.ModuleList(
            Stage(plane, 2 * channels, channels, embedding, config, attends) for _ in range(config.blocks)
        )

    def forward(self, h: Tensor, c: Tensor, left: list[Tensor]) -> Tensor:
        """Return activations for the finer level, with what `Down` left taken in, the last first."""
        for stage, skip in zip(self.stages, reversed(left), strict=True):
            h = stage(torch.cat([h, skip], 1), c)
        out: Tensor = self.leave(h)
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
        widths = [config.channels * m for m in config.mult]
        attends = [i in config.attention for i in range(len(widths))]
        gaps = list(zip(widths, widths[1:], config.level_strides, strict=False))
        enters = [plane.conv(w, v, max(2 * s - 1, config.kernel), s) for w, v, s in gaps]
        leaves = [Upsample(plane, v, w, s, config.kernel) for w, v, s in gaps]
        embedding = 4 * config.channels

        self.patch = plane.sides(config.patch)
        self.multiple = plane.sides(config.patch * math.prod(config.level_strides))
        folded = channels * math.prod(self.patch)
        self.embed = ContextEmbedding(conditions, embedding)
        self.stem = plane.conv(folded, widths[0], config.kernel)
        self.down = nn.ModuleList(
            Down(plane, enter, w, embedding, config, a)
            for enter, w, a in zip([nn.Identity(), *enters], widths, attends, strict=True)
        )
        self.middle = Stage(plane, widths[-1], widths[-1], embedding, config, attends[-1])
        self.up = nn.ModuleList(
            Up(plane, leave, w, embedding, config, a)
            for leave, w, a in zip([nn.Identity(), *leaves], widths, attends, strict=True)
        )
        self.norm = group_norm(widths[0], config)
        self.heads = 2 if config.variance else 1
        self.out = zero(plane.conv(widths[0], self.heads * folded, config.kernel))

    def forward(self, x: Tensor, log_sigma: Tensor, space: Space, cond: Condition | None = None) -> Output:
        """Return a state of the shape of x, and with `variance` a second one.

        Arguments:
            x: State of unit variance, (B, C, L) or (B, C, H, W).
            log_sigma: Log of the noise level, (B,).
            space: Where x lives; unused.
            cond: Conditions, or None.
        """
        image = x if x.ndim == 4 else x[:, :, None]
        height, width = image.shape[2:]
        padded = functional.pad(image, (0, -width % self.multiple[1], 0, -height % self.multiple[0]))
        folded = self.planes(self.fold(padded), self.embed(log_sigma, cond))
        f, *v = (self.unfold(h)[:, :, :height, :width].reshape(x.shape) for h in folded.chunk(self.heads, 1))
        return (f, v[0]) if v else f

    def planes(self, h: Tensor, c: Tensor) -> Tensor:
        """Go down all levels and up again, on folded planes whose sides the strides divide."""
        h = self.stem(h).contiguous(memory_format=torch.channels_last)
        left: list[list[Tensor]] = []
        for down in self.down:
            left.append(down(h, c))
            h = left[-1][-1]
        h = self.middle(h, c)
        for up in reversed(self.up):
            h = up(h, c, left.pop())
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
