"""Molecules as a domain: atoms in space, with their elements."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from rdkit import Chem
from torch import Tensor, nn

from polydiff.abilities import Measured, Units
from polydiff.condition_batch import blank_conditions
from polydiff.conditions import Conditions, Number
from polydiff.config import Config
from polydiff.domain import Metric, Samples
from polydiff.domains.molecule import metrics
from polydiff.domains.molecule.asking import Asking, Wishes, spread
from polydiff.domains.molecule.codec import Codec
from polydiff.domains.molecule.composition import composition_metrics, symbols
from polydiff.domains.molecule.config import MoleculeData
from polydiff.domains.molecule.data import Library, open_library, quarantine_of, universe
from polydiff.domains.molecule.given import further, longer, named, read_molecules
from polydiff.domains.molecule.judge import Findings, Judged, examine, known_shapes, looked_at
from polydiff.domains.molecule.library import split
from polydiff.domains.molecule.metrics import Reference
from polydiff.domains.molecule.perceive import cloud, finite, formula
from polydiff.domains.molecule.properties import PROPERTIES
from polydiff.domains.molecule.show import SHOWN, script, show
from polydiff.domains.molecule.sizes import FARTHEST, check_atoms, size_nats
from polydiff.domains.molecule.space import DenseMolecules, PackedMolecules
from polydiff.errors import UserError
from polydiff.inspection import Inspection
from polydiff.plugins import build_backbone
from polydiff.quarantine import Quarantine
from polydiff.schedule import SCHEDULES
from polydiff.space import Batch, Condition, Space, State

SHAPES = 1000
"""Training geometries whose bonds and angles those of samples are compared with."""


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
        self.statistics: Mapping[str, Any] = dict(statistics) if statistics is not None else self.measure()
        self.asking = Asking.of(self.data.conditions, self.statistics["elements"], self.data.types == "given")
        self.wishes = Wishes(self.asking, self.statistics)
        self.conditions: Conditions = dict.fromkeys(self.asking.conditions, Number())
        self.codec = Codec(
            tuple(self.statistics["elements"]),
            tuple(self.statistics["frequencies"]),
            self.statistics["scale"],
            self.data.type_scale,
            number_scale=self.data.number_scale,
            centred=self.data.centred,
            packed=self.data.layout == "sparse",
            pad_to=self.data.pad_to,
            given=self.asking.given,
        )
        self.judged: list[tuple[Samples, list[Findings]]] = []

    @cached_property
    def library(self) -> Library:
        """The data set, read or computed on first use."""
        return open_library(self.data)

    @cached_property
    def splits(self) -> dict[str, Library]:
        """What is trained on and what is held out."""
        return split(self.library, self.data.test_share)

    @property
    def quarantine(self) -> Quarantine | None:
        """What was found in the data and what of it is left out; None where molecules are enumerated."""
        return (
            None if self.data.name == "organic" else quarantine_of(self.library, str(self.data.path or self.data.name))
        )

    @staticmethod
    def inspect(config: Config, said: Collection[str]) -> Inspection:
        """Return what files of molecules hold (`polydiff.inspection.Inspects`)."""
        from polydiff.domains.molecule.inspect import inspect_molecules

        assert isinstance(config.data, MoleculeData)
        return inspect_molecules(config.data, said)

    @cached_property
    def reference(self) -> Reference:
        """What samples are compared with."""
        whole = frozenset(universe(self.data.max_heavy)) if self.data.name == "organic" else frozenset[str]()
        train, test = self.splits["train"], self.splits["test"]
        lengths, angles = known_shapes([train[i] for i in spread(len(train), SHAPES)])
        return Reference(frozenset(train.smiles), frozenset(test.smiles), whole, lengths, angles)

    def findings(self, samples: Samples) -> list[Findings]:
        """Return what judges find in samples; of the samples before, they are still known."""
        for seen, found in self.judged:
            if seen is samples:
                return found
        self.judged = [*self.judged[-2:], (samples, examine(samples.examples))]
        return self.judged[-1][1]

    def measure(self) -> dict[str, Any]:
        """Return the statistics of the training geometries."""
        train = self.splits["train"]
        found = Codec.measure(train) | ({} if self.data.scale is None else {"scale": self.data.scale})
        return found | Asking.of(self.data.conditions, found["elements"], self.data.types == "given").measure(train)

    @property
    def together(self) -> Sequence[str]:
        return () if self.asking.given else self.asking.symbols

    def size(self, split: str) -> int:
        return len(self.splits[split])

    def sizes(self, split: str) -> NDArray[Any]:
        return self.splits[split].sizes

    def batch(self, split: str, indices: Sequence[int], generators: Sequence[torch.Generator]) -> Batch:
        part = self.splits[split]
        x, space = self.codec.encode([part[i] for i in indices])
        return Batch(x, space, self.measured(part, indices))

    def measured(self, part: Library, indices: Sequence[int]) -> Condition | None:
        """Return the conditions that geometries are of, as RDKit measures them."""
        return self.wishes.cond(torch.from_numpy(self.asking.values(part, indices)))

    def blank(self, generators: Sequence[torch.Generator], asked: Mapping[str, str]) -> tuple[Space, Condition | None]:
        return self.placed(*self.wishes.draw(generators, asked))

    def placed(self, sizes: Tensor, values: Tensor) -> tuple[Space, Condition | None]:
        """Return where molecules of these sizes (B,) live, and conditions (B, C) as the network is told them."""
        numbers = self.asking.spelled(values) if self.asking.given else None
        return self.codec.space(sizes, numbers), self.wishes.cond(values)

    def backbone(self) -> nn.Module:
        return build_backbone(self.config.backbone, channels=self.codec.features, dims=3, conditions=self.conditions)

    def read(self, paths: Sequence[Path]) -> Batch:
        """Return the user's own molecules, whole or in part, nothing asked of them (`polydiff.abilities.Reads`)."""
        known, most = symbols(self.codec.elements), FARTHEST * self.wishes.largest
        x, space = self.codec.encode(read_molecules(paths, self.data, known, most))
        return Batch(x, space, blank_conditions(self.conditions, space.batch, ()) or None)

    def region(self, text: str, given: Batch) -> Tensor:
        """Return which atoms a SMARTS pattern or numbers name in each molecule (`polydiff.abilities.HasRegions`)."""
        assert isinstance(given.space, DenseMolecules | PackedMolecules)
        chosen = np.concatenate([named(text, molecule) for molecule in self.codec.decode(given.x, given.space)])
        return self.codec.laid_out(torch.from_numpy(chosen)[:, None], given.space)

    def grown(
        self, given: Batch, mask: Tensor, add: str, generators: Sequence[torch.Generator]
    ) -> tuple[Batch, Tensor]:
        """Return molecules with further atoms behind their own, whose places are open (`polydiff.abilities.Grows`).

        Which elements they are is known where they are named, or given by the space: as in training, then. What the
        molecules were is not told of the larger ones.
        """
        x, space, _ = given
        assert isinstance(space, DenseMolecules | PackedMolecules)
        count, counts = further(add, self.codec.elements)
        check_atoms(int(space.sizes.max()) + count, self.wishes.largest)
        molecules = self.codec.decode(x, space)
        if counts is None and self.asking.given:
            new = [self.wishes.further(m, count, g) for m, g in zip(molecules, generators, strict=True)]
        else:  # where only their number is known, those of any element hold their place
            places = {self.codec.elements[0]: count} if counts is None else counts
            new = [[z for z, n in places.items() for _ in range(n)]] * len(molecules)
        y, larger = self.codec.encode([longer(m, numbers) for m, numbers in zip(molecules, new, strict=True)])
        fresh = torch.full((count, y.shape[-1]), counts is not None)
        fresh[:, :3] = False
        known = [torch.cat([rows, fresh]) for rows in self.codec.rows(mask.to(torch.bool).expand(x.shape), space)]
        nothing = blank_conditions(self.conditions, space.batch, ()) or None
        return Batch(y, larger, nothing), self.codec.laid_out(torch.cat(known), larger)

    def units(self, x: State, space: Space) -> Units:
        units, counts = self.codec.units(x, space), self.statistics.get("sizes")
        assert isinstance(space, DenseMolecules | PackedMolecules)
        return units if counts is None or self.asking.given else units._replace(size=size_nats(space.sizes, counts))

    def decode(self, x: State, space: Space) -> list[Any]:
        return list(self.codec.decode(x, space))

    def examples(self, split: str, n: int) -> Samples:
        part = self.splits[split]
        indices = spread(len(part), n)
        return Samples([part[i] for i in indices], self.measured(part, indices))

    def evaluate(self, samples: Samples) -> dict[str, Metric]:
        asked = {} if samples.cond is None else self.wishes.physical(samples.cond)
        properties = {name: asked[name] for name in self.asking.measured if name in asked}
        found = metrics.judge(self.findings(samples), self.reference, properties)
        if self.asking.given or not (asked and self.asking.elements):
            return found
        atoms = np.array([asked[symbol] for symbol in self.asking.symbols]).T
        return found | composition_metrics(samples.examples, atoms, self.asking.elements)

    def measures(self, samples: Samples) -> Mapping[str, Measured]:
        asked = {} if samples.cond is None else self.wishes.physical(samples.cond)
        first = [name for name in self.asking.measured if name in asked]
        return {
            name: Measured(
                [one.properties[name] for one in self.findings(samples)],
                asked.get(name, []),
                PROPERTIES[name].unit,
                PROPERTIES[name].meaning,
            )
            for name in dict.fromkeys([*first, *PROPERTIES])
        }

    def show(self, samples: Samples) -> str:
        shown = samples.head(SHOWN)
        return show(looked_at(shown.examples), [self.wishes.caption(words) for words in self.words(shown)])

    def scripts(self) -> Mapping[str, str]:
        return {"molecules.js": script()}

    def save(self, samples: Samples, directory: Path) -> list[dict[str, Any]]:
        directory.mkdir(parents=True, exist_ok=True)
        entries = []
        for i, (one, words) in enumerate(zip(looked_at(samples.examples), self.words(samples), strict=True)):
            name = f"sample-{i:05d}.sdf"
            (directory / name).write_text(record(one), encoding="utf-8")
            valid = {"smiles": one.smiles, "formula": formula(one.molecule), "valid": one.mol is not None}
            entries.append({"file": name, **valid, **words})
        return entries

    def archive(self, samples: Samples) -> Mapping[str, NDArray[Any] | str]:
        return {"samples.sdf": "".join(map(record, looked_at(samples.examples)))}

    def words(self, samples: Samples) -> list[dict[str, Any]]:
        """Return the conditions of samples in the user's words, {} for each where there are none."""
        return [{} for _ in samples.examples] if samples.cond is None else self.describe(samples.cond)

    def describe(self, cond: Condition) -> list[dict[str, Any]]:
        return self.wishes.describe(cond)


def record(one: Judged) -> str:
    """Return a molecule's record in a .sdf: with bonds where it has them, else its atoms alone.

    Raises:
        UserError: An atom is nowhere, which no file can hold.
    """
    if not finite(one.molecule):
        raise UserError(f"{formula(one.molecule)} has positions that are not finite, so it cannot be written.")
    block = Chem.MolToMolBlock(cloud(one.molecule) if one.mol is None else one.mol, kekulize=one.mol is not None)
    return f"{block}$$$$\n"


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
