"""The part of the ring domain that needs torch."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from ring import RingConfig
from torch import Tensor, nn

from polydiff.contract.backbone import build_backbone
from polydiff.contract.domain import Samples
from polydiff.core.conditions import Condition
from polydiff.core.space import Batch, Euclidean, Space, State, normal
from polydiff.core.streams import stream
from polydiff.metrics.results import Metric
from polydiff.support.errors import UserError, unknown

HALVES = ("lower", "upper")


@dataclass(frozen=True)
class Loud(Euclidean):
    """A space whose noise has a standard deviation of 1.5."""

    def noise(self, generators: Sequence[torch.Generator]) -> State:
        return 1.5 * normal(generators, self.shape, self.device, self.dtype)


class Ring:
    def __init__(self, config: RingConfig, statistics: Mapping[str, Any] | None = None) -> None:
        self.config, self.data = config, config.data
        self.statistics: Mapping[str, Any] = statistics or {"scale": self.data.radius / math.sqrt(2)}
        if self.data.fault == "statistics" and statistics:
            self.statistics = {"scale": 1.1 * statistics["scale"]}
        self.conditions = {"half": 2, "height": 0}

    def size(self, split: str) -> int:
        return self.data.sizes[split == "test"]

    def batch(self, split: str, indices: Sequence[int], generators: Sequence[torch.Generator]) -> Batch:
        turns = [torch.rand((), generator=stream(self.config.seed, split, i)).item() for i in indices]
        if self.data.fault == "batches":
            turns = [turn * len(turns) / 16 for turn in turns]
        angle = torch.tensor(turns) * (2 if self.data.closed else 1) * math.pi
        points = self.data.radius * torch.stack([angle.cos(), angle.sin()], -1)
        scale = self.statistics["scale"] * (10 if self.data.fault == "variance" else 1)
        return Batch(points / scale, self.space(len(points)), conditions(points))

    def space(self, n: int) -> Space:
        return Loud(n, (2,)) if self.data.fault == "space" else Euclidean(n, (2,))

    def blank(self, generators: Sequence[torch.Generator], requested: Mapping[str, str]) -> tuple[Space, Condition]:
        rest = set(requested) - set(self.conditions)
        if rest and self.data.fault != "blank":
            raise unknown("condition", rest.pop(), self.conditions)
        if requested.get("half", "upper") not in HALVES:
            raise UserError(f"half={requested['half']}: lower or upper.")
        drawn = torch.stack([torch.rand(2, generator=g) for g in generators])
        half = (
            torch.full((len(drawn),), HALVES.index(requested["half"]))
            if "half" in requested
            else (drawn[:, 0] < 0.5).long()
        )
        return self.space(len(drawn)), {"half": half, "height": 2 * drawn[:, 1] - 1}

    def backbone(self) -> nn.Module:
        if self.data.fault == "backbone":
            return Forgetful()
        return build_backbone(self.config.backbone, channels=2, dims=0, conditions=self.conditions)

    def decode(self, x: State, space: Space) -> list[Any]:
        points = list(x * self.statistics["scale"])
        return points[1:] if self.data.fault == "decode" else points

    def examples(self, split: str, n: int) -> Samples:
        indices = range(min(n, self.size(split)))
        x, _, cond = self.batch(split, indices, [torch.Generator() for _ in indices])
        return Samples(list(x * self.statistics["scale"]), cond)

    def evaluate(self, samples: Samples) -> dict[str, Metric]:
        points = torch.stack(list(samples.examples))
        error = (points.norm(dim=-1) - self.data.radius).abs().mean().item()
        if self.data.fault == "judges":
            error = 0.0
        return {"distance": Metric(error, "radii", "lower", "Mean distance from the ring.")}

    def show(self, samples: Samples) -> str:
        if self.data.fault == "show":
            return '<img src="https://example.org/ring.png">'
        dots = "".join(f'<circle cx="{x:.2f}" cy="{y:.2f}" r="0.1"/>' for x, y in samples.examples)
        return f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="-3 -3 6 6">{dots}</svg>'

    def save(self, samples: Samples, directory: Path) -> list[dict[str, Any]]:
        names = [f"sample-{i:05d}.json" for i in range(len(samples))]
        for name, point in zip(names, samples.examples, strict=True):
            if self.data.fault != "save":
                (directory / name).write_text(json.dumps(point.tolist()))
        return [{"file": name} for name in names]

    def describe(self, cond: Condition) -> list[dict[str, Any]]:
        return [{"half": HALVES[half]} for half in cond["half"].tolist()]


def conditions(points: Tensor) -> dict[str, Tensor]:
    return {"half": (points[:, 1] > 0).long(), "height": points[:, 1].clone()}


class Forgetful(nn.Module):
    """A network that mixes the samples of a batch."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(3, 2)

    def forward(self, x: Tensor, log_sigma: Tensor, space: Space, cond: Condition | None = None) -> Tensor:
        y: Tensor = self.linear(torch.cat([x - x.mean(0), log_sigma[:, None]], -1))
        return y
