"""Attention of the places of a plane to each other and to tokens."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional

from polydiff.backbones.config import UNetConfig
from polydiff.backbones.embed import Context
from polydiff.backbones.unet_layers import group_norm, zero
from polydiff.contract.backbone import AttentionMap

MAX_PLAIN_PLACES = 1024
"""Largest number of places for which attention in bf16 on a CPU is two plain matrix products."""
LONGEST_RATIO = 100.0
"""Longest wavelength of rotary positions over the shortest, which is 2 pi places."""


class Attention(nn.Module):
    """Residual multi-head self-attention over all places of a plane (Vaswani et al., 2017).

    With rotary positions, queries and keys are rotated by angles that grow with the place, so that their products
    depend on the distance between places (Su et al., 2021, https://arxiv.org/abs/2104.09864).

    Arguments:
        channels: C.
        config: Heads and group size.
    """

    def __init__(self, channels: int, config: UNetConfig) -> None:
        super().__init__()
        self.heads, self.rotary = config.heads, config.positions == "rotary"
        self.norm = group_norm(channels, config, silu=False)
        self.qkv = nn.Linear(channels, 3 * channels)
        self.out = zero(nn.Linear(channels, channels))

    def forward(self, h: Tensor) -> Tensor:
        """Return activations of the same shape (B, C, H, W)."""
        q, k, v = self.projected(h)
        mixed = rearrange(attend(q, k, v), "b heads n d -> b n (heads d)")
        out: Tensor = h + rearrange(self.out(mixed), "b (h w) c -> b c h w", h=h.shape[2])
        return out

    def projected(self, h: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return queries, keys and values, (B, heads, H W, d) each."""
        tokens = rearrange(self.norm(h), "b c h w -> b (h w) c")
        q, k, v = rearrange(self.qkv(tokens), "b n (s heads d) -> s b heads n d", s=3, heads=self.heads)
        if self.rotary:
            angle = angles(grid(h), q.shape[-1], h.device)
            q, k = turned(q, angle), turned(k, angle)
        return q, k, v

    def attention_map(self, h: Tensor) -> AttentionMap:
        """Return the weights of `forward` (`polydiff.contract.backbone.Attends`)."""
        q, k, _ = self.projected(h)
        return AttentionMap(weights(q, k), grid(h), 0)


def grid(h: Tensor) -> tuple[int, ...]:
    """Return the places along each axis of a plane (B, C, H, W): (W,) of a waveform, whose height is 1."""
    return tuple(h.shape[3:] if h.shape[2] == 1 else h.shape[2:])


def angles(sizes: Sequence[int], d: int, device: torch.device) -> Tensor:
    """Return the angles of the places of a grid in radians, (product of sizes, d / 2), for queries and keys of size d.

    Each axis has an equal share of the angles, which grow with the place along this axis alone.

    Arguments:
        sizes: Places along each axis: (W,) of a waveform, (H, W) of an image.
        d: Numbers of a query or key, a multiple of twice the number of axes.
        device: Device of the result.
    """
    count = d // 2 // len(sizes)
    speeds = LONGEST_RATIO ** -(torch.arange(count, device=device) / count)
    places = torch.meshgrid(*(torch.arange(n, device=device, dtype=torch.float32) for n in sizes), indexing="ij")
    return torch.cat([place.reshape(-1, 1) * speeds for place in places], 1)


def turned(x: Tensor, angle: Tensor) -> Tensor:
    """Return vectors (..., N, d) whose pairs of numbers (i, i + d / 2) are rotated by angles (N, d / 2)."""
    cos, sin = angle.cos().to(x.dtype), angle.sin().to(x.dtype)
    a, b = x.chunk(2, -1)
    return torch.cat([a * cos - b * sin, a * sin + b * cos], -1)


def attend(q: Tensor, k: Tensor, v: Tensor, read: Tensor | None = None) -> Tensor:
    """Return softmax(q k^T / sqrt(d)) v of tensors (B, heads, N, d).

    On a CPU the fused kernel computes in float32. For small N, two products in bf16 are several times as fast.

    Arguments:
        q: Queries, (B, heads, N, d).
        k: Keys, (B, heads, M, d).
        v: Values, (B, heads, M, d).
        read: Which of the M places are read, booleans that broadcast against (B, heads, N, M); None: all.
    """
    if q.device.type != "cpu" or q.dtype != torch.bfloat16 or q.shape[-2] > MAX_PLAIN_PLACES:
        return functional.scaled_dot_product_attention(q, k, v, attn_mask=read)
    return weights(q, k, read) @ v


def weights(q: Tensor, k: Tensor, read: Tensor | None = None) -> Tensor:
    """Return softmax(q k^T / sqrt(d)), (B, heads, N, M). Arguments as in `attend`."""
    scores = q * q.shape[-1] ** -0.5 @ k.transpose(-1, -2)
    if read is not None:
        scores = scores.masked_fill(~read, -torch.inf)
    return torch.softmax(scores, -1)


class CrossAttention(nn.Module):
    """Residual multi-head attention of all places of a plane to tokens (Rombach et al., 2022).

    https://arxiv.org/abs/2112.10752

    Arguments:
        channels: C.
        width: Width of the tokens.
        config: Heads and group size.
    """

    def __init__(self, channels: int, width: int, config: UNetConfig) -> None:
        super().__init__()
        self.heads = config.heads
        self.norm = group_norm(channels, config, silu=False)
        self.query = nn.Linear(channels, channels)
        self.key_value = nn.Linear(width, 2 * channels)
        self.out = zero(nn.Linear(channels, channels))

    def forward(self, h: Tensor, context: Context) -> Tensor:
        """Return activations of the same shape (B, C, H, W)."""
        q, k, v, given = self.projected(h, context)
        mixed = attend(q, k, v, given)
        read = self.out(rearrange(mixed, "b heads n d -> b n (heads d)"))
        out: Tensor = h + rearrange(read, "b (h w) c -> b c h w", h=h.shape[2])
        return out

    def projected(self, h: Tensor, context: Context) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return queries (B, heads, H W, d), keys and values (B, heads, N, d), and which tokens are given."""
        assert context.tokens is not None
        assert context.given is not None
        places = rearrange(self.norm(h), "b c h w -> b (h w) c")
        q = rearrange(self.query(places), "b n (heads d) -> b heads n d", heads=self.heads)
        k, v = rearrange(self.key_value(context.tokens), "b n (s heads d) -> s b heads n d", s=2, heads=self.heads)
        return q, k, v, context.given[:, None, None]

    def attention_map(self, h: Tensor, context: Context) -> AttentionMap:
        """Return the weights of `forward` (`polydiff.contract.backbone.Attends`)."""
        q, k, _, given = self.projected(h, context)
        return AttentionMap(weights(q, k, given), grid(h), k.shape[-2])
