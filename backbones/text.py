"""A small transformer that reads a text, trained together with the network that is conditioned on it.

Symbols: B batch, N tokens, W width of the encoder.
"""

from __future__ import annotations

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional

from polydiff.contract.sections.network import TextConfig
from polydiff.core.conditions import Text, given

DEFAULT = TextConfig()
"""How texts are read unless a configuration says otherwise."""


class TextBlock(nn.Module):
    """One layer: self-attention, then a perceptron, each on normalised activations (Xiong et al., 2020).

    https://arxiv.org/abs/2002.04745. The perceptron's first layer is a convolution over neighbouring tokens, as in
    FastSpeech (Ren et al., 2019, https://arxiv.org/abs/1905.09263), because which adjective and which relation belong
    to which noun is a matter of neighbourhood. A perceptron that reads each token by itself learns it many times more
    slowly from noisy gradients (benchmarks/binding.py).
    """

    def __init__(self, config: TextConfig) -> None:
        super().__init__()
        self.heads, width, kernel = config.heads, config.width, config.kernel
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(2))
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.first: nn.Linear | nn.Conv1d
        if kernel:
            self.first = nn.Conv1d(width, 4 * width, kernel, padding=kernel // 2)
        else:
            self.first = nn.Linear(width, 4 * width)
        self.second = nn.Linear(4 * width, width)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, h: Tensor, there: Tensor) -> Tensor:
        """Return activations (B, N, W); only tokens with `there`, (B, N), are attended to and mixed."""
        q, k, v = rearrange(self.qkv(self.norms[0](h)), "b n (s heads d) -> s b heads n d", s=3, heads=self.heads)
        mixed = functional.scaled_dot_product_attention(q, k, v, attn_mask=there[:, None, None])
        h = h + self.dropout(self.out(rearrange(mixed, "b heads n d -> b n (heads d)")))
        inner = self.norms[1](h)
        if isinstance(self.first, nn.Conv1d):
            inner = self.first(torch.where(there[..., None], inner, 0).mT).mT
        else:
            inner = self.first(inner)
        out: Tensor = h + self.dropout(self.second(functional.gelu(inner)))
        return out


class TextEncoder(nn.Module):
    """Tokens of a text as vectors of another width.

    A learned token stands before each text, so that attention always has something to attend to, also where no text is
    given. It is not returned.

    Arguments:
        kind: Number of different tokens, and of the longest text.
        width: Width of the vectors.
        config: Dimensions of the encoder. With `layers` 0 a token's vector depends on it and its position alone.
    """

    def __init__(self, kind: Text, width: int, config: TextConfig) -> None:
        super().__init__()
        self.table = nn.Embedding(kind.size, config.width)
        self.start = nn.Parameter(torch.randn(config.width))
        self.positions = nn.Parameter(0.3 * torch.randn(1 + kind.longest, config.width))
        self.blocks = nn.ModuleList(TextBlock(config) for _ in range(config.layers))
        self.norm = nn.LayerNorm(config.width)
        self.out = nn.Linear(config.width, width)

    def forward(self, value: Tensor) -> tuple[Tensor, Tensor]:
        """Return vectors (B, N, width) of tokens (B, N), and which of them are given (B, N)."""
        there = given(value)
        tokens = self.table(value.clamp(min=0))
        h = torch.cat([self.start.expand(len(value), 1, -1), tokens], 1) + self.positions[: 1 + value.shape[1]]
        attended = functional.pad(there, (1, 0), value=True)
        for block in self.blocks:
            h = block(h, attended)
        return self.out(self.norm(h[:, 1:])), there
