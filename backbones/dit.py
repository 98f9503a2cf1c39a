r"""The diffusion transformer: one definition for waveforms (1-D) and images (2-D).

Patches of the state are the tokens of a sequence, after those of the conditions. With g, b and a linear in the
embedding of the noise level and the conditions, a block computes

$$ h \leftarrow h + a_1\, \mathrm{attention}((1 + g_1)\, \mathrm{norm}(h) + b_1), \qquad
   h \leftarrow h + a_2\, \mathrm{swiglu}((1 + g_2)\, \mathrm{norm}(h) + b_2), $$

and starts as the identity, a = 0 (Peebles & Xie, DiT, 2023, https://arxiv.org/abs/2212.09748). The norm is the root
mean square, queries and keys are normalised, and rotary positions make their products depend on the distance between
patches along each axis (Yao et al., LightningDiT, 2025, https://arxiv.org/abs/2501.01423). Nothing else encodes places,
so a network takes other sizes than those of training. Tokens of conditions have no place.

With `bottleneck`, the first layer maps a patch to a few numbers before it maps these to the width (Li & He, JiT, 2025,
https://arxiv.org/abs/2511.13720): noise fills all dimensions of a large patch, images few.

Symbols: B batch, C channels, H and W height and width, h tokens (B, N, D).
"""

from __future__ import annotations

import math

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional

from polydiff.backbones.attention import angles
from polydiff.backbones.config import DiTConfig
from polydiff.backbones.dit_blocks import Block, Places, linear, modulated
from polydiff.backbones.embed import Context
from polydiff.backbones.unet_layers import PlaneNetwork, output_layer, zero
from polydiff.core.conditions import Conditions


class DiT(PlaneNetwork):
    """Diffusion transformer for states (B, C, L) or (B, C, H, W) of any size.

    States whose sizes the patch does not divide are padded with zeros, and the output is cropped.

    Arguments:
        config: Its dimensions.
        channels: C of the data.
        dims: 1 for waveforms, 2 for images.
        conditions: Name -> kind (`polydiff.core.conditions`).
    """

    def __init__(self, config: DiTConfig, *, channels: int, dims: int, conditions: Conditions) -> None:
        super().__init__(config, config.width, 1, channels=channels, dims=dims, conditions=conditions)
        self.config = config
        self.stem = self._stem(self.enters)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.depth))
        self.modulation = zero(nn.Linear(config.width, 2 * config.width))
        self.out = output_layer(zero(nn.Linear(config.width, self.leaves)))

    def _stem(self, c_in: int) -> nn.Module:
        if not self.config.bottleneck:
            return linear(c_in, self.config.width)
        narrow = nn.Linear(c_in, self.config.bottleneck, bias=False)
        nn.init.xavier_uniform_(narrow.weight)
        return nn.Sequential(narrow, linear(self.config.bottleneck, self.config.width))

    def planes(self, h: Tensor, context: Context) -> Tensor:
        """Return output planes (B, c, H, W) from input planes h (B, *, H, W), a token at each place."""
        sizes = h.shape[2:]
        patches = self.stem(rearrange(h, "b c h w -> b (h w) c")).to(h.dtype)  # sums of blocks keep this precision
        first = 0 if context.tokens is None else context.tokens.shape[1]
        tokens = patches if context.tokens is None else torch.cat([context.tokens.to(h.dtype), patches], 1)
        places = self.places(sizes, context, h.device)
        for block in self.blocks:
            tokens = block(tokens, context.vector, places)
        scale, shift = self.modulation(context.vector).chunk(2, -1)
        out: Tensor = self.out(modulated(tokens[:, first:], scale, shift))
        return rearrange(out, "b (h w) c -> b c h w", h=sizes[0])

    def places(self, sizes: torch.Size, context: Context, device: torch.device) -> Places:
        """Return the positions of the tokens of conditions and of patches, and which tokens are read.

        Arguments:
            sizes: Patches along each axis of the plane, (H, W).
            context: Gives the tokens of conditions.
            device: Device of the result.
        """
        grid = tuple(sizes[2 - self.plane.dims :])
        angle = angles(grid, self.config.width // self.config.heads, device)
        if context.given is None:
            return Places(angle, sizes=grid)
        first = context.given.shape[1]
        angle = functional.pad(angle, (0, 0, first, 0))
        if first == 1:  # the learned token alone, which is always given
            return Places(angle, sizes=grid)
        read = functional.pad(context.given, (0, math.prod(sizes)), value=True)[:, None, None]
        return Places(angle, read, grid)
