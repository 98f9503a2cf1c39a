"""A convolutional autoencoder for waveforms (1-D) and images (2-D).

The encoder folds patches into channels and halves the sides of the grid from level to level; 1 x 1 convolutions give
the mean and the log variance of each number of a code (Kingma and Welling, 2014, https://arxiv.org/abs/1312.6114). The
decoder mirrors it. Waveforms are planes of height 1, as in the U-Net.

Symbols: B batch, C channels of the data, K channels of a code, f `factor`.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from polydiff.backbones.config import AutoencoderConfig
from polydiff.backbones.kernels.norm import GroupNorm
from polydiff.backbones.unet_blocks import Upsample
from polydiff.backbones.unet_layers import Plane, groups_of, zero
from polydiff.core.conditions import Conditions
from polydiff.core.space import Space

LOWEST, HIGHEST = -20.0, 5.0
"""Range of the log variances of a code."""


class Residual(nn.Module):
    """h + conv(silu(norm(conv(silu(norm(h)))))).

    Arguments:
        plane: Maker of convolutions.
        channels: Channels of h.
        kernel: Side of the convolutions, odd.
        group_size: Channels of a group in group normalisation.
    """

    def __init__(self, plane: Plane, channels: int, kernel: int, group_size: int) -> None:
        super().__init__()
        groups = groups_of(channels, group_size)
        self.inner = nn.Sequential(
            GroupNorm(groups, channels, affine=True, silu=True),
            plane.conv(channels, channels, kernel),
            GroupNorm(groups, channels, affine=True, silu=True),
            zero(plane.conv(channels, channels, kernel)),
        )

    def forward(self, h: Tensor) -> Tensor:
        """Return activations (B, channels, H, W) from h of the same shape."""
        out: Tensor = h + self.inner(h)
        return out


class Autoencoder(nn.Module):
    """Maps states (B, C, L) or (B, C, H, W) to codes (B, K, L / f) or (B, K, H / f, W / f), and back.

    States whose sides f does not divide are padded with zeros, so a code has their sides divided by f, rounded up.

    Arguments:
        config: Its dimensions.
        channels: C.
        dims: 1 for waveforms, 2 for images.
        conditions: Kinds of conditions, none of which it reads.
    """

    def __init__(self, config: AutoencoderConfig, *, channels: int, dims: int, conditions: Conditions) -> None:
        super().__init__()
        self.config, self.plane = config, Plane(dims)
        folded = channels * math.prod(self.plane.sides(config.patch))
        down: list[nn.Module] = [self.plane.conv(folded, config.widths[0], config.kernel)]
        up: list[nn.Module] = []
        for level, width in enumerate(config.widths):
            finer = config.widths[max(level - 1, 0)]
            enter = [self.plane.conv(finer, width, config.kernel, 2)] if level else []
            leave = [Upsample(self.plane, width, finer, 2, config.kernel)] if level else []
            down += [*enter, *self._blocks(width)]
            up = [*self._blocks(width), *leave, *up]
        deepest = config.widths[-1]
        self.encoder = nn.Sequential(*down, self._norm(deepest), self.plane.conv(deepest, 2 * config.codes, 1))
        self.decoder = nn.Sequential(
            self.plane.conv(config.codes, deepest, config.kernel),
            *up,
            self._norm(config.widths[0]),
            self.plane.conv(config.widths[0], folded, config.kernel),
        )

    def _blocks(self, width: int) -> list[nn.Module]:
        kernel, group_size = self.config.kernel, self.config.group_size
        return [Residual(self.plane, width, kernel, group_size) for _ in range(self.config.blocks)]

    def _norm(self, width: int) -> GroupNorm:
        return GroupNorm(groups_of(width, self.config.group_size), width, affine=True, silu=True)

    def encode(self, x: Tensor, space: Space) -> tuple[Tensor, Tensor]:
        """Return mean and log variance of the codes, (B, K, ...) each, of states x (B, C, ...). The space is unused."""
        image = x if x.ndim == 4 else x[:, :, None]
        height, width = (-(-side // f) * f for side, f in zip(image.shape[2:], self.sides, strict=True))
        padded = nn.functional.pad(image, (0, width - image.shape[3], 0, height - image.shape[2]))
        h = self.plane.fold(padded, self.config.patch).contiguous(memory_format=torch.channels_last)
        mean, log_variance = self.encoder(h).float().chunk(2, 1)
        shape = (*mean.shape[:2], *mean.shape[4 - self.plane.dims :])
        return mean.reshape(shape), log_variance.clamp(LOWEST, HIGHEST).reshape(shape)

    def decode(self, z: Tensor, space: Space | None = None) -> Tensor:
        """Return states (B, C, ...) of codes z (B, K, ...), with sides f times as long. The space is unused."""
        code = z if z.ndim == 4 else z[:, :, None]
        image = self.plane.unfold(self.decoder(code.contiguous(memory_format=torch.channels_last)), self.config.patch)
        return image if z.ndim == 4 else image[:, :, 0]

    @property
    def sides(self) -> tuple[int, int]:
        """f along the height, 1 for a waveform, and along the width."""
        return self.plane.sides(self.config.factor)
