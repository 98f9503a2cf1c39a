"""Molecules for tests of networks: states in both layouts, rotations, and random weights."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from polydiff.core.streams import stream, streams
from polydiff.domains.molecule.space import DenseMolecules, PackedMolecules

K = 4
SIZES = torch.tensor([1, 2, 7, 12, 5])


def awaken(network: nn.Module, seed: int = 0) -> nn.Module:
    """Draw every parameter at random, matrices scaled to keep variance: with a zero head, any law would hold."""
    with torch.no_grad():
        for i, p in enumerate(network.parameters()):
            fan_in = p[0].numel() if p.ndim > 1 else 4
            p.copy_(torch.randn(p.shape, generator=stream(seed, "weights", i), dtype=p.dtype) * fan_in**-0.5)
    return network


def dense(
    dtype: torch.dtype = torch.float64, sizes: Tensor = SIZES
) -> tuple[Tensor, Tensor, DenseMolecules, dict[str, Tensor]]:
    """Return a state, log noise levels, the space, and conditions; some conditions are not given."""
    space = DenseMolecules.of_sizes(sizes, K, dtype)
    x = space.noise(streams(0, "molecules", range(len(sizes))))
    log_sigma = torch.linspace(-3, 2, len(sizes), dtype=dtype)
    cond = {"size": torch.arange(len(sizes)) % 4 - 1, "logp": torch.linspace(-1, 1, len(sizes), dtype=dtype)}
    cond["logp"][0] = torch.nan
    return x, log_sigma, space, cond


def earlier(space: DenseMolecules, absent: int = 1) -> Tensor:
    """Return an estimate of clean molecules, which is not given for one of them."""
    estimate = space.noise(streams(0, "estimate", range(space.batch)))
    estimate[absent] = torch.nan
    return estimate


def packed(space: DenseMolecules) -> PackedMolecules:
    return PackedMolecules.of_sizes(space.sizes, K, space.dtype)


def far(a: Tensor, b: Tensor) -> float:
    """Return the largest absolute difference in units of the root mean square of b."""
    return float((a - b).detach().abs().max() / b.detach().square().mean().sqrt())


def orthogonal(seed: int, dtype: torch.dtype, reflects: bool) -> Tensor:
    q, _ = torch.linalg.qr(torch.randn(3, 3, generator=stream(seed, "rotation"), dtype=torch.float64))
    sign = 1 if (torch.linalg.det(q) < 0) == reflects else -1
    return (q * sign).to(dtype)


def turned(x: Tensor, turn: Tensor) -> Tensor:
    """Return a state with its positions rotated (or reflected) by a matrix (3, 3)."""
    return torch.cat([x[..., :3] @ turn, x[..., 3:]], -1)


def stacked(cond: Mapping[str, Tensor], mask: Tensor) -> dict[str, Tensor]:
    """Return conditions in the packed layout."""
    return {name: value[mask] if value.ndim == 3 else value for name, value in cond.items()}
