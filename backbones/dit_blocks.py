r"""Blocks of the diffusion transformer: modulated attention and a gated feed-forward layer, both residual.

`polydiff.backbones.dit` gives the formula of a block and puts blocks together.

Symbols: B batch, N tokens of the sequence, D width, d width of a head, E width of the embedding.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from polydiff.backbones.attention import attend, turned, weights
from polydiff.backbones.config import DiTConfig
from polydiff.backbones.unet_layers import zero
from polydiff.contract.backbone import AttentionMap

EPSILON = 1e-6
"""Added to a mean square before its root is divided by."""


class Places(NamedTuple):
    """What attention needs to know of the tokens of a sequence.

    Attributes:
        angle: Angles by which queries and keys are turned, (N, d / 2); 0 for tokens without a place.
        read: Which tokens are read, booleans (B, 1, 1, N); None: all.
        sizes: Patches along each axis, which are the last tokens; only maps of attention need it.
    """

    angle: Tensor
    read: Tensor | None = None
    sizes: tuple[int, ...] = ()


def rms_norm(x: Tensor, gain: Tensor | None = None) -> Tensor:
    """Return vectors divided by their root mean square, times a gain, computed in float32 or a higher precision.

    (Zhang & Sennrich, 2019, https://arxiv.org/abs/1910.07467)
    """
    exact = x.to(torch.promote_types(x.dtype, torch.float32))
    return functional.rms_norm(exact, x.shape[-1:], gain, EPSILON).to(x.dtype)


def linear(c_in: int, c_out: int) -> nn.Linear:
    """Return a linear layer with the uniform initialisation of Glorot and Bengio, whose offsets are 0."""
    layer = nn.Linear(c_in, c_out)
    nn.init.xavier_uniform_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer


def modulated(h: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    """Return (1 + scale) norm(h) + shift, (B, N, D), for scale and shift (B, D)."""
    return torch.addcmul(shift[:, None], rms_norm(h), 1 + scale[:, None])


class SelfAttention(nn.Module):
    """Multi-head self-attention with normalised queries and keys and rotary positions.

    Normalised queries and keys bound the scores, so that training is stable (Dehghani et al., 2023,
    https://arxiv.org/abs/2302.05442).

    Arguments:
        config: Width, heads and dropout.
    """

    def __init__(self, config: DiTConfig) -> None:
        super().__init__()
        self.heads = config.heads
        self.qkv = linear(config.width, 3 * config.width)
        self.query_gain = nn.Parameter(torch.ones(config.width // config.heads))
        self.key_gain = nn.Parameter(torch.ones(config.width // config.heads))
        self.out = linear(config.width, config.width)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, h: Tensor, places: Places) -> Tensor:
        """Return what each token reads of the others, (B, N, D), from tokens (B, N, D)."""
        q, k, v = self.projected(h, places)
        mixed = rearrange(attend(q, k, v, places.read), "b heads n d -> b n (heads d)")
        out: Tensor = self.dropout(self.out(mixed))
        return out

    def projected(self, h: Tensor, places: Places) -> tuple[Tensor, Tensor, Tensor]:
        """Return queries, keys and values, (B, heads, N, d) each."""
        q, k, v = rearrange(self.qkv(h), "b n (s heads d) -> s b heads n d", s=3, heads=self.heads)
        q, k = (turned(rms_norm(x, gain), places.angle) for x, gain in ((q, self.query_gain), (k, self.key_gain)))
        return q, k, v

    def attention_map(self, h: Tensor, places: Places) -> AttentionMap:
        """Return the weights of the patches in `forward` (`polydiff.contract.backbone.Attends`)."""
        q, k, _ = self.projected(h, places)
        first = h.shape[1] - math.prod(places.sizes)
        return AttentionMap(weights(q[:, :, first:], k, places.read), places.sizes, first)


class SwiGLU(nn.Module):
    """A gated feed-forward layer: W_2 (silu(W_0 h) W_1 h) (Shazeer, 2020, https://arxiv.org/abs/2002.05202).

    Arguments:
        config: Width, ratio and dropout.
    """

    def __init__(self, config: DiTConfig) -> None:
        super().__init__()
        self.first = linear(config.width, 2 * config.hidden)
        self.dropout = nn.Dropout(config.dropout)
        self.second = linear(config.hidden, config.width)

    def forward(self, h: Tensor) -> Tensor:
        """Return tokens of the same shape (B, N, D)."""
        gate, value = self.first(h).chunk(2, -1)
        out: Tensor = self.second(self.dropout(functional.silu(gate) * value))
        return out


class Block(nn.Module):
    """Attention, then the feed-forward layer; each is modulated by the embedding, and its gate starts at 0.

    Arguments:
        config: Options of the layers.
    """

    def __init__(self, config: DiTConfig) -> None:
        super().__init__()
        self.modulation = zero(nn.Linear(config.width, 6 * config.width))
        self.attention = SelfAttention(config)
        self.feed_forward = SwiGLU(config)
        self.recompute = config.recompute

    def forward(self, h: Tensor, vector: Tensor, places: Places) -> Tensor:
        """Return tokens (B, N, D).

        Arguments:
            h: Tokens, (B, N, D).
            vector: The embedding, (B, E).
            places: Positions of the tokens, and which of them are read.
        """
        if self.recompute and torch.is_grad_enabled():
            kept: Tensor = checkpoint(self.compute, h, vector, places, use_reentrant=False)
            return kept
        return self.compute(h, vector, places)

    def compute(self, h: Tensor, vector: Tensor, places: Places) -> Tensor:
        """Compute the result of `forward`; with `recompute` the backward pass computes it again."""
        scale, shift, gate, scale_2, shift_2, gate_2 = self.modulation(vector).chunk(6, -1)
        h = h + gate[:, None] * self.attention(modulated(h, scale, shift), places)
        out: Tensor = h + gate_2[:, None] * self.feed_forward(modulated(h, scale_2, shift_2))
        return out
