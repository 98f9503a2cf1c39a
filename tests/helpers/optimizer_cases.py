"""A small network whose parameters are matrices and vectors, for tests of optimizers."""

from __future__ import annotations

import torch
from torch import nn


def network() -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(3, 12), nn.BatchNorm1d(12), nn.Linear(12, 12), nn.Linear(12, 2)).double()
