"""A model whose estimates are exact: data from a mixture of Gaussians, and its denoiser in the place of a network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from polydiff.config.merge import resolve
from polydiff.contract.domain import Samples
from polydiff.contract.likeness import Nearest
from polydiff.core.conditions import Classes, Condition
from polydiff.core.space import Batch, Euclidean, Space, State
from polydiff.core.streams import streams
from polydiff.gaussian.denoise import Denoiser
from polydiff.gaussian.schedule.closed_forms import EDM
from polydiff.model.model import Model
from polydiff.testing.analytic import GaussianMixture


class Points:
    """Vectors drawn from a mixture, each with the label of its component if the mixture has labels."""

    statistics: Mapping[str, Any] = {}

    def __init__(self, mixture: GaussianMixture, sizes: Mapping[str, int]) -> None:
        self.mixture, self.sizes = mixture, sizes

    @property
    def conditions(self) -> dict[str, Classes]:
        labels = self.mixture.labels
        return {} if labels is None else {"label": Classes(int(labels.max()) + 1)}

    def size(self, split: str) -> int:
        return self.sizes[split]

    def batch(self, split: str, indices: Sequence[int], generators: Sequence[torch.Generator]) -> Batch:
        draws = streams(0, split, indices)
        k = torch.cat([torch.multinomial(self.mixture.share, 1, generator=g) for g in draws])
        y = torch.stack([torch.randn(self.mixture.dim, generator=g, dtype=torch.float64) for g in draws])
        x = (self.mixture.means[k] + self.mixture.variances[k].sqrt() * y).float()
        cond = None if self.mixture.labels is None else {"label": self.mixture.labels[k]}
        return Batch(x, self.space(len(indices)), cond)

    def space(self, n: int) -> Euclidean:
        return Euclidean(n, (self.mixture.dim,))

    def blank(
        self, generators: Sequence[torch.Generator], requested: Mapping[str, Any]
    ) -> tuple[Space, Condition | None]:
        n = len(generators)
        if self.mixture.labels is None:
            return self.space(n), None
        drawn = [
            int(self.mixture.labels[int(torch.multinomial(self.mixture.share, 1, generator=g))]) for g in generators
        ]
        label = [int(requested["label"])] * n if "label" in requested else drawn
        return self.space(n), {"label": torch.tensor(label)}

    def decode(self, x: State, space: Space) -> list[Tensor]:
        return list(x)

    def examples(self, split: str, n: int) -> Samples:
        batch = self.batch(split, range(n), ())
        return Samples(list(batch.x), batch.cond)

    def show(self, samples: Samples) -> str:
        return f"<p>{len(samples)} points</p>"

    def describe(self, cond: Condition) -> list[dict[str, Any]]:
        return [{"label": int(label)} for label in cond["label"]]

    def encode(self, examples: Sequence[Any]) -> Batch:
        return Batch(torch.stack(list(examples)), self.space(len(examples)), None)

    @property
    def form(self) -> str:
        return "points"

    def encode_conditions(self, values: Sequence[Mapping[str, Any]]) -> Condition:
        return {"label": torch.tensor([value.get("label", -1) for value in values])}

    def nearest(self, samples: Samples) -> Nearest:
        known = self.batch("train", range(self.size("train")), ()).x
        distances, places = torch.cdist(torch.stack(list(samples.examples)), known).min(1)
        return Nearest(Samples(list(known[places])), distances.tolist(), 0.1, "coordinates")


class Exact(nn.Module):
    """The mixture's estimate in the place of a network that predicts x_0."""

    def __init__(self, mixture: GaussianMixture, sigma_data: float) -> None:
        super().__init__()
        self.mixture, self.sigma_data = mixture, sigma_data
        self.weight = nn.Parameter(torch.zeros(()))

    def forward(self, x: State, log_sigma: Tensor, space: Space, cond: Condition | None) -> State:
        s = log_sigma.exp().double()
        noisy = x.double() * torch.sqrt(s**2 + self.sigma_data**2)[:, None]
        label = None if cond is None else cond.get("label")
        return self.mixture.mean(noisy, s, label).to(x.dtype)


def exact_model(mixture: GaussianMixture, train: int = 64, test: int = 4096, **values: Any) -> Model:
    """Return the model of a mixture, with so many training and held-out examples."""
    config = resolve("image", values={"target": "x0", "device": "cpu", **values}).config
    denoiser = Denoiser(Exact(mixture, 1.0), EDM(), "x0").eval()
    domain: Any = Points(mixture, {"train": train, "test": test})
    return Model(config, domain, denoiser)
