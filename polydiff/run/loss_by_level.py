"""The loss by noise level: what a falling mean hides.

A mean over all noise levels can fall while a whole range of them learns nothing: then the loss "converges" and samples
are noise, or hiss. So losses are gathered in bins of the log-SNR, and each logged step records the mean of every bin
since the last one.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # a report is written without torch
    from torch import Tensor

WIDTH = 2.0
"""Width of a bin in nats of log-SNR; bins begin at its multiples."""

Bins = Mapping[str, tuple[float, int]]
"""Where a bin begins -> mean loss and number of examples."""


class Gathered:
    """Losses since the last reading. They stay on their device until then, so that no step waits for it."""

    def __init__(self) -> None:
        self.parts: list[tuple[Tensor, Tensor]] = []

    def add(self, level: Tensor | None, losses: Tensor) -> None:
        """Add a step's noise levels (B,) and losses (B,); nothing without noise levels."""
        if level is not None:
            self.parts.append((level, losses))

    def read(self) -> dict[str, tuple[float, int]]:
        """Return the mean loss of each bin that has one, lowest log-SNR first, and clear the losses."""
        import torch

        if not self.parts:
            return {}
        sigma, losses = (torch.cat([part[i] for part in self.parts]).double().cpu() for i in (0, 1))
        self.parts.clear()
        bins = torch.floor(-2 * sigma.log() / WIDTH)
        found = {}
        for b in bins.unique().tolist():
            inside = losses[bins == b]
            found[f"{WIDTH * b:g}"] = (inside.mean().item(), len(inside))
        return found


def together(lines: Iterable[Bins]) -> dict[float, tuple[float, int]]:
    """Return the mean of several readings, each bin by its middle, lowest first; what is not finite is left out."""
    total: dict[float, tuple[float, int]] = {}
    for line in lines:
        for start, (mean, n) in line.items():
            if math.isfinite(mean):
                before, count = total.get(float(start) + WIDTH / 2, (0.0, 0))
                total[float(start) + WIDTH / 2] = ((before * count + mean * n) / (count + n), count + n)
    return dict(sorted(total.items()))


def of_record(record: Mapping[str, Any]) -> Bins:
    """Return the bins of a line of metrics.jsonl, none where it has none."""
    return {str(start): (float(mean), int(n)) for start, (mean, n) in record.get("bins", {}).items()}
