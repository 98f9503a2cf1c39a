"""Molecules as a domain: atoms in space, with their elements."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from rdkit import Chem
from torch import Tensor, nn

from polydiff.conditions import Conditions
from polydiff.config import Config
from polydiff.domain import Metric, Samples, Units
from polydiff.domains.molecule import metrics
from polydiff.domains.molecule.codec import Codec
from polydiff.domains.molecule.config import MoleculeData
from polydiff.domains.molecule.data import Library, open_library, split, universe
from polydiff.domains.molecule.geometry import Molecule
from polydiff.domains.molecule.metrics import Judged, Reference
from polydiff.domains.molecule.perceive import cloud, formula
from polydiff.domains.molecule.properties import PROPERTIES
from polydiff.domains.molecule.show import SHOWN, show
from polydiff.domains.molecule.sizes import ATOMS, check_atoms, size_nats
from polydiff.domains.molecule.space import DenseMolecules, PackedMolecules
from polydiff.errors import UserError, unknown
from polydiff.plugins import build_backbone
from polydiff.schedule import SCHEDULES
from polydiff.space import Batch, Condition, Space, State

PROFILES = 2000
"""Most training geometries whose size and properties are kept, to draw new ones like them."""
NEAR = 32
"""Training geometries nearest to what is asked for, among which all that is not asked for is drawn."""


class MoleculeDomain:
    """Molecules: all small organic ones, or those of a file. An example is a `geometry.Molecule`.

    Arguments:
        config: The run's configuration.
        statistics: {"elements", "frequencies", "scale", "sizes", "means", "stds", "profiles"}; None: measured on the
            training data. A profile is [atoms, properties ...] of one training geometry.
    """

    def __init__(self, config: Config, statistics: Mapping[str, Any] | None = None) -> None:
        assert isinstance(config.data, MoleculeData)
        check_scales(config)
        self.config, self.data = config, config.data
        self.names = tuple(self.data.conditions)
        self.conditions: Conditions = dict.fromkeys(self.names, 0)
        self.statistics: Mapping[str, Any] = dict(statistics) if statistics is not None else self.measure()
        self.codec = Codec(
            tuple(self.statistics["elements"]),
            tuple(self.statistics["frequencies"]),
            self.statistics["scale"],
            self.data.type_scale,
            number_scale=self.data.number_scale,
            centred=self.data.centred,
            packed=self.data.layout == "sparse",
            pad_to=self.data.pad_to,
        )
        self.profiles = torch.tensor(self.statistics["profiles"], dtype=torch.float64)

    @cached_property
    def splits(self) -> dict[str, Library]:
        """The data set, read or computed on first use."""
        return split(open_library(self.data), self.data.test_share)

    @cached_property
    def reference(self) -> Reference:
        """What samples are compared with."""
        whole = frozenset(universe(self.data.max_heavy)) if self.data.name == "organic" else frozenset[str]()
        return Reference(frozenset(self.splits["train"].smiles), frozenset(self.splits["test"].smiles), whole)

    def measure(self) -> dict[str, Any]:
        """Return the statistics of the training geometries."""
        train = self.splits["train"]
        values = {name: train.column(name).astype(np.float64) for name in self.names}
        chosen = spread(len(train), PROFILES)
        columns = [train.sizes[chosen], *(values[name][chosen] for name in self.names)]
        scale = {} if self.data.scale is None else {"scale": self.data.scale}
        return {
            **Codec.measure(train),
            **scale,
            "means": [float(v.mean()) for v in values.values()],
            "stds": [deviation(v) for v in values.values()],
            "profiles": [[float(f"{number:.5g}") for number in row] for row in zip(*columns, strict=True)],
        }

    def size(self, split: str) -> int:
        return len(self.splits[split])

    def batch(self, split: str, indices: Sequence[int], generators: Sequence[torch.Generator]) -> Batch:
        part = self.splits[split]
        x, space = self.codec.encode([part[i] for i in indices])
        return Batch(x, space, self.cond(self.measured(part, indices)))

    def measured(self, part: Library, indices: Sequence[int]) -> Tensor:
        """Return the conditions' properties of geometries in their units (B, C)."""
        columns = [list(PROPERTIES).index(name) for name in self.names]
        return torch.from_numpy(part.properties[np.ix_(list(indices), columns)])

    def cond(self, values: Tensor) -> dict[str, Tensor] | None:
        """Return properties (B, C) in their units as the domain's conditions, standardised."""
        if not self.names:
            return None
        means, stds = (torch.tensor(self.statistics[key], dtype=torch.float64) for key in ("means", "stds"))
        return dict(zip(self.names, ((values - means) / stds).float().unbind(1), strict=True))

    def physical(self, cond: Condition) -> dict[str, list[float]]:
        """Return conditions in their units; NaN where nothing was asked for."""
        numbers = zip(self.names, self.statistics["means"], self.statistics["stds"], strict=True)
        return {name: (mean + std * cond[name].double()).tolist() for name, mean, std in numbers}

    def blank(self, generators: Sequence[torch.Generator], asked: Mapping[str, str]) -> tuple[Space, Condition | None]:
        words = (ATOMS, *self.names)
        wanted = {words.index(name): number(name, text) for name, text in asked.items() if name in words}
        for name in asked:
            if name not in words:
                hint = f"It can be made one by training with data.conditions=[{name}]." if name in PROPERTIES else ""
                raise unknown("condition", name, words, hint)
        check_atoms(wanted.get(0, 1), int(self.profiles[:, 0].max()))
        candidates = self.candidates({column: value for column, value in wanted.items() if not math.isnan(value)})
        drawn = [int(torch.randint(len(candidates), (), generator=g)) for g in generators]
        rows = candidates[drawn]
        for column, value in wanted.items():
            rows[:, column] = value
        return self.codec.space(rows[:, 0].long()), self.cond(rows[:, 1:])

    def candidates(self, wanted: Mapping[int, float]) -> Tensor:
        """Return the profiles (n, 1 + C) to draw from: all, or those nearest to the numbers wanted of some columns."""
        if not wanted:
            return self.profiles
        columns, values = list(wanted), torch.tensor(list(wanted.values()), dtype=torch.float64)
        deviation = self.profiles.std(0, correction=0).clamp(min=1e-9)
        distance = ((self.profiles[:, columns] - values) / deviation[columns]).square().sum(1)
        return self.profiles[distance.argsort(stable=True)[:NEAR]]

    def backbone(self) -> nn.Module:
        return build_backbone(self.config.backbone, channels=self.codec.features, dims=3, conditions=self.conditions)

    def units(self, x: State, space: Space) -> Units:
        units, counts = self.codec.units(x, space), self.statistics.get("sizes")
        assert isinstance(space, DenseMolecules | PackedMolecules)
        return units if counts is None else units._replace(size=size_nats(space.sizes, counts))

    def decode(self, x: State, space: Space) -> list[Any]:
        return list(self.codec.decode(x, space))

    def examples(self, split: str, n: int) -> Samples:
        part = self.splits[split]
        indices = spread(len(part), n)
        return Samples([part[i] for i in indices], self.cond(self.measured(part, indices)))

    def evaluate(self, samples: Samples) -> dict[str, Metric]:
        judged = [Judged.of(molecule) for molecule in samples.examples]
        asked = {} if samples.cond is None else self.physical(samples.cond)
        return (
            metrics.graph_metrics(judged, self.reference)
            | metrics.space_metrics(judged)
            | metrics.property_metrics(judged, asked)
        )

    def show(self, samples: Samples) -> str:
        shown = samples.head(SHOWN)
        captions = [", ".join(f"{name} {value}" for name, value in words.items()) for words in self.words(shown)]
        return show([Judged.of(molecule) for molecule in shown.examples], captions)

    def save(self, samples: Samples, directory: Path) -> list[dict[str, Any]]:
        directory.mkdir(parents=True, exist_ok=True)
        entries = []
        for i, (molecule, words) in enumerate(zip(samples.examples, self.words(samples), strict=True)):
            name, one = f"sample-{i:05d}.sdf", Judged.of(molecule)
            (directory / name).write_text(record(one, molecule), encoding="utf-8")
            valid = {"smiles": one.smiles, "formula": formula(molecule), "valid": one.mol is not None}
            entries.append({"file": name, **valid, **words})
        return entries

    def archive(self, samples: Samples) -> Mapping[str, NDArray[Any] | str]:
        return {"samples.sdf": "".join(record(Judged.of(molecule), molecule) for molecule in samples.examples)}

    def words(self, samples: Samples) -> list[dict[str, Any]]:
        """Return the conditions of samples in the user's words, {} for each where there are none."""
        return [{} for _ in samples.examples] if samples.cond is None else self.describe(samples.cond)

    def describe(self, cond: Condition) -> list[dict[str, Any]]:
        columns = self.physical(cond)
        rows = zip(*columns.values(), strict=True)
        return [
            {name: "any" if math.isnan(value) else round(value, 3) for name, value in zip(columns, row, strict=True)}
            for row in rows
        ]


def record(one: Judged, molecule: Molecule) -> str:
    """Return a molecule's record in a .sdf: with bonds where it has them, else its atoms alone."""
    block = Chem.MolToMolBlock(cloud(molecule) if one.mol is None else one.mol, kekulize=one.mol is not None)
    return f"{block}$$$$\n"


def spread(size: int, n: int) -> list[int]:
    """Return min(n, size) indices, spread evenly."""
    n = min(n, size)
    return [i * size // n for i in range(n)]


def check_scales(config: Config) -> None:
    """Refuse features that the lowest noise level, of which 8 standard deviations must fit into one, would blur."""
    assert isinstance(config.data, MoleculeData)
    lowest = SCHEDULES[config.schedule](**config.schedule_options).sigma_min
    for key in ("type_scale", "number_scale"):
        scale = getattr(config.data, key)
        if scale and 8 * lowest >= scale:
            raise UserError(
                f"data.{key}={scale:g} cannot be read back: the schedule's lowest noise level is {lowest:.3g}, and 8 "
                "times that must be less. Make it larger, or the schedule's lowest level smaller."
            )


def deviation(values: np.ndarray) -> float:
    """Return the standard deviation, or 1 of what is constant but for rounding."""
    found = float(values.std())
    return found if found > 1e-6 * max(1.0, float(np.abs(values).max())) else 1.0


def number(name: str, text: str) -> float:
    """Return the number that a user asks for, NaN for "any"; of atoms, a whole one above 0."""
    if text == "any" and name != ATOMS:
        return math.nan
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value) or (name == ATOMS and (value < 1 or value != int(value))):
        kind = "a whole number of at least 1" if name == ATOMS else "a number"
        raise UserError(f"{name}={text}: {name} must be {kind}.")
    return value
