"""The largest standard deviation of data along any direction."""

from __future__ import annotations

import torch
from torch import Tensor

from polydiff.core.streams import stream

STEPS = 20
"""Steps of the power iteration. The result is a lower bound, within a percent unless many directions are alike."""


def principal_std(x: Tensor) -> float:
    """Return the standard deviation of examples (N, D) along their first principal component, 0 for one example.

    It is the root of the largest eigenvalue of the covariance, by power iteration from a fixed start. With fewer
    examples than dimensions, noise in the data raises it.
    """
    x = x.float() - x.float().mean(0)
    v = torch.rand(x.shape[1], generator=stream(0, "principal")) - 0.5
    for _ in range(STEPS):
        v = x.T @ (x @ (v / v.norm().clamp_min(1e-30)))
    along = x @ (v / v.norm().clamp_min(1e-30))
    return float(along.double().square().mean().sqrt())
