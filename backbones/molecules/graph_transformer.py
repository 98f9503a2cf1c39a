r"""An E(3)-equivariant transformer on a molecule's atoms: many numbers an atom, few a pair, and vectors in space.

An atom has numbers h, vectors V (C of them) and a position r; a pair has a few numbers e. In each round, with
u = (1 + gamma) norm(h) + beta, where gamma and beta are linear in the molecule's embedding,
V' = V / sqrt(1 + |V|^2 / C), where |V|^2 is summed over all C vectors, and d_ij = |r_i - r_j|,

$$ z_{ij} = \mathrm{silu}(e_{ij} + W_1 u_i + W_2 u_j + W_3 s_{ij} + W_4\, \mathrm{bumps}(d_{ij})), \qquad
   s_{ij} = q_i \cdot k_j + q'_i \cdot k'_j, $$

$$ e_{ij} \leftarrow e_{ij} + W_5 z_{ij}, \qquad
   g_i = \tfrac 1 Z \sum_{j \ne i} (A z_{ij}) v_j, \qquad
   V_i \leftarrow V_i + \tfrac 1 Z \sum_{j \ne i} \Big( (A z_{ij}) v'_j
   + (B z_{ij}) \frac{r_i - r_j}{d_{ij} + 1} \Big), $$

where queries, keys and values q, k, v are linear in u and the primed ones in V'. Each of a few heads weights its share
of v and v' by its own numbers. These attention weights may have any sign and are not normalised, so that neighbours can
be counted. Then [h, a, b] <- [h, 0, 0] + phi(u, g, inner products of V'), V <- (1 + a) V, and the atom moves along its
vectors, r <- r + R tanh(b) V' / C. Through inner products, attention depends on angles and distances of the network's
own vectors, at the cost of a matrix product. `network` documents inputs and outputs.

(Pairs with numbers of their own, which attention reads and writes: Hussain et al., 2022,
https://arxiv.org/abs/2108.03348, and Huang et al., 2023, https://arxiv.org/abs/2305.12347. Vectors that attention
carries: Schuett et al., 2021, https://arxiv.org/abs/2102.03150; Tholke and De Fabritiis, 2022,
https://arxiv.org/abs/2202.02541. Inner products of points as weights: Jumper et al., 2021.)

Symbols: those of `molecules`, P width of a pair, S heads, C vectors of an atom, e (.., P), V (.., 3, C), Z the number
of neighbours or a fixed divisor, R the range.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from polydiff.backbones.config import GraphTransformerConfig
from polydiff.backbones.molecules.geometry import Geometry, float32_geometry
from polydiff.backbones.molecules.graphs import Pairs
from polydiff.backbones.molecules.network import MoleculeNet
from polydiff.core.conditions import Conditions


def bounded(v: Tensor) -> Tensor:
    """Return an atom's vectors V, (.., 3, C), scaled to V', whose squared lengths sum to less than C."""
    return v * torch.rsqrt(1 + v.square().sum((-2, -1), keepdim=True) / v.shape[-1])


class Layer(nn.Module):
    """One round, after which atoms have new numbers, vectors and positions, and pairs new numbers.

    Arguments:
        config: Dimensions and options.
        geometry: Features of distances; it has no weights, so all layers share one.
    """

    def __init__(self, config: GraphTransformerConfig, geometry: Geometry) -> None:
        super().__init__()
        hidden, pair, c = config.hidden, config.pair, config.vectors
        self.heads, self.range, self.recompute = config.heads, config.coords_range / c, config.recompute
        self.geometry = geometry
        self.norm = nn.LayerNorm(hidden, elementwise_affine=False)
        self.modulation = nn.Linear(hidden, 2 * hidden)
        self.parts = [3 * hidden, pair, pair]
        self.enter = nn.Linear(hidden, sum(self.parts))  # q, k, v, W_1 and W_2
        self.enter_vectors = nn.Linear(c, 3 * c, bias=False)
        self.edge = nn.Linear(geometry.features + config.heads, pair, bias=False)  # W_4 and W_3
        self.outs = [pair, config.heads, c]
        self.weigh = nn.Linear(pair, sum(self.outs))  # W_5, A and B
        self.partners = nn.Linear(c, 2 * c, bias=False)
        self.update = nn.Sequential(nn.Linear(2 * hidden + c, 2 * hidden), nn.SiLU(), nn.Dropout(config.dropout))
        self.leave = nn.Linear(2 * hidden, hidden + 2 * c)
        with torch.no_grad():
            self.leave.weight[-c:] *= 1e-3  # atoms hardly move at first
            self.leave.bias[-c:] = 0

    def forward(
        self, pairs: Pairs, h: Tensor, v: Tensor, r: Tensor, e: Tensor, c: Tensor, count: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return h, V, r and e after the round, each of its shape before.

        Arguments:
            pairs: Pairs of atoms that exchange messages.
            h: Atoms' numbers, (.., H).
            v: Atoms' vectors V, (.., 3, C).
            r: Positions, (.., 3).
            e: Pairs' numbers, (.., P).
            c: Molecules' embedding, (B, H).
            count: Z, the number of neighbours of each atom or a fixed divisor, (.., 1).
        """
        u, q, k, value, a, b = self.entered(pairs, h, v, r, c)
        inputs = (pairs, q, k, value, a, b, r, e)
        if self.recompute and torch.is_grad_enabled():  # pairs have most of the activations
            e, mixed, pulled = checkpoint(self.gather, *inputs, use_reentrant=False, preserve_rng_state=False)
        else:
            e, mixed, pulled = self.gather(*inputs)
        g, carried = self.by_kind(mixed / count[..., None], h.shape[-1])
        with float32_geometry(r):
            v = v + carried + (pulled / count[..., None]).mT
            short = bounded(v)
            first, second = self.partners(short).chunk(2, -1)
            products = (first * second).sum(-2)
        out = self.leave(self.update(torch.cat([u, g.to(u), products.to(u)], -1)))
        added, grown, move = out.to(r).split([h.shape[-1], v.shape[-1], v.shape[-1]], -1)
        r = r + self.range * (torch.tanh(move)[..., None, :] * short).sum(-1)
        return h + added, v * (1 + grown[..., None, :]), r, e

    def message_sizes(
        self, pairs: Pairs, h: Tensor, v: Tensor, r: Tensor, e: Tensor, c: Tensor, count: Tensor
    ) -> Sequence[Tensor]:
        """Return the norms of the values (A z_ij) [v_j, v'_j] that heads pass on (`polydiff.contract.backbone.Sends`).

        A norm is taken over all heads, numbers and vectors. Weights may have any sign, so their sums mean little
        (Kobayashi et al., 2020, https://arxiv.org/abs/2004.10102, compare norms for that reason).
        """
        _, q, k, value, a, b = self.entered(pairs, h, v, r, c)
        _, weights, _, _ = self.weighed(pairs, q, k, a, b, r, e)
        length = value.square().sum(-1)  # of the value of each head, (.., S)
        return pairs.matrices((weights.square() * pairs.combine(torch.zeros_like(length), length)).sum(-1).sqrt())

    def entered(self, pairs: Pairs, h: Tensor, v: Tensor, r: Tensor, c: Tensor) -> tuple[Tensor, ...]:
        """Return u, and q, k, value, a and b of `gather`."""
        scale, shift = pairs.atoms(self.modulation(c)).chunk(2, -1)
        u = torch.addcmul(shift, self.norm(h), 1 + scale)
        numbers, a, b = self.enter(u).split(self.parts, -1)
        with float32_geometry(r):
            q, k, value = self.by_head(numbers.to(r), self.enter_vectors(bounded(v)))
        return u, q, k, value, a, b

    def gather(
        self, pairs: Pairs, q: Tensor, k: Tensor, value: Tensor, a: Tensor, b: Tensor, r: Tensor, e: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return the new e, and each atom's sums of values, (.., S, (H + 3 C) / S), and of directions, (.., C, 3).

        Arguments:
            pairs: Pairs of atoms that exchange messages.
            q: Queries [q, q'] by head (`by_head`), (.., S, (H + 3 C) / S).
            k: Keys [k, k'] by head, of the same shape.
            value: Values [v, v'] by head, of the same shape.
            a: W_1 u of each atom, (.., P).
            b: W_2 u of each atom, (.., P).
            r: Positions, (.., 3).
            e: Pairs' numbers, (.., P).
        """
        added, weights, pull, direction = self.weighed(pairs, q, k, a, b, r, e)
        with float32_geometry(r):
            return e + added, pairs.mix(weights, value), pairs.outer_sum(pull, direction)

    def weighed(
        self, pairs: Pairs, q: Tensor, k: Tensor, a: Tensor, b: Tensor, r: Tensor, e: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return W_5 z (.., P), A z (.., S), B z (.., C) and the direction (.., 3) of each pair; arguments as above."""
        direction, now = self.geometry(pairs, r)
        with float32_geometry(r):
            s = pairs.products(q * q.shape[-1] ** -0.5, k)
        z = functional.silu(e + pairs.combine(a, b) + self.edge(torch.cat([now, s], -1)))
        added, weights, pull = self.weigh(z).to(r).split(self.outs, -1)
        return added, weights, pull, direction

    def by_head(self, x: Tensor, v: Tensor) -> tuple[Tensor, ...]:
        """Return q, k and v, (.., S, (H + 3 C) / S): heads' shares of numbers (.., 3 H) and of vectors (.., 3, 3 C)."""
        shares = v.unflatten(-1, (3, self.heads, -1)).movedim(-4, -2).flatten(-2)
        return torch.cat([x.unflatten(-1, (3, self.heads, -1)), shares], -1).unbind(-3)

    def by_kind(self, mixed: Tensor, hidden: int) -> tuple[Tensor, Tensor]:
        """Return numbers (.., H) and vectors (.., 3, C) of heads' shares: the inverse of `by_head`."""
        width = hidden // self.heads
        shares = mixed[..., width:].unflatten(-1, (3, -1)).transpose(-2, -3)
        return mixed[..., :width].flatten(-2), shares.flatten(-2)


class GraphTransformer(MoleculeNet):
    """Network of attention between all pairs of atoms, with weights from pairs' numbers.

    It takes known rows of atoms (task=inpaint): their distances enter the first e, their places the first V.

    Arguments:
        config: Its dimensions.
        channels: K, features of an atom beside its position; if 0, `space.elements` gives the atoms' elements.
        dims: 3.
        conditions: Name -> kind (`polydiff.core.conditions`).
        pairs: Numbers of a pair of atoms that the network takes, added to the first e, and returns, from the sum of
            the last e of a pair and its mirror image; 0: none.
    """

    takes_known = True

    def __init__(
        self, config: GraphTransformerConfig, *, channels: int, dims: int, conditions: Conditions, pairs: int = 0
    ) -> None:
        super().__init__(config, channels=channels, dims=dims, conditions=conditions, pairs=pairs)
        self.edge = nn.Linear(pairs, config.pair, bias=False) if pairs else None
        self.edge_norm = nn.LayerNorm(config.pair) if pairs else None
        self.edge_out = nn.Linear(config.pair, pairs) if pairs else None
        if self.edge_out is not None:
            nn.init.zeros_(self.edge_out.weight)
            nn.init.zeros_(self.edge_out.bias)
        seen = 1 + config.self_condition + len(self.known)
        self.place = nn.Linear(seen, config.vectors, bias=False)
        self.pair = nn.Linear(seen * self.geometry.features, config.pair)

    def make_layers(self, config: GraphTransformerConfig) -> Iterable[Layer]:
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
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """Return h, (.., H), and r, (.., 3), after all layers, and the numbers of pairs, None without `edges`.

        Arguments:
            pairs: Pairs of atoms that exchange messages.
            h: Atoms' numbers, (.., H).
            r: Positions, (.., 3); with `places`, they give the first V.
            c: Molecules' embedding, (B, H).
            before: Features of earlier distances, as in `MoleculeNet.rounds`; they give the first e.
            count: Z, the number of neighbours of each atom or a fixed divisor, (.., 1).
            places: Positions of the previous estimate and of known rows, as in `MoleculeNet.rounds`.
            edges: Numbers of pairs, (B, N, N, pairs); None: there are none.
        """
        with float32_geometry(r):
            v = self.place(torch.stack([r - pairs.atoms(pairs.mean(r)), *places], -1))
        e = self.pair(before).to(r)
        if self.edge is not None and edges is not None:
            e = e + self.edge(edges).to(r)
        for layer in self.layers:
            h, v, r, e = layer(pairs, h, v, r, e, c, count)
        return h, r, None if edges is None else self.edges_of(e)

    def edges_of(self, e: Tensor) -> Tensor:
        """Return the symmetric numbers of pairs, (B, N, N, pairs), from the last e of padded pairs, (B, N, N, P)."""
        assert self.edge_norm is not None, "built with pairs"
        assert self.edge_out is not None, "built with pairs"
        both = e + e.transpose(1, 2)
        out: Tensor = self.edge_out(functional.silu(self.edge_norm(both))).to(e)
        return out
