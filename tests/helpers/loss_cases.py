"""Cases that several tests share: loss."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from polydiff.core.conditions import Condition
from polydiff.core.space import Batch, Euclidean, Space

SHAPES: dict[str, dict[str, float]] = {  # times that reach the whole range of noise levels
    "uniform": {},
    "adaptive": {},
    "log_normal": {"mean": -0.5, "std": 2.5},
    "log_snr_normal": {"mean": 1.0, "std": 5.0},
    "logit_normal": {"std": 1.5},
    "mode": {"scale": 0.8},
    "kumaraswamy": {"a": 0.9, "b": 1.1},
    "laplace": {"scale": 4.0},
    "cauchy": {"scale": 4.0},
}


class Fixed(nn.Module):
    """A network with one weight: F = w x on each element."""

    def __init__(self, w: float = 0.3) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.tensor(w, dtype=torch.float64))

    def forward(self, x: Tensor, log_sigma: Tensor, space: Space, cond: Condition | None) -> Tensor:
        return self.w * x + torch.sin(space.expand(log_sigma))


def ring(n: int, step: int) -> Batch:
    angle = 6.2832 * torch.rand(n, generator=torch.Generator().manual_seed(step))
    return Batch(torch.stack([angle.cos(), angle.sin()], -1), Euclidean(n, (2,)))
