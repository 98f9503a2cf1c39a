"""Torsions as a domain. An example is a tensor of angles (n,), radians."""

import math
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rdkit import Chem
from torch import Generator, Tensor, nn

from polydiff import Batch, Euclidean, Metric, Samples, Space, UserError, build_backbone
from polydiff.core.parts.manifolds import TorusSpace, wrapped
from polydiff_torsions.boltzmann import boltzmann
from polydiff_torsions.config import TorsionsConfig
from polydiff_torsions.rotor import Array, Rotor

BINS = 36
REAL = math.pi / math.sqrt(3)
"""Standard deviation of uniform angles, by which process=gaussian divides them."""


class Torsions:
    """The domain of torsions."""

    def __init__(self, config: TorsionsConfig, statistics: Mapping[str, Any] | None = None) -> None:
        self.config, self.data = config, config.data
        self.conditions: dict[str, Any] = {}
        self.rotor = Rotor.of(self.data.smiles)
        self.statistics = statistics or {}
        self.curved = config.process != "gaussian"

    @cached_property
    def angles(self) -> Tensor:
        """Torsions of all examples, training first, (n_train + n_test, n)."""
        return torch.from_numpy(
            boltzmann(self.rotor, self.data.n_train + self.data.n_test, self.data.kelvin, 0)
        ).float()

    def size(self, split: str) -> int:
        return self.data.n_train if split == "train" else self.data.n_test

    def chosen(self, split: str, indices: Sequence[int]) -> Tensor:
        """Return torsions of examples of a split, (B, n)."""
        return self.angles[
            torch.tensor(list(indices), dtype=torch.long) + (0 if split == "train" else self.data.n_train)
        ]

    def space(self, batch: int) -> Space:
        """Return the space of a batch of states."""
        shape = (len(self.rotor.torsions),)
        return TorusSpace(batch, shape) if self.curved else Euclidean(batch, shape)

    def batch(self, split: str, indices: Sequence[int], generators: Sequence[Generator]) -> Batch:
        angles = self.chosen(split, indices)
        return Batch(angles if self.curved else angles / REAL, self.space(len(angles)))

    def blank(self, generators: Sequence[Generator], requested: Mapping[str, str]) -> tuple[Space, None]:
        if requested:
            raise UserError(f"Torsions have no conditions, and not {', '.join(requested)}.")
        return self.space(len(generators)), None

    def backbone(self) -> nn.Module:
        numbers = len(self.rotor.torsions) * (2 if self.curved else 1)  # cosine and sine
        return build_backbone(self.config.backbone, channels=numbers, dims=0, conditions={})

    def decode(self, x: Tensor, space: Space) -> list[Tensor]:
        return list(wrapped(x if self.curved else x * REAL).unbind())

    def examples(self, split: str, n: int) -> Samples:
        return Samples(list(self.chosen(split, range(min(n, self.size(split)))).unbind()))

    def evaluate(self, samples: Samples) -> dict[str, Metric]:
        made = torch.stack(list(samples.examples)).double().numpy()
        real = self.chosen("train", range(self.data.n_train)).double().numpy()
        single = np.mean([variation(bins(a), bins(b), BINS) for a, b in zip(made.T, real.T, strict=True)])
        energies, known = (self.rotor.energies(self.rotor.coordinates(each)) for each in (made, real[:4096]))
        return {
            "torsions": Metric(
                float(single), "", "lower", f"Total variation of histograms with {BINS} bins, mean of all torsions."
            ),
            "conformers": Metric(
                variation(basins(made), basins(real), 3 ** made.shape[1]),
                "",
                "lower",
                "Total variation of the joint law of all torsions' thirds: g-, t and g+.",
            ),
            "energy": Metric(
                float(abs(np.median(energies) - np.median(known))),
                "kcal/mol",
                "lower",
                "Difference of the median MMFF94 energy from that of the data.",
            ),
            "strained": Metric(
                float((energies > np.quantile(known, 0.99)).mean()),
                "",
                "lower",
                "Share of conformers with more energy than 99 % of the data.",
            ),
        }

    def show(self, samples: Samples) -> str:
        made, real = (
            torch.stack(list(samples.examples)).numpy(),
            torch.stack(list(self.examples("train", 2000))).numpy(),
        )
        return "".join(curves(a, b) for a, b in zip(made.T, real.T, strict=True))

    def save(self, samples: Samples, directory: Path) -> list[dict[str, Any]]:
        directory.mkdir(parents=True, exist_ok=True)
        names = [f"sample-{i:05d}.sdf" for i in range(len(samples))]
        for name, angles in zip(names, samples.examples, strict=True):
            conformer = self.rotor.conformer(angles.double().numpy())
            (directory / name).write_text(Chem.MolToMolBlock(conformer) + "$$$$\n")
        return [{"file": name} for name in names]

    def describe(self, cond: Mapping[str, Tensor]) -> list[dict[str, Any]]:
        return [{} for _ in next(iter(cond.values()), [])]


def bins(angles: Array, count: int = BINS) -> Array:
    """Return the bins of angles, of so many around the circle."""
    return np.floor((angles + np.pi) / (2 * np.pi) * count).clip(0, count - 1).astype(int)


def basins(angles: Array) -> Array:
    """Return one number for the thirds, around 60, 180 and 300 degrees, of all torsions (B, n)."""
    thirds = np.floor(np.remainder(angles, 2 * np.pi) / (2 * np.pi / 3)).clip(0, 2).astype(int)
    return thirds @ 3 ** np.arange(angles.shape[1])


def variation(a: Array, b: Array, count: int) -> float:
    """Return the total variation between the frequencies of two lists of numbers below `count`."""
    shares = [np.bincount(each, minlength=count) / len(each) for each in (a, b)]
    return float(np.abs(shares[0] - shares[1]).sum() / 2)


def curves(made: Array, real: Array) -> str:
    """Return a picture of the histograms of one torsion, from -180 to 180 degrees: samples as bars, data as a line."""
    shares = [np.bincount(bins(each), minlength=BINS) / len(each) for each in (made, real)]
    high = max(0.05, float(np.max(shares)))
    bars = "".join(
        f'<rect x="{i}" y="{1 - y / high:.4f}" width="0.9" height="{y / high:.4f}" fill="#56b4e9"/>'
        for i, y in enumerate(shares[0])
    )
    line = " ".join(f"{i + 0.45},{1 - y / high:.4f}" for i, y in enumerate(shares[1]))
    style = 'fill="none" stroke="#d55e00" stroke-width="1.5" vector-effect="non-scaling-stroke"'
    return (
        f'<svg viewBox="0 0 {BINS} 1" width="240" height="120" preserveAspectRatio="none" style="margin: 8px">'
        f'{bars}<polyline points="{line}" {style}/></svg>'
    )
