"""A small transformer that reads a text, trained together with the network that is conditioned on it.

Symbols: B batch, N tokens, W width of the encoder.
"""

from __future__ import annotations

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional

from polydiff.contract.sections import TextConfig
from polydiff.core.conditions import Text, given

DEFAULT = TextConfig()
"""How texts are read unless a configuration says otherwise."""


class TextBlock(nn.Module):
    """One layer: self-attention, then a perceptron, each on normalised activations (Xiong et al., 2020).

    https://arxiv.org/abs/2002.04745. Before them, a convolution over neighbouring tokens. Which adjective belongs to
    which noun is a matter of neighbourhood; attention alone did not learn it in 10,000 steps on scenes of shapes.
    """

    def __init__(self, config: TextConfig) -> None:
        super().__init__()
        self.heads, width = config.heads, config.width
        self.local = nn.Conv1d(width, width, config.kernel, padding=config.kernel // 2) if config.kernel else None
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(2))
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.first, self.second = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, h: Tensor, there: Tensor) -> Tensor:
        """Return activations (B, N, W); only tokens with `there`, (B, N), are attended to."""
        if self.local is not None:
            mixed = self.local(torch.where(there[..., None], h, 0).mT).mT
            h = h + torch.where(there[..., None], mixed, 0)
        q, k, v = rearrange(self.qkv(self.norms[0](h)), "b n (s heads d) -> s b heads n d", s=3, heads=self.heads)
        mixed = functional.scaled_dot_product_attention(q, k, v, attn_mask=there[:, None, None])
        h = h + self.dropout(self.out(rearrange(mixed, "b heads n d -> b n (heads d)")))
        out: Tensor = h + self.dropout(self.second(functional.gelu(self.first(self.norms[1](h)))))
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
