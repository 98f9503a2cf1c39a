r"""The network of molecules with bonds: letters enter as one-hot vectors of atoms and of pairs, and logits leave.

Atoms also get the numbers of their known bonds of each order and of their masked pairs, so that messages need not add
up what is left of a valence.

Pairs also get probabilities of random walks along the bonds that are known: with A their adjacency and D = diag(A 1),

$$ R_{ij} = [M, M^2, \dots, M^k]_{ij}, \qquad M = D^{-1} A, $$

with the return probabilities R_ii of both atoms. They tell rings and distances in the graph, which messages between
neighbours alone cannot (Ma et al., 2023, https://arxiv.org/abs/2305.17589; DeFoG, Qin et al., 2024,
https://arxiv.org/abs/2410.04263). All outputs are equivariant under permutations; positions move equivariantly under
rotations and reflections, and letters' logits are invariant.

If elements are given, the space's stand in place of the letters of atoms.

Symbols: B molecules, N the largest number of atoms, K letters of atoms or given elements, L letters of pairs, k steps
of a walk.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from polydiff.contract.backbone import build_backbone
from polydiff.contract.sections.network import BackboneConfig
from polydiff.core.conditions import Condition, Conditions
from polydiff.core.parts.product import Product
from polydiff.domains.molecule.config import ATOMS, BONDS, POSITIONS
from polydiff.domains.molecule.graphs.codec import ORDERS, GraphCodec

WALKS = 8
"""k, the longest walk."""
VALENCE = 4
"""Divisor of an atom's numbers of bonds."""


class GraphNetwork(nn.Module):
    """Targets of positions and logits of letters, by a network with numbers of atoms and of pairs.

    Arguments:
        network: Called as network(x, level, space, cond, edges=) on (B, N, 3 + K + 1 + L), without the 1 of the mask if
            elements are given, and (B, N, N, L + 1 + 3 k), as `build_backbone` returns it; it returns numbers of the
            same shapes.
        atoms: K.
        bonds: L.
        elements: The K atomic numbers if they are given; (): they are letters.
    """

    elements: Tensor | None

    def __init__(self, network: nn.Module, atoms: int, bonds: int, elements: Sequence[int] = ()) -> None:
        super().__init__()
        self.network, self.atoms, self.bonds = network, atoms, bonds
        self.register_buffer("elements", torch.tensor(elements) if elements else None, persistent=False)

    def forward(
        self, x: Mapping[str, Tensor], level: Tensor, space: Product, cond: Condition | None = None
    ) -> dict[str, Tensor]:
        """Return F of positions (B, N, 3) and logits of atoms (B, N, K) and bonds (B, N, N, L), of the parts of x.

        Arguments:
            x: Parts: positions of unit variance, letters of atoms 0 .. K and of bonds 0 .. L, where the last is the
                mask; -1 outside.
            level: What the process says of the noise level, (B,).
            space: Where x lives.
            cond: Conditions; None: none.
        """
        bonds = one_hot(x[BONDS], self.bonds, level)
        atoms = one_hot(x[ATOMS], self.atoms, level) if self.elements is None else self.given(space).to(level)
        places = x[POSITIONS].to(level) if POSITIONS in x else atoms.new_zeros(*atoms.shape[:2], 3)
        edges = torch.cat([bonds, walks(bonds[..., 1 : self.bonds].sum(-1))], -1)
        numbers = torch.cat([places, atoms, counts(bonds)], -1)
        state, pairs = self.network(numbers, level, space.parts[BONDS], cond, edges=edges)
        found = {POSITIONS: state[..., :3], ATOMS: state[..., 3 : 3 + self.atoms], BONDS: pairs[..., : self.bonds]}
        return {name: found[name] for name in x}

    def given(self, space: Product) -> Tensor:
        """Return the elements that the space holds as one-hot vectors, booleans (B, N, K), False on padding."""
        numbers: Tensor = space.parts[POSITIONS].elements  # type: ignore[attr-defined] # the codec's space has them
        found: Tensor = numbers[..., None] == self.elements  # type: ignore[assignment] # elements are given
        return found

    def compile(self, *arguments: object, **options: object) -> None:
        """Compile the network within (`torch.nn.Module.compile`)."""
        self.network.compile(*arguments, **options)


def one_hot(x: Tensor, letters: int, like: Tensor) -> Tensor:
    """Return letters 0 .. K, where K is the mask, as one-hot vectors (..., K + 1), 0 outside of all sites."""
    hot = functional.one_hot(x.clamp(min=0), letters + 1) * (x >= 0)[..., None]
    return hot.to(like.dtype)


def counts(bonds: Tensor) -> Tensor:
    """Return the numbers of bonds of order 1, 2, ... and of masked pairs of each atom over `VALENCE`, (B, N, L).

    Arguments:
        bonds: One-hot letters of pairs, 0: no bond, the last: the mask, (B, N, N, L + 1).
    """
    return bonds[..., 1:].sum(2) / VALENCE


def walks(adjacency: Tensor) -> Tensor:
    """Return probabilities of walks of 1 to k steps between i and j, and back to i and to j, (B, N, N, 3 k).

    Arguments:
        adjacency: 1 for known bonds, symmetric, (B, N, N).
    """
    step = adjacency / adjacency.sum(-1, keepdim=True).clamp(min=1)
    reached, found = step, [step]
    for _ in range(WALKS - 1):
        reached = reached @ step
        found.append(reached)
    between = torch.stack(found, -1)
    back = torch.diagonal(between, dim1=1, dim2=2).mT
    n = adjacency.shape[-1]
    return torch.cat([between, back[:, :, None].expand(-1, -1, n, -1), back[:, None].expand(-1, n, -1, -1)], -1)


def graph_network(
    config: BackboneConfig, codec: GraphCodec, conditions: Conditions, levels: Sequence[str] = ()
) -> GraphNetwork:
    """Return the network of a configuration for molecules with bonds; arguments as of `build_backbone`.

    Raises:
        UserError: The backbone has no numbers of pairs.
    """
    pairs = ORDERS + 1 + 3 * WALKS
    atoms = len(codec.elements if codec.given else codec.letters)
    channels = atoms + (not codec.given) + ORDERS  # letters have a mask
    network = build_backbone(config, channels=channels, dims=3, conditions=conditions, pairs=pairs, levels=levels)
    return GraphNetwork(network, atoms, ORDERS, codec.elements if codec.given else ())
