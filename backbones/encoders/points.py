r"""An equivariant autoencoder of molecules, as in GeoLDM (Xu et al., 2023, https://arxiv.org/abs/2305.01140).

Encoder and decoder are stacks of the layers of the EGNN. The code of an atom is a position and K features:

$$ z_r = \mathrm{P}\,r_L + s\,\mathrm{P} \epsilon_r, \qquad z_f = \mu(h_L) + \exp(\lambda(h_L) / 2)\,\epsilon_f, $$

r_L and h_L positions and vectors after the last layer, P the projector on positions of mean zero. Positions rotate,
reflect and permute with the molecule, and features are invariant, so a diffusion of codes has the symmetries of one of
molecules. s is fixed: equal variances of all coordinates are equivariant, and the encoder chooses the scale of
positions, of which the rate of the code is a function.

Symbols: C features of an atom, K features of its code, H hidden width, s `position_std`. Leading axes are those of the
layout (`molecules.graphs`).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from polydiff.backbones.config import EGNNConfig, PointAutoencoderConfig
from polydiff.backbones.encoders.autoencoder import HIGHEST, LOWEST
from polydiff.backbones.molecules.egnn import Layer
from polydiff.backbones.molecules.geometry import Geometry
from polydiff.backbones.molecules.graphs import pairs_of
from polydiff.core.conditions import Conditions
from polydiff.core.space import Space
from polydiff.support.errors import UserError


class PointMap(nn.Module):
    """Equivariant map from points with features to moved points with other features.

    Arguments:
        config: Dimensions.
        layers: Rounds of messages.
        channels: Features of a point.
        outputs: Features of a moved point.
    """

    def __init__(self, config: PointAutoencoderConfig, layers: int, channels: int, outputs: int) -> None:
        super().__init__()
        hidden = config.hidden
        self.geometry = Geometry(config.radial, config.cutoff)
        self.stem, self.size = nn.Linear(channels, hidden), nn.Linear(1, hidden)
        egnn = EGNNConfig(hidden=hidden, coords_range=config.coords_range)
        self.layers = nn.ModuleList(Layer(egnn, self.geometry) for _ in range(layers))
        self.norm, self.out = nn.LayerNorm(hidden), nn.Linear(hidden, outputs)

    def forward(self, x: Tensor, space: Space) -> tuple[Tensor, Tensor]:
        """Return positions (.., 3) and features (.., outputs) from points x (.., 3 + channels) of a space."""
        pairs = pairs_of(space, x[..., :3])
        start, f = pairs.clean(x).split([3, x.shape[-1] - 3], -1)
        r, h = start.contiguous(), self.stem(f).to(x.dtype)
        c = functional.silu(self.size(pairs.sizes[:, None].clamp(min=1).to(x.dtype).log()))
        count = pairs.degree(h.dtype).clamp(1)
        _, before = self.geometry(pairs, r)
        for layer in self.layers:
            h, r = layer(pairs, h, r, c, before, count)
        out: Tensor = self.out(functional.silu(self.norm(h)))
        return r, out.to(x.dtype)


class PointAutoencoder(nn.Module):
    """Maps molecules (.., 3 + C) to codes (.., 3 + K), and back.

    Arguments:
        config: Its dimensions.
        channels: C.
        dims: 3.
        conditions: Kinds of conditions, none of which it reads.
    """

    def __init__(self, config: PointAutoencoderConfig, *, channels: int, dims: int, conditions: Conditions) -> None:
        super().__init__()
        if not channels:
            raise UserError(
                "An autoencoder of molecules encodes their elements, and with data.types=given these are no part of "
                "the states. Take data.types=generated."
            )
        self.channels, self.codes, self.log_variance = channels, config.codes, 2 * math.log(config.position_std)
        self.encoder = PointMap(config, config.encoder_layers, channels, 2 * config.codes)
        self.decoder = PointMap(config, config.layers, config.codes, channels)

    def encode(self, x: Tensor, space: Space) -> tuple[Tensor, Tensor]:
        """Return mean and log variance of the codes, (.., 3 + K) each, of states x (.., 3 + C) of a space."""
        r, out = self.encoder(x, space)
        mean, log_variance = out.chunk(2, -1)
        fixed = torch.full_like(r, self.log_variance)
        return torch.cat([r, mean], -1), torch.cat([fixed, log_variance.clamp(LOWEST, HIGHEST)], -1)

    def decode(self, z: Tensor, space: Space | None = None) -> Tensor:
        """Return states (.., 3 + C) of a space from their codes z (.., 3 + K)."""
        assert space is not None, "codes of points are decoded in a space"
        return torch.cat(self.decoder(z, space), -1)
