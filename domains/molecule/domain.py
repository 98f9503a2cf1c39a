"""The domain of molecules: atoms in 3-D space, with their elements."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from polydiff.config.processes import register_built_in
from polydiff.contract.abilities import Inspection
from polydiff.contract.backbone import build_backbone
from polydiff.contract.data.identity import digest_of, identity
from polydiff.contract.data.noise_range import suited_to
from polydiff.contract.data.quarantine import Quarantine
from polydiff.contract.data.statistics import check_statistics
from polydiff.contract.domain import DataSamples, Samples
from polydiff.contract.likeness import Nearest
from polydiff.contract.sections.run import Config
from polydiff.contract.tasks.task import Generate, with_task_conditions
from polydiff.core.condition_batch import blank_conditions
from polydiff.core.conditions import ANY, Condition, Conditions, Number
from polydiff.core.space import Batch, Space, State
from polydiff.core.units import Units
from polydiff.domains.molecule.chemistry.composition import COMPOSITION, FORMULA
from polydiff.domains.molecule.chemistry.properties import PROPERTIES
from polydiff.domains.molecule.chemistry.sizes import ATOMS
from polydiff.domains.molecule.codec import Codec
from polydiff.domains.molecule.condition_sampler import ConditionSampler
from polydiff.domains.molecule.conditions import ConditionScaler, evenly_spaced
from polydiff.domains.molecule.config import MoleculeData
from polydiff.domains.molecule.data.dataset import DataSet
from polydiff.domains.molecule.data.described import (
    Column,
    described_columns,
    measured_again,
    rows_of,
)
from polydiff.domains.molecule.data.library import Library
from polydiff.domains.molecule.described import DescribedConditions
from polydiff.domains.molecule.graphs.codec import GraphCodec, check_parts, kekulised
from polydiff.domains.molecule.graphs.masks import part_masks
from polydiff.domains.molecule.graphs.network import graph_network
from polydiff.domains.molecule.metrics.completion import completion_metrics
from polydiff.domains.molecule.metrics.evaluation import Evaluation
from polydiff.domains.molecule.metrics.learned import HELD_OUT, PropertyJudge
from polydiff.domains.molecule.metrics.nearest import Search
from polydiff.domains.molecule.output.exported import PROGRAM, program_values, space_of, space_tensors
from polydiff.domains.molecule.output.output import MoleculeOutput
from polydiff.domains.molecule.output.sdf import write_with_columns
from polydiff.domains.molecule.states import States, check_scales, places_of
from polydiff.domains.molecule.statistics import MoleculeStatistics, codec_by, numbers_of, statistics_of
from polydiff.domains.molecule.tasks import CompleteGraphs, CompletePoints, open_task
from polydiff.metrics.results import Measured, Metric
from polydiff.parts.network import level_conditions
from polydiff.support.errors import UserError


class MoleculeDomain(MoleculeOutput):
    """Molecules: all small organic ones, or those of a file. An example is a `chemistry.geometry.Molecule`.

    The parts of the domain: `dataset` holds the geometries, `condition_set` names the conditions that are numbers,
    `scaler` standardises them, `condition_sampler` draws them, `data_conditions` are those that are text or classes,
    `states` converts between molecules and states, `evaluation` measures samples.

    Arguments:
        config: The run's configuration.
        statistics: {"elements", "frequencies", "scale", "sizes", "means", "stds", "profiles", "principal_std"}, and
            {"conditions", "described"} if some conditions are text or classes; None: measured on the training data. A
            profile is [atoms, numbers ...] of one training geometry.
    """

    def __init__(self, config: Config, statistics: Mapping[str, Any] | None = None) -> None:
        assert isinstance(config.data, MoleculeData)
        check_parts(config) if config.data.bonded else check_scales(config)
        if statistics is not None:
            check_statistics(MoleculeStatistics, statistics)
        self.config, self.data, self.dataset = config, config.data, DataSet(config.data)
        self.measured_here = statistics is None
        found = statistics_of(self.data, self.dataset) if statistics is None else statistics
        self.statistics: Mapping[str, Any] = dict(found)
        self.data_conditions = DescribedConditions.of(self.statistics)
        self.condition_set = numbers_of(self.data, self.statistics, self.data_conditions.fields)
        if len(self.statistics["means"]) != len(self.condition_set.names):
            raise ValueError(
                f"means has {len(self.statistics['means'])} numbers for {len(self.condition_set.names)} conditions"
            )
        self.scaler = ConditionScaler(self.condition_set, self.statistics)
        self.condition_sampler = ConditionSampler(
            self.condition_set, self.statistics, tuple(self.data_conditions.fields)
        )
        self.codec = codec_by(self.data, self.statistics)
        self.task = open_task(config, self.codec)
        kinds = {**dict.fromkeys(self.condition_set.network_names, Number()), **self.data_conditions.kinds}
        self.conditions: Conditions = with_task_conditions(kinds, self.task)
        sizes = self.statistics.get("sizes")
        self.states = States(self.data, self.codec, self.scaler, self.condition_sampler, self.conditions, sizes)
        self.evaluation = Evaluation(self.dataset, self.scaler)

    @cached_property
    def columns(self) -> Mapping[str, Column]:
        """The columns of the conditions that are text or classes, which must mean what they did in training."""
        fields = self.data_conditions.fields
        found = described_columns(self.data, self.dataset.library) if fields else {}
        if not fields or self.measured_here:
            return found
        self.data_conditions.warn_of_unknown(measured_again(self.data, found, fields, self.dataset.splits))
        return found

    def suited(self, free: Collection[str]) -> Mapping[str, Any]:
        """Return the noise range that the molecules need (`polydiff.contract.abilities.SuitsData`)."""
        return suited_to(self.config, self.statistics, free)

    @property
    def quarantine(self) -> Quarantine | None:
        """How many molecules the data hold and which are excluded; None if the molecules are enumerated."""
        return self.dataset.quarantine

    @staticmethod
    def inspect(config: Config, set_keys: Collection[str]) -> Inspection:
        """Return a summary of files of molecules (`polydiff.contract.abilities.Inspects`)."""
        from polydiff.domains.molecule.data.inspect import inspect_molecules

        return inspect_molecules(config, set_keys)

    @property
    def together(self) -> Sequence[str]:
        return () if self.condition_set.given else self.condition_set.symbols

    def size(self, split: str) -> int:
        return len(self.dataset.splits[split])

    def identity(self, split: str) -> dict[str, Any]:
        """Return SMILES and digests of the geometries of a split (`polydiff.contract.abilities.HasIdentity`).

        Geometries of the enumerated molecules are computed on each machine, so only their SMILES count.
        """
        part = self.dataset.splits[split]
        if self.quarantine is None:
            return {"count": len(part), "names": digest_of(part.smiles)}
        rows = rows_of(self.columns, part)
        contents = (
            f"{one} {sorted(row.items())}" if row else one for one, row in zip(part.digests(), rows, strict=True)
        )
        return identity(zip(part.smiles, contents, strict=True))

    def sizes(self, split: str) -> NDArray[Any]:
        return self.dataset.splits[split].sizes

    def batch(self, split: str, indices: Sequence[int], generators: Sequence[torch.Generator]) -> Batch:
        part = self.dataset.splits[split]
        if isinstance(self.codec, GraphCodec):
            molecules = [kekulised(part, i, generator) for i, generator in zip(indices, generators, strict=True)]
        else:
            molecules = [part[i] for i in indices]
        x, space = self.codec.encode(molecules)
        cond = self.measured(part, indices)
        if isinstance(self.task, CompletePoints | CompleteGraphs):
            cond = {**(cond or {}), **self.task.observe(molecules, x, space, generators)}
        return Batch(x, space, cond)

    def measured(self, part: Library, indices: Sequence[int]) -> Condition | None:
        """Return the conditions of geometries of the data set, numbers standardised."""
        numbers = self.scaler.standardise(torch.from_numpy(self.condition_set.values(part, indices)))
        if not self.columns:
            return numbers
        return {**(numbers or {}), **self.data_conditions.encode(rows_of(self.columns, part, list(indices)))}

    def blank(
        self, generators: Sequence[torch.Generator], requested: Mapping[str, str]
    ) -> tuple[Space, Condition | None]:
        fields = self.data_conditions.fields
        texts = {name: value for name, value in requested.items() if name in fields}
        numbers = {name: value for name, value in requested.items() if name not in fields}
        wanted, like = self.data_conditions.requested(texts, len(generators)), self.data_conditions.like(texts)
        sizes, values, places = self.condition_sampler.draw_profiles(generators, numbers, like)
        exact = self.condition_set.composed(numbers)
        space, cond = self.states.space_and_conditions(sizes, values, exact)
        unknown = blank_conditions(self.task.conditions, len(generators), places_of(space))
        return space, {**(cond or {}), **self.data_conditions.at(places), **wanted, **unknown} or None

    def backbone(self) -> nn.Module:
        if isinstance(self.codec, GraphCodec):
            register_built_in()
            levels = level_conditions(self.config)
            return graph_network(self.config.backbone, self.codec, self.conditions, levels)
        return build_backbone(self.config.backbone, channels=self.codec.features, dims=3, conditions=self.conditions)

    def read(self, paths: Sequence[Path]) -> Batch:
        """Return a user's own molecules or fragments, with null conditions (`polydiff.contract.abilities.Reads`)."""
        return self.states.read(paths)

    def read_degraded(self, paths: Sequence[Path], degrade: bool = False) -> Batch:
        """Raise UserError: the task reads no files (`polydiff.contract.abilities.Restores`)."""
        raise UserError(f"task={getattr(self.config, 'task', 'generate')} reads no files of another form.")

    def region(self, text: str, given: Batch) -> Tensor:
        """Return which atoms a SMARTS pattern or atom numbers select (`polydiff.contract.abilities.HasRegions`)."""
        return self.states.region(text, given)

    def part_masks(self, known: Tensor, given: Batch) -> Mapping[str, Tensor] | None:
        """Return known atoms as masks of the parts, None without (`polydiff.contract.abilities.HasPartMasks`)."""
        return part_masks(known, given.space) if self.data.bonded else None

    def grown(
        self, given: Batch, mask: Tensor, add: str, generators: Sequence[torch.Generator]
    ) -> tuple[Batch, Tensor]:
        """Return molecules with added atoms and the mask of known values (`polydiff.contract.abilities.Grows`)."""
        return self.states.grown(given, mask, add, generators)

    def units(self, x: State, space: Space) -> Units:
        return self.states.units(x, space)

    def decode(self, x: State, space: Space) -> list[Any]:
        return list(self.codec.decode(x, space))

    def examples(self, split: str, n: int) -> Samples:
        part = self.dataset.splits[split]
        indices = evenly_spaced(len(part), n)
        return DataSamples([part[i] for i in indices], self.measured(part, indices))

    def evaluate(self, samples: Samples) -> dict[str, Metric]:
        return self.evaluation.evaluate(samples)

    def compare(self, samples: Samples, truth: Samples) -> dict[str, Metric]:
        """Return how far samples are from true molecules (`polydiff.contract.abilities.Compares`)."""
        if isinstance(self.task, Generate):
            return self.evaluation.compare(samples, truth)
        return completion_metrics(self.read_all(samples.examples), self.read_all(truth.examples))

    def measures(self, samples: Samples) -> Mapping[str, Measured]:
        return self.evaluation.measures(samples)

    @cached_property
    def search(self) -> Search:
        """The search for the nearest training molecule."""
        return Search.of(*(self.dataset.splits[split].smiles for split in ("train", "test")))

    def nearest(self, samples: Samples) -> Nearest:
        """Return the nearest training molecules (`polydiff.contract.likeness.FindsNearest`)."""
        found = [self.search.find(one.key) for one in self.read_all(samples.examples)]
        train, numbers = self.dataset.splits["train"], [number for number, _ in found]
        examples = DataSamples([train[i] for i in numbers], self.measured(train, numbers))
        what = "the share of fragments that two molecules do not have in common (1 - Tanimoto similarity)"
        return Nearest(examples, [distance for _, distance in found], self.search.typical, what)

    @property
    def class_condition(self) -> str:
        return ""

    def write_data(self, samples: Samples, directory: Path) -> list[dict[str, Any]]:
        """Write .sdf files with the conditions that come from columns (`polydiff.contract.data.augmenting.WritesData`).

        Properties that RDKit computes are left out: whoever reads the files computes them of the molecules.
        """
        computed = {*PROPERTIES, COMPOSITION, ATOMS, FORMULA, *self.condition_set.symbols}
        rows = [
            {name: value for name, value in row.items() if name not in computed and value != ANY}
            for row in self.described(samples)
        ]
        return write_with_columns(self.read_all(samples.examples), rows, directory)

    @cached_property
    def property_judge(self) -> PropertyJudge:
        """Judges molecules by what a regression learns from them, on held-out ones."""
        return PropertyJudge(self.scaler, self.examples("test", HELD_OUT))

    better = "lower"
    plain_augmentation = ""  # fragments stay the same when a molecule is turned, moved or bent

    @property
    def learns(self) -> str:
        return self.property_judge.learns

    def read_data(self, paths: Sequence[Path], conditions: Sequence[Mapping[str, Any]]) -> Samples:
        return Samples(self.states.molecules(paths), self.scaler.encode(conditions))

    def learned(self, sets: Sequence[Samples], seed: int, augmented: bool) -> float:
        """Return the error of a regression trained on molecules (`polydiff.contract.data.augmenting.JudgesData`)."""
        return self.property_judge.error(sets, seed)

    def exported_program(self) -> tuple[Path, Mapping[str, Any]]:
        """Return a program that draws molecules without polydiff (`polydiff.export.deploys.HasProgram`)."""
        assert isinstance(self.codec, Codec)
        values = program_values(self.codec, self.condition_set, self.statistics, self.data_conditions.fields)
        return PROGRAM, values

    def space_tensors(self, space: Space) -> dict[str, Tensor]:
        """Return the mask of atoms, and elements that are given (`polydiff.export.deploys.HasSpaceTensors`)."""
        return space_tensors(space)

    def space_of(self, tensors: Mapping[str, Tensor]) -> Space:
        assert isinstance(self.codec, Codec)
        return space_of(tensors, self.codec.features)
