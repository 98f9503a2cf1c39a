r"""An E(3)-equivariant graph network on all pairs of a molecule's atoms.

With u = (1 + gamma) norm(h) + beta, where gamma and beta are linear in the molecule's embedding, a layer computes

$$ m_{ij} = \mathrm{silu}(W\, \mathrm{silu}(W_1 u_i + W_2 u_j + W_3 e_{ij} + b)), \qquad
   h_i \leftarrow h_i + \phi\Big(u_i, \tfrac 1 Z \sum_{j \ne i} \mathrm{sigmoid}(g \cdot m_{ij})\, m_{ij}\Big), $$

$$ r_i \leftarrow r_i + \tfrac 1 Z \sum_{j \ne i} \frac{r_i - r_j}{|r_i - r_j| + 1}\, R \tanh(w \cdot m_{ij}), $$

where e_ij are features of the distances between i and j: the current ones, those of the input and, with
`self_condition`, those of the previous estimate. The module `network` documents inputs and outputs. (Satorras et al.,
2021, https://arxiv.org/abs/2102.09844; Hoogeboom et al., 2022, https://arxiv.org/abs/2203.17003.)

W_1 u_i + W_2 u_j is computed once an atom, so the concatenation [u_i, u_j, e_ij] of all pairs is never stored.
Positions and distances stay in float32 under autocast.

Symbols: those of `molecules`, e (.., G) pairs' geometry, Z the number of neighbours or a fixed divisor, R the range.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from polydiff.backbones.config import EGNNConfig
from polydiff.backbones.molecules.geometry import Geometry, float32_geometry
from polydiff.backbones.molecules.graphs import Pairs
from polydiff.backbones.molecules.network import MoleculeNet


class Layer(nn.Module):
    """One round of messages, after which atoms have new vectors and new positions.

    Arguments:
        config: Dimensions and options.
        geometry: Features of distances; it has no weights, so all layers share one.
    """

    def __init__(self, config: EGNNConfig, geometry: Geometry) -> None:
        super().__init__()
        hidden = config.hidden
        self.range, self.recompute = config.coords_range, config.recompute
        self.geometry = geometry
        self.norm = nn.LayerNorm(hidden, elementwise_affine=False)
        self.modulation = nn.Linear(hidden, 2 * hidden)
        self.receiver = nn.Linear(hidden, hidden)
        self.sender = nn.Linear(hidden, hidden, bias=False)
        self.edge = nn.Linear((2 + config.self_condition) * geometry.features, hidden, bias=False)
        self.message = nn.Linear(hidden, hidden)
        self.heads = nn.Linear(hidden, 2, bias=False)  # g and w
        self.update = nn.Sequential(
            nn.Linear(2 * hidden, hidden), nn.SiLU(), nn.Dropout(config.dropout), nn.Linear(hidden, hidden)
        )
        with torch.no_grad():
            self.heads.weight[1] *= 1e-3  # atoms hardly move at first

    def forward(
        self, pairs: Pairs, h: Tensor, r: Tensor, c: Tensor, before: Tensor, count: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return h, (.., H), and r, (.., 3), after the round.

        Arguments:
            pairs: Pairs of atoms that exchange messages.
            h: Atoms' vectors, (.., H).
            r: Positions, (.., 3).
            c: Molecules' embedding, (B, H).
            before: Features of earlier distances, as in `MoleculeNet.rounds`.
            count: Z, the number of neighbours of each atom or a fixed divisor, (.., 1).
        """
        u = self.modulated(pairs, h, c)
        inputs = (pairs, self.receiver(u), self.sender(u), r, before)
        if self.recompute and torch.is_grad_enabled():  # pairs have all but a few per cent of the activations
            gathered, moved = checkpoint(self.gather, *inputs, use_reentrant=False, preserve_rng_state=False)
        else:
            gathered, moved = self.gather(*inputs)
        return h + self.update(torch.cat([u, gathered / count], -1)), r + moved / count

    def message_sizes(
        self, pairs: Pairs, h: Tensor, r: Tensor, c: Tensor, before: Tensor, count: Tensor
    ) -> Sequence[Tensor]:
        """Return the norms |sigmoid(g m_ij) m_ij| of messages in `forward` (`polydiff.contract.backbone.Sends`)."""
        u = self.modulated(pairs, h, c)
        m, gate, _, _ = self.messages(pairs, self.receiver(u), self.sender(u), r, before)
        return pairs.matrices(torch.sigmoid(gate[..., 0]) * m.norm(dim=-1))

    def modulated(self, pairs: Pairs, h: Tensor, c: Tensor) -> Tensor:
        """Return u of each atom, (.., H)."""
        scale, shift = pairs.atoms(self.modulation(c)).chunk(2, -1)
        return torch.addcmul(shift, self.norm(h), 1 + scale)

    def gather(self, pairs: Pairs, a: Tensor, b: Tensor, r: Tensor, before: Tensor) -> tuple[Tensor, Tensor]:
        """Return each atom's sums of gated messages, (.., H), and of moves, (.., 3), before the division by Z.

        Arguments:
            pairs: Pairs of atoms that exchange messages.
            a: W_1 u + b of each atom, (.., H).
            b: W_2 u of each atom, (.., H).
            r: Positions, (.., 3).
            before: Features of earlier distances, as in `MoleculeNet.rounds`.
        """
        m, gate, move, direction = self.messages(pairs, a, b, r, before)
        with float32_geometry(r):
            moved = pairs.sum(self.range * torch.tanh(move.to(r)) * direction)
        return pairs.weighted_sum(torch.sigmoid(gate), m), moved

    def messages(
        self, pairs: Pairs, a: Tensor, b: Tensor, r: Tensor, before: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return m_ij (.., H), g m_ij and w m_ij (.., 1), and directions (.., 3), of each pair; arguments as above."""
        direction, now = self.geometry(pairs, r)
        first = pairs.combine(a, b) + self.edge(torch.cat([now, before], -1))
        m = functional.silu(self.message(functional.silu(first)))
        gate, move = self.heads(m).chunk(2, -1)
        return m, gate, move, direction


class EGNN(MoleculeNet):
    """Network of messages between all pairs of atoms; messages are as wide as atoms."""

    def make_layers(self, config: EGNNConfig) -> Iterable[Layer]:
        return (Layer(config, self.geometry) for _ in range(config.layers))

    def rounds(
        self,
        pairs: Pairs,
        h: Tensor,
        r: Tensor,
        c: Tensor,
        before: Tensor,
        count: Tensor,
        places: Sequence[Tensor],
        edges: Tensor | None,
    ) -> tuple[Tensor, Tensor, None]:
        """Return h, (.., H), and r, (.., 3), after all layers; pairs have no numbers.

        Arguments:
            pairs: Pairs of atoms that exchange messages.
            h: Atoms' vectors, (.., H).
            r: Positions, (.., 3).
            c: Molecules' embedding, (B, H).
            before: Features of earlier distances, as in `MoleculeNet.rounds`.
            count: Z, the number of neighbours of each atom or a fixed divisor, (.., 1).
            places: Unused: of the previous estimate, only the distances in `before` enter the layers.
            edges: None.
        """
        for layer in self.layers:
            h, r = layer(pairs, h, r, c, before, count)
        return h, r, None
