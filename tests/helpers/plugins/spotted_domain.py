"""The part of the domain spotted that needs torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from ring_domain import Ring
from torch import Tensor, nn
from torch.nn import functional

from polydiff.contract.domain import Samples
from polydiff.core.conditions import Condition
from polydiff.core.parts.letters import LettersSpace
from polydiff.core.parts.product import Product
from polydiff.core.space import Batch, Euclidean, Space

COLOURS = 3


@dataclass(frozen=True, eq=False)
class Shared(LettersSpace):
    """Letters that are all drawn by the first sample's random stream."""

    def uniforms(self, generators: Sequence[torch.Generator]) -> Tensor:
        return torch.rand(self.state_shape, generator=generators[0], dtype=torch.float64)


class Spotted(Ring):
    """Two colours a point: in which third of the ring it lies, and whether it is in the upper half."""

    def batch(self, split: str, indices: Sequence[int], generators: Sequence[torch.Generator]) -> Batch:
        fault = self.data.fault
        points = super().batch(split, indices, generators)
        thirds = ((torch.atan2(points.x[:, 1], points.x[:, 0]) / torch.pi + 1) * 1.4999).long()
        colours = torch.stack([thirds, (points.x[:, 1] > 0).long()], 1)
        if fault == "batches of colours":
            colours = (colours + len(colours) // 2) % COLOURS
        if fault == "variance of colours":
            colours = colours + 2
        if fault == "statistics of colours" and self.reopened:
            colours = (colours + 1) % COLOURS
        return Batch({"point": points.x, "colours": colours}, self.space(len(colours)), points.cond)

    def __init__(self, config: Any, statistics: Mapping[str, Any] | None = None) -> None:
        super().__init__(config, statistics)
        self.reopened = statistics is not None

    def space(self, n: int) -> Any:
        letters = (Shared if self.data.fault == "space of colours" else LettersSpace)(n, (2,), COLOURS)
        name = "spots" if self.data.fault == "batches of parts" else "colours"
        return Product({"point": Euclidean(n, (2,)), name: letters})

    def backbone(self) -> nn.Module:
        return Network(self.data.fault)

    def decode(self, x: Any, space: Space) -> list[Any]:
        return list(zip(x["point"] * self.statistics["scale"], x["colours"].tolist(), strict=True))

    def examples(self, split: str, n: int) -> Samples:
        indices = range(min(n, self.size(split)))
        batch = self.batch(split, indices, [torch.Generator() for _ in indices])
        return Samples(self.decode(batch.x, batch.space), batch.cond)

    def evaluate(self, samples: Samples) -> Any:
        return super().evaluate(self.points(samples))

    def show(self, samples: Samples) -> str:
        return super().show(self.points(samples))

    def save(self, samples: Samples, directory: Any) -> Any:
        return super().save(self.points(samples), directory)

    def points(self, samples: Samples) -> Samples:
        return Samples([point for point, _ in samples.examples], samples.cond)


class Network(nn.Module):
    def __init__(self, fault: str) -> None:
        super().__init__()
        self.fault = fault
        self.layers = nn.Sequential(nn.Linear(2 + 2 * (COLOURS + 1) + 2, 32), nn.SiLU(), nn.Linear(32, 2 + 2 * COLOURS))
        self.upper, self.tall = nn.Embedding(2, 32), nn.Linear(1, 32)

    def forward(self, x: Any, number: Tensor, space: Any, cond: Condition | None = None) -> dict[str, Tensor]:
        hot = functional.one_hot(x["colours"], COLOURS + 1).flatten(1).to(number)
        if self.fault == "backbone of colours":
            hot = hot - hot.mean(0)
        h = self.layers[0](torch.cat([x["point"], hot, number.sin()[:, None], number.tanh()[:, None]], 1))
        if cond is not None:
            half, height = cond["half"], cond["height"]
            h = h + self.upper(half.clamp(min=0)) * (half >= 0)[:, None]
            h = h + self.tall(height.nan_to_num()[:, None]) * ~height.isnan()[:, None]
        out = self.layers[1:](h)
        letters = out[:, 2:].reshape(-1, 2, COLOURS)
        return {"point": out[:, :2], "colours": letters[..., 1:] if self.fault == "backbone of letters" else letters}
