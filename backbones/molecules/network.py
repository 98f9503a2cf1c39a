r"""The part that all networks of molecules share: from a state to atoms' vectors, and from these to the output.

The L rounds of a network update atoms' vectors h_0 and positions r_0; it returns (r_L - r_0, linear(h_L)).
Rounds use differences and distances of positions only, so the network is equivariant under rotations, reflections and
permutations, and invariant under translations.

Symbols: B molecules, K features an atom, H hidden width, G features a pair, h (.., H) atoms' vectors, r (.., 3)
positions, c (B, H) the molecules' embedding. Leading axes are those of the layout: (B, N) and (B, N, N) where dense,
(M,) and (E,) where sparse.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from polydiff.backbones.config import MoleculeNetConfig
from polydiff.backbones.embed import ContextEmbedding, Output, entering, singles
from polydiff.backbones.molecules.geometry import Earlier, Estimate, Geometry
from polydiff.backbones.molecules.graphs import Pairs, pairs_of
from polydiff.core.conditions import Condition, Conditions
from polydiff.core.space import Space
from polydiff.support.errors import UserError

ELEMENTS = 119
"""Number of atomic numbers, 0 (no atom) included."""


class MoleculeNet(nn.Module, ABC):
    """Equivariant network for molecules, dense or packed, of any sizes.

    Arguments:
        config: Its dimensions.
        channels: K, features of an atom beside its position; if 0, `space.elements` gives the atoms' elements.
        dims: 3.
        conditions: Name -> kind (`polydiff.core.conditions`).
        pairs: Numbers of a pair of atoms that the network takes and returns; 0: none. Only a network with numbers of
            pairs has them.
    """

    layers: nn.ModuleList
    takes_known: ClassVar[bool] = False
    """Whether the network takes known rows of atoms: it needs vectors in space, since the rows fix directions."""

    def __init__(
        self, config: MoleculeNetConfig, *, channels: int, dims: int, conditions: Conditions, pairs: int = 0
    ) -> None:
        super().__init__()
        if pairs and config.neighbours_within is not None:
            raise UserError("backbone.neighbours_within: a network with bonds needs all pairs of atoms. Leave it out.")
        if dims != 3:
            raise ValueError(f"The network {config.name} works in 3 dimensions, not in {dims}.")
        self.divisor = config.divisor if config.aggregation == "sum" else None
        self.within = config.neighbours_within
        self.geometry = Geometry(config.radial, config.cutoff)
        single = singles(conditions, config.name, self.takes_known)
        self.embed = ContextEmbedding(single, config.hidden, config.text, attended=False)
        self.stem = nn.Linear(channels, config.hidden) if channels else nn.Embedding(ELEMENTS, config.hidden)
        self.size = nn.Linear(1, config.hidden)
        self.estimate = Estimate(channels, config.hidden, self.geometry) if config.self_condition else None
        self.known_rows = {name: kind.width - 3 for name, kind in entering(conditions, "rows").items()}
        self.known = nn.ModuleList(
            Estimate(features + (features > 0), config.hidden, self.geometry, moves=False)
            for features in self.known_rows.values()
        )
        self.layers = nn.ModuleList(self.make_layers(config))
        self.norm = nn.LayerNorm(config.hidden)
        self.out = nn.Linear(config.hidden, channels) if channels else None
        self.gain = None if channels else nn.Linear(config.hidden, 1)
        self.variance = nn.Linear(config.hidden, 2) if config.variance else None
        for head in (self.out, self.gain, self.variance):
            if head is not None:
                nn.init.zeros_(head.weight)
                nn.init.zeros_(head.bias)

    @abstractmethod
    def make_layers(self, config: Any) -> Iterable[nn.Module]:
        """Return the rounds; they may use `self.geometry`."""

    @abstractmethod
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
        """Return h and r after all rounds, and the numbers of pairs (.., pairs), None if they have none.

        Arguments:
            pairs: Pairs of atoms that exchange messages.
            h: Atoms' vectors, (.., H).
            r: Positions, (.., 3).
            c: Molecules' embedding, (B, H).
            before: Features of the distances in the input, in the earlier estimate if there may be one, and in known
                rows, (.., G).
            count: Number of neighbours of each atom or a fixed divisor, (.., 1).
            places: Positions of the earlier estimate, for a self-conditioned network, and of known rows, (.., 3) each.
            edges: Numbers of pairs, (.., pairs); None: there are none.
        """

    def forward(
        self,
        x: Tensor,
        log_sigma: Tensor,
        space: Space,
        cond: Condition | None = None,
        edges: Tensor | None = None,
    ) -> Output:
        """Return (r_L - r_0, features), 0 on padding, and with `variance` a second state, of invariant numbers.

        With `edges` the second result is the symmetric numbers of pairs, (B, N, N, pairs), instead.

        In the second state, all positions of a molecule share one number, because the space's projector mixes them.
        The features of each atom share another number.

        Arguments:
            x: State of unit variance, (B, N, 3 + K) or (M, 3 + K).
            log_sigma: Log of the noise level of each molecule, (B,).
            space: Space of x; its `mask` (B, N) or `batch_index` (M,) gives the molecule of each atom.
            cond: Conditions, or None.
            edges: Numbers of pairs, (B, N, N, pairs), for a network that has them.
        """
        pairs = pairs_of(space, x[..., :3], self.within)
        start, f = pairs.clean(x).split([3, x.shape[-1] - 3], -1)
        c = self.embed(log_sigma, cond).vector
        size = pairs.sizes[:, None].clamp(min=1).to(x.dtype)
        features = f if self.out is not None else space.elements  # type: ignore[attr-defined]
        h = (self.stem(features) + pairs.atoms(self.size(size.log()))).to(x.dtype)
        count = pairs.degree(h.dtype).clamp(1) if self.divisor is None else torch.full_like(h[..., :1], self.divisor)
        r = start.contiguous()  # as after every layer, since compiled code depends on strides
        _, before = self.geometry(pairs, r)
        earlier = None if self.estimate is None else Earlier.of(pairs, cond, x)
        seen: list[tuple[Any, Earlier]] = [] if self.estimate is None or earlier is None else [(self.estimate, earlier)]
        for enter, (name, width) in zip(self.known, self.known_rows.items(), strict=True):
            seen.append((enter, Earlier.known(pairs, (cond or {}).get(name), x, width)))
        for enter, part in seen:
            h = h + enter.enter(part.f).to(x.dtype)
            before = torch.cat([before, enter.of_pairs(pairs, part)], -1)
        h, r, e = self.rounds(pairs, h, r, c, before, count, [part.r for _, part in seen], edges)
        last = functional.silu(self.norm(h))
        moved, out = r - start, f if self.out is None else self.out(last).to(x.dtype)
        if self.gain is not None:  # otherwise the last vectors would have no effect on the output
            moved = moved * (1 + self.gain(last).to(x.dtype))
        if self.estimate is not None and earlier is not None:
            moved = moved + self.estimate.move(earlier, last)
        state = pairs.clean(torch.cat([moved, out], -1))
        if e is not None:
            return state, e
        if self.variance is None:
            return state
        place, kind = self.variance(last).to(x.dtype).split(1, -1)
        shared = pairs.atoms(pairs.mean(place)).expand(*place.shape[:-1], 3)
        return state, pairs.clean(torch.cat([shared, kind.expand(out.shape)], -1))

    def compile(self, **options: Any) -> None:
        """Compile the layers to one piece of code in which the numbers of molecules, atoms and pairs are symbols.

        Batches of all sizes share this code. With dynamic=False each shape has its own code, which CUDA graphs need.
        Batches should then have few shapes, such as those of `DenseMolecules` padded to a multiple.

        Arguments:
            options: Arguments of `torch.compile`; by default fullgraph=True and dynamic=True.
        """
        torch._dynamo.config.recompile_limit = max(torch._dynamo.config.recompile_limit, 64)  # of a whole process
        for layer in self.layers:
            layer.compile(**({"fullgraph": True, "dynamic": True} | options))
