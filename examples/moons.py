"""A domain in one file, without a package: points on two half circles, conditioned on which of them.

polydiff domains check moons --plugin examples/moons.py
polydiff train --domain moons --plugin examples/moons.py

It is the least that a domain consists of, and stands alone, to be copied. examples/points is the next step: a package
with keys of its own for the data, statistics that are measured, presets, and a second metric.
"""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Generator, Tensor, nn

from polydiff import Batch, Config, DomainSpec, Euclidean, Metric, Samples, UserError, build_backbone, streams
from polydiff.backbones.config import MLPConfig
from polydiff.contract.sections import BackboneConfig, DataConfig, OptimConfig, SampleConfig, TrainConfig
from polydiff.core.conditions import Classes

NAMES = ("upper", "lower")


class MoonsConfig(Config):
    """Points on two half circles."""

    domain: str = "moons"
    data: DataConfig = DataConfig(name="moons")
    backbone: BackboneConfig = MLPConfig(hidden=128, layers=3)
    optim: OptimConfig = OptimConfig(lr=2e-3, decay="cosine")
    train: TrainConfig = TrainConfig(steps=1500, batch_size=256, ema=0.99)
    sample: SampleConfig = SampleConfig(steps=20)


class Moons:
    """The domain of moons. An example is a tensor (x, y)."""

    statistics: Mapping[str, Any] = {"std": 0.7}

    def __init__(self, config: MoonsConfig, statistics: Mapping[str, Any] | None = None) -> None:
        self.config, self.conditions = config, {"moon": Classes(2)}

    def size(self, split: str) -> int:
        return 10_000 if split == "train" else 1000

    def points(self, split: str, indices: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Return points (B, 2) and their moons (B,); each follows from its split and index alone."""
        drawn = torch.stack([torch.rand(2, generator=g) for g in streams(0, f"moons/{split}", indices)])
        angle, moon = math.pi * drawn[:, 0], (drawn[:, 1] < 0.5).long()
        sign = 1 - 2 * moon
        return torch.stack([sign * (angle.cos() - 0.5), sign * (angle.sin() - 0.25)], 1), moon

    def batch(self, split: str, indices: Sequence[int], generators: Sequence[Generator]) -> Batch:
        points, moon = self.points(split, indices)
        return Batch(points / self.statistics["std"], Euclidean(len(points), (2,)), {"moon": moon})

    def blank(
        self, generators: Sequence[Generator], requested: Mapping[str, str]
    ) -> tuple[Euclidean, dict[str, Tensor]]:
        if set(requested) - {"moon"} or requested.get("moon", "upper") not in NAMES:
            raise UserError(f"The condition of moons is moon, {' or '.join(NAMES)}, not {dict(requested)}.")
        drawn = torch.stack([torch.randint(2, (), generator=g) for g in generators])
        moon = torch.full_like(drawn, NAMES.index(requested["moon"])) if requested else drawn
        return Euclidean(len(drawn), (2,)), {"moon": moon}

    def backbone(self) -> nn.Module:
        return build_backbone(self.config.backbone, channels=2, dims=0, conditions=self.conditions)

    def decode(self, x: Tensor, space: Euclidean) -> list[Tensor]:
        return list((x * self.statistics["std"]).unbind())

    def examples(self, split: str, n: int) -> Samples:
        points, moon = self.points(split, range(min(n, self.size(split))))
        return Samples(list(points.unbind()), {"moon": moon})

    def evaluate(self, samples: Samples) -> dict[str, Metric]:
        points = torch.stack(list(samples.examples))
        moon = torch.zeros(len(points)) if samples.cond is None else samples.cond["moon"]
        folded = points * (1 - 2 * moon)[:, None] + torch.tensor([0.5, 0.25])  # onto the upper half of a circle
        off = torch.where(
            folded[:, 1] > 0, folded.norm(dim=1) - 1, torch.hypot(folded[:, 0].abs() - 1, folded[:, 1])
        ).abs()
        return {"distance": Metric(float(off.mean()), "radii", "lower", "Mean distance from the requested moon.")}

    def show(self, samples: Samples) -> str:
        dots = [f'<circle cx="{x:.3f}" cy="{-y:.3f}" r="0.02"/>' for x, y in map(Tensor.tolist, samples.examples)]
        return f'<svg viewBox="-2 -1.5 4 3" width="320" height="240">{"".join(dots)}</svg>'

    def save(self, samples: Samples, directory: Path) -> list[dict[str, Any]]:
        directory.mkdir(parents=True, exist_ok=True)
        names = [f"sample-{i:05d}.json" for i in range(len(samples))]
        for name, point in zip(names, samples.examples, strict=True):
            (directory / name).write_text(json.dumps(point.tolist()))
        return [{"file": name} for name in names]

    def describe(self, cond: Mapping[str, Tensor]) -> list[dict[str, Any]]:
        return [{"moon": "any" if moon < 0 else NAMES[moon]} for moon in cond["moon"].tolist()]


SPEC = DomainSpec(
    name="moons",
    summary="Points on two half circles, by half circle.",
    config=f"{__name__}:MoonsConfig",  # this file, by the name under which it was imported
    factory=f"{__name__}:Moons",
)
