"""A small network that moves, its averages in closed form, for tests of averages and snapshots."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from polydiff.run.averages import PowerAverages


def network() -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2)).double()


def flat(model: nn.Module) -> Tensor:
    return torch.cat([p.detach().flatten() for p in model.parameters()])


@torch.no_grad()
def move(model: nn.Module, k: int) -> None:
    """A weight trajectory that any average differs on: a drift, a wave and a sum of kicks."""
    for p in model.parameters():
        p.add_(torch.sin(p + k) + 0.01 * k)


def averaged(n: int) -> tuple[list[Tensor], PowerAverages]:
    """The weights after each of n steps, and the averages of them."""
    model = network()
    averages, history = PowerAverages(model), []
    for k in range(n):
        move(model, k)
        averages.update(model, k)
        history.append(flat(model))
    return history, averages


def integral(history: list[Tensor], gamma: float, start: int = 0) -> Tensor:
    """The integral of (gamma + 1) tau^gamma / t^{gamma + 1} theta(tau), theta = w_k for tau in (k - 1, k]."""
    t = len(history)
    shares = [(k / t) ** (gamma + 1) - ((k - 1) / t) ** (gamma + 1) for k in range(1, t + 1)]
    return torch.stack([share * w for share, w in zip(shares, history, strict=True)]).sum(0)
