"""Two encoders, of states and of texts, whose vectors a contrastive loss compares (`polydiff.match`).

States pass through levels of residual convolutions, and their last activations are averaged over all places. Waveforms
are planes of height 1, as in the U-Net. Texts are read as a denoiser reads them, and their tokens are averaged.

Symbols: B batch, C channels of the data, E numbers of a vector.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from polydiff.backbones.config import TowerConfig
from polydiff.backbones.embed import TokenEmbedding, entering
from polydiff.backbones.encoders.autoencoder import Residual
from polydiff.backbones.kernels.norm import GroupNorm
from polydiff.backbones.unet_layers import Plane, groups_of
from polydiff.core.conditions import Condition, Conditions
from polydiff.support.errors import UserError


class Tower(nn.Module):
    """Maps states (B, C, L) or (B, C, H, W), and their texts, to vectors (B, E).

    Arguments:
        config: Dimensions of both encoders.
        channels: C.
        dims: 1 for waveforms, 2 for images.
        conditions: Kinds of conditions; those that are sequences, such as texts, are read.
    """

    def __init__(self, config: TowerConfig, *, channels: int, dims: int, conditions: Conditions) -> None:
        super().__init__()
        self.config, self.plane = config, Plane(dims)
        sequences = entering(conditions, "tokens")
        if not sequences:
            raise UserError(
                "learn=match compares examples with their texts, and these data have none. Name a column of texts in "
                "data.captions or data.conditions."
            )
        self.names = tuple(sequences)
        layers: list[nn.Module] = [
            self.plane.conv(channels * math.prod(self.plane.sides(config.patch)), config.widths[0], config.kernel)
        ]
        for level, width in enumerate(config.widths):
            if level:
                layers.append(self.plane.conv(config.widths[level - 1], width, config.kernel, 2))
            layers += [Residual(self.plane, width, config.kernel, config.group_size) for _ in range(config.blocks)]
        last = config.widths[-1]
        self.convolutions = nn.Sequential(*layers, GroupNorm(groups_of(last, config.group_size), last))
        self.out = nn.Sequential(nn.Dropout(config.dropout), nn.Linear(last, config.embedding))
        self.tokens = TokenEmbedding(sequences, last, config.text, attended=False)
        self.out_text = nn.Sequential(nn.Dropout(config.dropout), nn.Linear(last, config.embedding))

    @property
    def width(self) -> int:
        """Numbers E of a vector."""
        return self.config.embedding

    def embed(self, x: Tensor) -> Tensor:
        """Return vectors (B, E) of states (B, C, ...)."""
        image = x if x.ndim == 4 else x[:, :, None]
        h = self.plane.fold(image, self.config.patch).contiguous(memory_format=torch.channels_last)
        out: Tensor = self.out(self.convolutions(h).mean((2, 3)))
        return out

    def embed_text(self, cond: Condition | None, batch: int) -> Tensor:
        """Return vectors (B, E) of the texts among conditions; texts that are not given have one learned vector."""
        with torch.autocast(self.tokens.null.device.type, enabled=False):
            _, _, means = self.tokens(cond, batch)
            assert isinstance(means, Tensor)
            out: Tensor = self.out_text(means)
        return out
