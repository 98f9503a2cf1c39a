"""Networks of molecules as their formulas read: a layer of ours on padded pairs, and the network of E(3) diffusion."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from polydiff.backbones.config import EGNNConfig
from polydiff.backbones.molecules.egnn import Layer
from polydiff.backbones.molecules.graphs import Pairs
from polydiff.domains.molecule.space import DenseMolecules

CONFIG = EGNNConfig(hidden=256, layers=9, aggregation="sum", divisor=4, radial=32, cutoff=5)
"""The network of the preset "small"."""
K = 5


class Concatenated(nn.Module):
    """A layer as its formula reads: a perceptron of [u_i, u_j, e_ij] for all padded pairs.

    Arguments:
        layer: Whose weights are used.
    """

    def __init__(self, layer: Layer) -> None:
        super().__init__()
        self.layer = layer
        weight = torch.cat([layer.receiver.weight, layer.sender.weight, layer.edge.weight], 1).detach()
        self.first = nn.Linear(weight.shape[1], weight.shape[0])
        self.first.load_state_dict({"weight": weight, "bias": layer.receiver.bias.detach()})

    def forward(
        self, pairs: Pairs, h: Tensor, r: Tensor, c: Tensor, before: Tensor, count: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return h and r after the round, for dense pairs."""
        layer = self.layer
        direction, now = layer.geometry(pairs, r)
        scale, shift = pairs.atoms(layer.modulation(c)).chunk(2, -1)
        u = layer.norm(h) * (1 + scale) + shift
        m = perceptron(joined(u, now, before), self.first, layer.message)
        gate, move = layer.heads(m).chunk(2, -1)
        gathered = pairs.sum(torch.sigmoid(gate) * m) / count
        moved = pairs.sum(layer.range * torch.tanh(move) * direction) / count
        return h + layer.update(torch.cat([u, gathered], -1)), r + moved


def joined(h: Tensor, *edges: Tensor) -> Tensor:
    """Return [h_i, h_j, e_ij] of all pairs, (B, N, N, ..)."""
    b, n, _ = h.shape
    return torch.cat([h[:, :, None].expand(b, n, n, -1), h[:, None].expand(b, n, n, -1), *edges], -1)


def perceptron(x: Tensor, *layers: nn.Module) -> Tensor:
    """Return what linear layers make of x, with SiLU after each."""
    for layer in layers:
        x = functional.silu(layer(x))
    return x


class Block(nn.Module):
    """One round of the reference: a message for features and another, by a perceptron of its own, for positions."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.edge, self.edge2 = nn.Linear(2 * width + 2, width), nn.Linear(width, width)
        self.gate = nn.Linear(width, 1)
        self.node, self.node2 = nn.Linear(2 * width, width), nn.Linear(width, width)
        self.place, self.place2 = nn.Linear(2 * width + 2, width), nn.Linear(width, width)
        self.weight = nn.Linear(width, 1, bias=False)
        nn.init.xavier_uniform_(self.weight.weight, gain=0.001)

    def forward(self, h: Tensor, r: Tensor, before: Tensor, pair_mask: Tensor) -> tuple[Tensor, Tensor]:
        """Return h (B, N, H) and r (B, N, 3) after the round, from squared distances in the input (B, N, N, 1)."""
        difference, square = differences(r)
        m = perceptron(joined(h, square, before), self.edge, self.edge2)
        gathered = (torch.sigmoid(self.gate(m)) * m * pair_mask).sum(2)
        h = h + self.node2(functional.silu(self.node(torch.cat([h, gathered], -1))))
        push = 15 * torch.tanh(self.weight(perceptron(joined(h, square, before), self.place, self.place2)))
        return h, r + (difference / ((square + 1e-8).sqrt() + 1) * push * pair_mask).sum(2)


def differences(r: Tensor) -> tuple[Tensor, Tensor]:
    """Return r_i - r_j (B, N, N, 3) and its square (B, N, N, 1)."""
    difference = r[:, :, None] - r[:, None]
    return difference, difference.square().sum(-1, keepdim=True)


class Reference(nn.Module):
    """The network of E(3) diffusion; for QM9 it has 9 rounds of width 256, 5.3 M parameters.

    Arguments:
        width: H.
        layers: Rounds.
        features: K of an atom.
    """

    def __init__(self, width: int = CONFIG.hidden, layers: int = CONFIG.layers, features: int = K) -> None:
        super().__init__()
        self.stem, self.out = nn.Linear(features + 1, width), nn.Linear(width, features + 1)
        self.blocks = nn.ModuleList(Block(width) for _ in range(layers))

    def forward(self, x: Tensor, t: Tensor, space: DenseMolecules) -> Tensor:
        """Return the noise in x (B, N, 3 + K) at times t (B,)."""
        mask = space.mask[..., None].to(x)
        others = 1 - torch.eye(x.shape[1], device=x.device)[..., None]
        pair_mask = mask[:, :, None] * mask[:, None] * others
        start = r = x[..., :3]
        h = self.stem(torch.cat([x[..., 3:], t[:, None, None].expand(*x.shape[:2], 1)], -1))
        _, before = differences(r)
        for block in self.blocks:
            h, r = block(h, r, before, pair_mask)
        return space.project(torch.cat([r - start, self.out(h)[..., :-1]], -1) * mask)
