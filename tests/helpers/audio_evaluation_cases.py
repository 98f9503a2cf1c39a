"""Cases that several tests share: audio evaluation."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from polydiff.domains.audio.metrics.reference import Reference
from polydiff.metrics.results import Metric

RATE, LENGTH = 8000, 2048


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def tones(f: Tensor, rate: int = RATE, length: int = LENGTH, channels: int = 1) -> Tensor:
    """Sines of frequencies (B,) at half of full scale."""
    t = torch.arange(length) / rate
    return 0.5 * torch.sin(2 * math.pi * f[:, None] * t)[:, None].expand(-1, channels, -1).clone()


def reference(train: Tensor, test: Tensor, **classes: tuple[Tensor, Tensor]) -> Reference:
    """Compare with training clips and held-out clips; `classes` holds the labels of both."""
    parts = [iter([(x, {k: v[i] for k, v in classes.items()})]) for i, x in enumerate((train, test))]
    return Reference.of(*parts, RATE, {k: int(v[0].max()) + 1 for k, v in classes.items()}, len(test))


def values(metrics: dict[str, Metric]) -> dict[str, float]:
    return {name: metric.value for name, metric in metrics.items()}
