"""Networks with weights that hide nothing."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn

from polydiff.random import stream


def awaken(network: nn.Module, seed: int = 0) -> nn.Module:
    """Draw every parameter anew, matrices so that they keep variance: a zero head would make any law hold."""
    with torch.no_grad():
        for i, p in enumerate(network.parameters()):
            fan_in = p[0].numel() if p.ndim > 1 else 4
            p.copy_(torch.randn(p.shape, generator=stream(seed, "weights", i), dtype=p.dtype) * fan_in**-0.5)
    return network


@pytest.fixture
def awake() -> Callable[..., nn.Module]:
    """The function that draws every parameter of a network."""
    return awaken
