r"""An E(3)-equivariant graph network on all pairs of a molecule's atoms.

Layer by layer, with u = (1 + gamma) norm(h) + beta, where gamma and beta are linear in the molecule's embedding,

$$ m_{ij} = \mathrm{silu}(W\, \mathrm{silu}(W_1 u_i + W_2 u_j + W_3 e_{ij} + b)), \qquad
   h_i \leftarrow h_i + \phi\Big(u_i, \tfrac 1 Z \sum_{j \ne i} \mathrm{sigmoid}(g \cdot m_{ij})\, m_{ij}\Big), $$

$$ r_i \leftarrow r_i + \tfrac 1 Z \sum_{j \ne i} \frac{r_i - r_j}{|r_i - r_j| + 1}\, R \tanh(w \cdot m_{ij}), $$

and e_ij of the distances between i and j, now, in the input, and with `self_condition` in an earlier estimate, whose
positions join the output, too (`geometry`). The network returns (r_L - r_0, linear(h_L)): positions
enter by differences alone and features by distances alone, so it is equivariant under rotations, reflections and
permutations, and invariant under translations. (Satorras et al., 2021, https://arxiv.org/abs/2102.09844; Hoogeboom
et al., 2022, https://arxiv.org/abs/2203.17003.) W_1 u_i + W_2 u_j is computed for atoms, so the concatenation
[u_i, u_j, e_ij] of all pairs never exists. Positions and distances stay in float32 whatever the autocast.

Symbols: B molecules, K features an atom, H hidden width, G features a pair, h (.., H) atoms' vectors, r (.., 3)
positions, e (.., G) pairs' geometry, c (B, H) the molecules' embedding, Z the number of neighbours or a fixed divisor,
R the range. Leading axes are those of the layout: (B, N) and (B, N, N) where dense, (M,) and (E,) where sparse.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from polydiff.backbones.config import EGNNConfig
from polydiff.backbones.embed import ContextEmbedding, Output, singles
from polydiff.backbones.geometry import Earlier, Estimate, Geometry, float32_geometry
from polydiff.backbones.graphs import Pairs, pairs_of
from polydiff.conditions import Conditions
from polydiff.space import Condition, Space


class Layer(nn.Module):
    """One round of messages, after which atoms have new vectors and new positions.

    Arguments:
        config: Dimensions and options.
        geometry: What is seen of positions; it has no weights, so that all layers share one.
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
        """Return h and r after the round.

        Arguments:
            pairs: Who talks to whom.
            h: Atoms' vectors, (.., H).
            r: Positions, (.., 3).
            c: Molecules' embedding, (B, H).
            before: Features of the distances in the input, and in an earlier estimate if the network is told one.
            count: Z of each atom, (.., 1).
        """
        scale, shift = pairs.atoms(self.modulation(c)).chunk(2, -1)
        u = torch.addcmul(shift, self.norm(h), 1 + scale)
        inputs = (pairs, self.receiver(u), self.sender(u), r, before)
        if self.recompute and torch.is_grad_enabled():  # of what is kept, all but a few per cent belongs to pairs
            gathered, moved = checkpoint(self.gather, *inputs, use_reentrant=False, preserve_rng_state=False)
        else:
            gathered, moved = self.gather(*inputs)
        return h + self.update(torch.cat([u, gathered / count], -1)), r + moved / count

    def gather(self, pairs: Pairs, a: Tensor, b: Tensor, r: Tensor, before: Tensor) -> tuple[Tensor, Tensor]:
        """Return each atom's sums of messages, (.., H), and of moves, (.., 3); a = W_1 u + b and b = W_2 u, (.., H)."""
        direction, now = self.geometry(pairs, r)
        first = pairs.combine(a, b) + self.edge(torch.cat([now, before], -1))
        m = functional.silu(self.message(functional.silu(first)))
        gate, move = self.heads(m).chunk(2, -1)
        with float32_geometry(r):
            moved = pairs.sum(self.range * torch.tanh(move.to(r)) * direction)
        return pairs.weighted_sum(torch.sigmoid(gate), m), moved


class EGNN(nn.Module):
    """Equivariant network for molecules, dense or packed, of any sizes.

    Arguments:
        config: Its dimensions.
        channels: K, features of an atom beside its position.
        dims: 3.
        conditions: Name -> kind (`polydiff.conditions`).
    """

    def __init__(self, config: EGNNConfig, *, channels: int, dims: int, conditions: Conditions) -> None:
        super().__init__()
        if dims != 3:
            raise ValueError(f"An EGNN works in 3 dimensions, not in {dims}.")
        self.divisor = config.divisor if config.aggregation == "sum" else None
        self.geometry = Geometry(config.radial, config.cutoff)
        self.embed = ContextEmbedding(singles(conditions, config.name), config.hidden)
        self.stem = nn.Linear(channels, config.hidden)
        self.size = nn.Linear(1, config.hidden)
        self.estimate = Estimate(channels, config.hidden, self.geometry) if config.self_condition else None
        self.layers = nn.ModuleList(Layer(config, self.geometry) for _ in range(config.layers))
        self.norm = nn.LayerNorm(config.hidden)
        self.out = nn.Linear(config.hidden, channels)
        self.variance = nn.Linear(config.hidden, 2) if config.variance else None
        for head in (self.out, self.variance):
            if head is not None:
                nn.init.zeros_(head.weight)
                nn.init.zeros_(head.bias)

    def forward(self, x: Tensor, log_sigma: Tensor, space: Space, cond: Condition | None = None) -> Output:
        """Return (r_L - r_0, features), 0 on padding, and with `variance` a second state, of invariant numbers.

        In that one, a molecule's positions share one number, for a variance must be the same wherever the space's
        projector mixes, and the features of an atom share one of its own.

        Arguments:
            x: State of unit variance, (B, N, 3 + K) or (M, 3 + K).
            log_sigma: Log of the noise level of each molecule, (B,).
            space: Where x lives; its `mask` (B, N) or `batch_index` (M,) says which atoms make a molecule.
            cond: Conditions, or None.
        """
        pairs = pairs_of(space)
        start, f = pairs.clean(x).split([3, x.shape[-1] - 3], -1)
        c = self.embed(log_sigma, cond).vector
        size = pairs.sizes[:, None].clamp(min=1).to(x.dtype)
        h = (self.stem(f) + pairs.atoms(self.size(size.log()))).to(x.dtype)
        count = pairs.atoms((size - 1).clamp(min=1) if self.divisor is None else torch.full_like(size, self.divisor))
        r = start.contiguous()  # as after every layer: compiled code is made for strides, too
        _, before = self.geometry(pairs, r)
        if self.estimate is not None:
            earlier = Earlier.of(pairs, cond, x)
            h = h + self.estimate.enter(earlier.f).to(x.dtype)
            before = torch.cat([before, self.estimate.of_pairs(pairs, earlier)], -1)
        for layer in self.layers:
            h, r = layer(pairs, h, r, c, before, count)
        last = functional.silu(self.norm(h))
        moved, out = r - start, self.out(last).to(x.dtype)
        if self.estimate is not None:
            moved = moved + self.estimate.move(earlier, last)
        state = pairs.clean(torch.cat([moved, out], -1))
        if self.variance is None:
            return state
        place, kind = self.variance(last).to(x.dtype).split(1, -1)
        shared = pairs.atoms(pairs.mean(place)).expand(*place.shape[:-1], 3)
        return state, pairs.clean(torch.cat([shared, kind.expand(out.shape)], -1))

    def compile(self, **options: Any) -> None:
        """Compile the layers, all by one piece of code, in which numbers of molecules, atoms and pairs are symbols.

        So batches of any sizes share it. With dynamic=False each shape has code of its own, which CUDA graphs need:
        then batches should have few shapes, as `DenseMolecules` padded to a multiple have.

        Arguments:
            options: Of `torch.compile`, over fullgraph=True and dynamic=True.
        """
        torch._dynamo.config.recompile_limit = max(torch._dynamo.config.recompile_limit, 64)  # of all uses in a process
        for layer in self.layers:
            layer.compile(**({"fullgraph": True, "dynamic": True} | options))
