r"""Features that networks of molecules compute from positions, and from an earlier estimate of the clean molecule.

Positions enter by differences and distances alone, always in float32 or better. Of an estimate (self-conditioning: Chen
et al., 2022, https://arxiv.org/abs/2208.04202), the distances enter the features of pairs, the features enter those of
atoms, and the positions, minus their mean, enter the output. So a network that receives one stays equivariant. The
known part of a molecule (task=inpaint) enters likewise, but for the output, which is exact there.

Symbols: B molecules, K features an atom, H hidden width, G features a distance. Leading axes are those of the layout
(`graphs`).
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from polydiff.backbones.molecules.graphs import Pairs
from polydiff.backbones.values import filled
from polydiff.core.conditions import ESTIMATE, Condition


def float32_geometry(r: Tensor) -> torch.autocast:
    """Return a context that disables autocast, because bf16 resolves a bond length to 1 % only."""
    return torch.autocast(r.device.type, enabled=False)


class Geometry(nn.Module):
    """Differences of positions and features of their lengths.

    Arguments:
        radial: Number of Gaussian bumps.
        cutoff: Centre of the last one.
    """

    centres: Tensor

    def __init__(self, radial: int, cutoff: float) -> None:
        super().__init__()
        self.features = radial + 1
        self.spacing = cutoff / max(radial - 1, 1)
        self.register_buffer("centres", torch.linspace(0, cutoff, radial), persistent=False)

    def forward(self, pairs: Pairs, r: Tensor) -> tuple[Tensor, Tensor]:
        """Return (r_i - r_j) / (|r_i - r_j| + 1), shape (.., 3), and features, shape (.., radial + 1)."""
        with float32_geometry(r):
            difference = pairs.combine(r, -r)
            square = difference.square().sum(-1, keepdim=True)
            distance = (square + 1e-12).sqrt()  # the root has no derivative at 0
            bumps = torch.exp(-0.5 * ((distance - self.centres) / self.spacing) ** 2)
            return difference / (distance + 1), torch.cat([square, bumps], -1)


class Earlier(NamedTuple):
    """An earlier estimate of the clean molecule, or its known part; atoms without positions have 0.

    Attributes:
        r: Positions of mean zero, (.., 3).
        f: Features, and last 1 for atoms with positions, 0 for others, (.., K + 1).
    """

    r: Tensor
    f: Tensor

    @classmethod
    def of(cls, pairs: Pairs, cond: Condition | None, x: Tensor) -> Earlier:
        """Return the estimate in `cond` for a state x (.., 3 + K), 0 if its name is missing or its values are NaN."""
        estimate = (cond or {}).get(ESTIMATE)
        if estimate is None:
            return cls(torch.zeros_like(x[..., :3]), torch.zeros_like(x[..., 2:]))
        numbers, there = filled(estimate, -1)
        r, f = pairs.clean(numbers.to(x)).split([3, x.shape[-1] - 3], -1)
        there = pairs.clean(there.to(x))
        return cls((r - pairs.atoms(pairs.mean(r))) * there, torch.cat([f, there], -1))

    @classmethod
    def known(cls, pairs: Pairs, value: Tensor | None, x: Tensor, features: int) -> Earlier:
        """Return known rows of the clean molecule, with positions from the mean of the known ones.

        So the known atoms fix the frame, wherever they lie: the mean of all atoms, which is unknown, is not needed.

        Arguments:
            pairs: Pairs of atoms.
            value: Known rows (.., 3 + features), NaN where unknown; None: nothing is known.
            x: State of the molecule, (.., 3 + K).
            features: Features of a row; if there are any, `f` has one number more, 1 where they are known.
        """
        if value is None:
            width = features + (features > 0) + 1
            return cls(torch.zeros_like(x[..., :3]), x.new_zeros(*x.shape[:-1], width))
        (r, there), (f, named) = (filled(part, -1) for part in value.split([3, features], -1))
        here = pairs.clean(there.to(x))
        r = pairs.clean(r.to(x)) * here
        centre = pairs.mean(r) / pairs.mean(here).clamp(min=1e-12)
        flags = [pairs.clean(named.to(x))] if features else []
        return cls((r - pairs.atoms(centre)) * here, torch.cat([pairs.clean(f.to(x)), *flags, here], -1))


class Estimate(nn.Module):
    """How an earlier estimate, or a known part, enters a network.

    Arguments:
        channels: K.
        hidden: H.
        geometry: Features of distances.
        moves: Whether atoms may move along its positions, as to an earlier estimate.
    """

    def __init__(self, channels: int, hidden: int, geometry: Geometry, moves: bool = True) -> None:
        super().__init__()
        self.geometry = geometry
        self.enter = nn.Linear(channels + 1, hidden, bias=False)
        if not moves:
            return
        self.gain = nn.Linear(hidden, 1)
        nn.init.zeros_(self.gain.weight)
        nn.init.zeros_(self.gain.bias)

    def of_pairs(self, pairs: Pairs, earlier: Earlier) -> Tensor:
        """Return features of the estimate's distances, (.., G), 0 for pairs without an estimate."""
        there = earlier.f[..., -1:]
        features: Tensor = self.geometry(pairs, earlier.r)[1]
        return features * (pairs.combine(there, there) > 1)

    def move(self, earlier: Earlier, last: Tensor) -> Tensor:
        """Return the moves of atoms along the estimate's positions, (.., 3), from their last vectors, (.., H)."""
        gain: Tensor = self.gain(last)
        return gain.to(earlier.r) * earlier.r
