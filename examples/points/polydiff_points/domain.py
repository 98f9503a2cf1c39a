"""Points on the arms of a spiral: arm k of K lies at radius r in the direction 2 pi k / K + TURN r."""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Generator, Tensor, nn

from polydiff import Batch, Euclidean, Metric, Samples, UserError, build_backbone, streams
from polydiff.core.conditions import Classes
from polydiff_points.config import PointsConfig

TURN, WIDTH = 2.0, 0.05
COLOURS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#d55e00", "#56b4e9")


class Points:
    """The domain of points. An example is a tensor (x, y)."""

    def __init__(self, config: PointsConfig, statistics: Mapping[str, Any] | None = None) -> None:
        self.config, self.data = config, config.data
        self.conditions = {"arm": Classes(self.data.arms)}
        self.statistics = statistics or {"std": float(self.points("train", range(1000))[0].std())}

    def size(self, split: str) -> int:
        return self.data.n_train if split == "train" else self.data.n_test

    def points(self, split: str, indices: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Return points (B, 2) and their arms (B,); each follows from its split and index alone."""
        drawn = torch.stack([torch.rand(4, generator=g) for g in streams(0, f"points/{split}", indices)])
        radius = 0.2 + 1.8 * drawn[:, 0].sqrt()
        arm = (drawn[:, 1] * self.data.arms).long()
        angle = 2 * math.pi * arm / self.data.arms + TURN * radius
        centre = torch.stack([radius * angle.cos(), radius * angle.sin()], 1)
        return centre + WIDTH * torch.special.ndtri(drawn[:, 2:].clamp(1e-6, 1 - 1e-6)), arm

    def batch(self, split: str, indices: Sequence[int], generators: Sequence[Generator]) -> Batch:
        points, arm = self.points(split, indices)
        return Batch(points / self.statistics["std"], Euclidean(len(points), (2,)), {"arm": arm})

    def blank(
        self, generators: Sequence[Generator], requested: Mapping[str, str]
    ) -> tuple[Euclidean, dict[str, Tensor]]:
        arms = [str(arm) for arm in range(self.data.arms)]
        if set(requested) - {"arm"} or requested.get("arm", "0") not in arms:
            raise UserError(f"The condition of points is arm, from 0 to {arms[-1]}, not {dict(requested)}.")
        drawn = [
            int(requested["arm"]) if requested else int(torch.randint(len(arms), (), generator=g)) for g in generators
        ]
        return Euclidean(len(drawn), (2,)), {"arm": torch.tensor(drawn)}

    def backbone(self) -> nn.Module:
        return build_backbone(self.config.backbone, channels=2, dims=0, conditions=self.conditions)

    def decode(self, x: Tensor, space: Euclidean) -> list[Tensor]:
        return list((x * self.statistics["std"]).unbind())

    def examples(self, split: str, n: int) -> Samples:
        points, arm = self.points(split, range(min(n, self.size(split))))
        return Samples(list(points.unbind()), {"arm": arm})

    def evaluate(self, samples: Samples) -> dict[str, Metric]:
        points, real = torch.stack(list(samples.examples)), self.points("train", range(2000))[0]
        energy = 2 * torch.cdist(points, real).mean() - torch.pdist(points).mean() - torch.pdist(real).mean()
        arm = torch.zeros(len(points)) if samples.cond is None else samples.cond["arm"]
        near = self.distance(points, arm) < 3 * WIDTH
        return {
            "on_arm": Metric(
                float(near.double().mean()), "", "higher", "Share of points within 3 widths of the requested arm."
            ),
            "energy_distance": Metric(
                float(energy),
                "",
                "lower",
                f"Energy distance of {len(points)} points to 2000 of the data; about 0 at best.",
            ),
        }

    def distance(self, points: Tensor, arm: Tensor) -> Tensor:
        """Return the distance of each point to its arm, to first order."""
        radius = points.norm(dim=1)
        angle = torch.atan2(points[:, 1], points[:, 0]) - TURN * radius - 2 * math.pi * arm / self.data.arms
        along_circle = radius * (torch.remainder(angle + math.pi, 2 * math.pi) - math.pi).abs()
        across: Tensor = along_circle / (1 + (TURN * radius) ** 2).sqrt()
        return across

    def show(self, samples: Samples) -> str:
        arms = [0] * len(samples) if samples.cond is None else samples.cond["arm"].tolist()
        dots = [
            f'<circle cx="{x:.3f}" cy="{-y:.3f}" r="0.03" fill="{COLOURS[arm % len(COLOURS)]}"/>'
            for (x, y), arm in zip((point.tolist() for point in samples.examples), arms, strict=True)
        ]
        return f'<svg viewBox="-2.5 -2.5 5 5" width="300" height="300">{"".join(dots)}</svg>'

    def save(self, samples: Samples, directory: Path) -> list[dict[str, Any]]:
        directory.mkdir(parents=True, exist_ok=True)
        names = [f"sample-{i:05d}.json" for i in range(len(samples))]
        for name, point in zip(names, samples.examples, strict=True):
            (directory / name).write_text(json.dumps(point.tolist()))
        return [{"file": name} for name in names]

    def describe(self, cond: Mapping[str, Tensor]) -> list[dict[str, Any]]:
        return [{"arm": "any" if arm < 0 else str(arm)} for arm in cond["arm"].tolist()]
