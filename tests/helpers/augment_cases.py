"""Classes that are exact Gaussian clouds: a domain that writes and judges data sets of points, and models of it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from exact_model import Exact, Points, exact_model
from torch import Tensor

from polydiff.contract.domain import Samples
from polydiff.core.space import Batch
from polydiff.gaussian.denoise import Denoiser
from polydiff.gaussian.schedule.closed_forms import EDM
from polydiff.model.model import Model
from polydiff.testing.analytic import GaussianMixture

DIM, APART = 8, 2.0
"""Numbers of a point, and distance of the means of the two classes in units of their standard deviation."""


def clouds() -> GaussianMixture:
    """Two classes with the means ± 1 along the first axis and variance 1."""
    means = torch.zeros(2, DIM)
    means[:, 0] = torch.tensor([-APART / 2, APART / 2])
    return GaussianMixture(means, torch.ones(2, DIM), labels=torch.tensor([0, 1]))


class Clouds(Points):
    """Points of a mixture as a domain with k training examples of each class, which are written as lines of JSON."""

    class_condition, learns, better, plain_augmentation = "label", "accuracy of nearest means", "higher", "moved"

    def __init__(self, mixture: GaussianMixture, per_class: int, test: int = 4000) -> None:
        super().__init__(mixture, {"train": 2 * per_class, "test": test})
        labels = super().batch("train", range(50 * per_class + 50), ()).cond["label"]
        self.used = torch.cat([(labels == c).nonzero()[:per_class, 0] for c in (0, 1)]).tolist()

    def batch(self, split: str, indices: Sequence[int], generators: Sequence[torch.Generator]) -> Batch:
        return super().batch(split, [self.used[i] for i in indices] if split == "train" else indices, generators)

    def examples(self, split: str, n: int) -> Samples:
        return super().examples(split, min(n, self.size(split)))

    def describe(self, cond: Mapping[str, Tensor]) -> list[dict[str, Any]]:
        return [{"label": str(int(label))} for label in cond["label"]]

    def write_data(self, samples: Samples, directory: Path) -> list[dict[str, Any]]:
        rows = []
        for i, (example, words) in enumerate(zip(samples.examples, self.describe(samples.cond or {}), strict=True)):
            (directory / f"{i}.json").write_text(json.dumps(example.tolist()))
            rows.append({"file": f"{i}.json", **words, "first": round(float(example[0]), 3)})
        return rows

    def read_data(self, paths: Sequence[Path], conditions: Sequence[Mapping[str, Any]]) -> Samples:
        points = [torch.tensor(json.loads(path.read_text())) for path in paths]
        return Samples(points, {"label": torch.tensor([int(row["label"]) for row in conditions])})

    def learned(self, sets: Sequence[Samples], seed: int, augmented: bool) -> float:
        """Return the accuracy of the nearest mean; each seed learns from a random half of each set."""
        means = torch.zeros(2, DIM)
        for number, of in enumerate(sets):
            x, labels = torch.stack(list(of.examples)), (of.cond or {})["label"]
            kept = torch.rand(len(x), generator=torch.Generator().manual_seed(seed % 2**31 + number)) < 0.8
            for c in (0, 1):
                means[c] += x[(labels == c) & kept].mean(0) / len(sets)
        test = self.examples("test", self.size("test"))
        found = torch.cdist(torch.stack(list(test.examples)), means).argmin(1)
        return float((found == (test.cond or {})["label"]).double().mean())


def cloud_model(generator: GaussianMixture | None = None, per_class: int = 5, **values: Any) -> Model:
    """Return a model of the clouds whose samples follow another mixture, or exactly the clouds."""
    how = {"data.per_class": per_class, "sample.steps": 12, "sample.guidance": 1.0, **values}
    model = exact_model(clouds(), **how)
    domain: Any = Clouds(clouds(), per_class)
    denoiser = Denoiser(Exact(generator or clouds(), 1.0), EDM(), "x0").eval()
    return replace(model, domain=domain, denoiser=denoiser)


def memorised(share: float, per_class: int = 5) -> GaussianMixture:
    """Return clouds of which a share of the samples are training examples, up to noise of 0.01."""
    known = Clouds(clouds(), per_class).examples("train", 2 * per_class)
    points, labels = torch.stack(list(known.examples)), (known.cond or {})["label"]
    exact = clouds()
    means, variances = (
        torch.cat([exact.means.float(), points]),
        torch.cat([torch.ones(2, DIM), 1e-4 * torch.ones(len(points), DIM)]),
    )
    weights = torch.cat([(1 - share) / 2 * torch.ones(2), share / len(points) * torch.ones(len(points))])
    return GaussianMixture(means, variances, weights, labels=torch.cat([torch.tensor([0, 1]), labels]))
