r"""A residual multilayer perceptron for vectors, for toy problems and for latents.

$$ h \leftarrow h + W_2\, \mathrm{silu}(W_1 ((1 + \gamma)\, \mathrm{norm}(h) + \beta)), $$

with gamma and beta linear in the embedding of the noise level and the conditions. With `self_condition` the
input also holds an earlier estimate of the clean state, and a number that is 1 if the estimate is given.

Symbols: B batch, D width of the data, H hidden width, c the embedding (B, H).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from polydiff.backbones.config import MLPConfig
from polydiff.backbones.embed import ContextEmbedding, Output, singles
from polydiff.backbones.values import filled
from polydiff.core.conditions import ESTIMATE, Condition, Conditions
from polydiff.core.space import Space


class Block(nn.Module):
    """A residual block of width H."""

    def __init__(self, hidden: int, dropout: float) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(hidden, elementwise_affine=False)
        self.modulation = nn.Linear(hidden, 2 * hidden)
        self.first = nn.Linear(hidden, hidden)
        self.dropout = nn.Dropout(dropout)
        self.second = nn.Linear(hidden, hidden)

    def forward(self, h: Tensor, c: Tensor) -> Tensor:
        """Return activations (B, H) from h (B, H) and c (B, H)."""
        scale, shift = self.modulation(c).chunk(2, -1)
        y = torch.addcmul(shift, self.norm(h), 1 + scale)
        out: Tensor = h + self.second(self.dropout(functional.silu(self.first(y))))
        return out


class MLP(nn.Module):
    """Residual perceptron for states (B, D); other shapes are flattened.

    Arguments:
        config: Its dimensions.
        channels: D.
        dims: 0, for vectors.
        conditions: Name -> kind (`polydiff.core.conditions`).
    """

    def __init__(self, config: MLPConfig, *, channels: int, dims: int, conditions: Conditions) -> None:
        super().__init__()
        self.embed = ContextEmbedding(singles(conditions, config.name), config.hidden, config.text, attended=False)
        self.self_condition = config.self_condition
        self.stem = nn.Linear(2 * channels + 1 if self.self_condition else channels, config.hidden)
        self.blocks = nn.ModuleList(Block(config.hidden, config.dropout) for _ in range(config.layers))
        self.norm = nn.LayerNorm(config.hidden)
        self.heads = 2 if config.variance else 1
        self.out = nn.Linear(config.hidden, self.heads * channels)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def forward(self, x: Tensor, log_sigma: Tensor, space: Space, cond: Condition | None = None) -> Output:
        """Return a state of the shape of x, and with `variance` a second one.

        Arguments:
            x: State of unit variance, (B, D).
            log_sigma: Log of the noise level, (B,).
            space: Space of x; unused.
            cond: Conditions, or None.
        """
        c = self.embed(log_sigma, cond).vector
        h = self.stem(self.beside(x, cond) if self.self_condition else x.flatten(1))
        for block in self.blocks:
            h = block(h, c)
        f, *v = self.out(functional.silu(self.norm(h))).chunk(self.heads, -1)
        return (f.reshape(x.shape), v[0].reshape(x.shape)) if v else f.reshape(x.shape)

    def beside(self, x: Tensor, cond: Condition | None) -> Tensor:
        """Return the state, the estimate, and 1 if the estimate is given, 0 if not, as one tensor (B, 2 D + 1)."""
        earlier = (cond or {}).get(ESTIMATE)
        if earlier is None:
            return functional.pad(x.flatten(1), (0, x[0].numel() + 1))
        numbers, there = filled(earlier.flatten(1), 1)
        return torch.cat([x.flatten(1), numbers.to(x), there.to(x)], 1)
