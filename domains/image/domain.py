"""Images as a domain: squares in R^(C x S x S)."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from polydiff.config.processes import LETTERS, states_of
from polydiff.contract.abilities import Inspection
from polydiff.contract.conditions.data_conditions import DataConditions
from polydiff.contract.data.columns import LABEL, read_vectors
from polydiff.contract.data.identity import embedded_identity, identity
from polydiff.contract.data.noise_range import suited_to
from polydiff.contract.data.quarantine import Quarantine
from polydiff.contract.data.statistics import check_statistics
from polydiff.contract.domain import Samples
from polydiff.contract.likeness import Nearest
from polydiff.contract.sections.run import Config
from polydiff.contract.tasks.task import with_task_conditions
from polydiff.core.condition_batch import blank_conditions
from polydiff.core.conditions import ANY, Condition, Conditions
from polydiff.core.space import Batch, Measurement, Space, State
from polydiff.core.units import Units
from polydiff.domains.image.codec import Standardise
from polydiff.domains.image.config import ImageConfig
from polydiff.domains.image.data.inputs import read_mask, region
from polydiff.domains.image.data.inspect import inspect_images
from polydiff.domains.image.data.shapes import Pictures
from polydiff.domains.image.data.source import Source, Split, check_restored, open_source
from polydiff.domains.image.data.warp import training_images
from polydiff.domains.image.following import follow
from polydiff.domains.image.greys import check_greys, greys_of
from polydiff.domains.image.measurements import examples_for, measurement, read_measured
from polydiff.domains.image.metrics.evaluation import Evaluation
from polydiff.domains.image.metrics.learned import CHANGES, accuracy
from polydiff.domains.image.metrics.pairs import pair_metrics
from polydiff.domains.image.network import HIGH
from polydiff.domains.image.show import CONVERTERS, archive, save, show, with_weights
from polydiff.domains.image.states import States
from polydiff.domains.image.statistics import ImageStatistics, fields_in, measured
from polydiff.domains.image.tasks import open_task
from polydiff.metrics.results import Confusion, Metric

PROGRAM = Path(__file__).with_name("program.py")


class Image:
    """Images: handwritten digits, or a folder of files. An example is a tensor uint8 (C, S, S).

    Arguments:
        config: The run's configuration.
        statistics: {"mean", "std", "conditions", "principal_std"}; None: measured on training images.
    """

    def __init__(self, config: Config, statistics: Mapping[str, Any] | None = None) -> None:
        assert isinstance(config, ImageConfig)
        self.config, self.data = config, config.data
        if statistics:
            check_statistics(ImageStatistics, statistics)
        self.statistics: Mapping[str, Any] = dict(statistics or {})
        self.letters = states_of(config) == LETTERS
        check_greys(config, self.letters)
        self.statistics = self.statistics or measured(self.source, self.data, self.letters)
        self.codec = Standardise(tuple(self.statistics["mean"]), self.statistics["std"])
        self.greys = greys_of(self.data, self.statistics) if self.letters else None
        if len(self.codec.mean) != self.data.planes:
            raise ValueError(f"mean has {len(self.codec.mean)} numbers, but images have {self.data.planes} channels")
        self.data_conditions = DataConditions(fields_in(self.statistics), self.statistics.get("profiles", {}))
        self.task = open_task(config, self.codec, self.greys)
        self.conditions: Conditions = with_task_conditions(self.data_conditions.kinds, self.task)
        self.states = States(config, self.codec, self.task, self.greys)

    @cached_property
    def source(self) -> Source:
        """The data set, read on first use."""
        source = open_source(self.data)
        if not self.statistics:
            return source
        check_restored(source, self.data, self.data_conditions.fields, self.names)
        self.data_conditions.warn_of_unknown(source.fields)
        return source

    @property
    def names(self) -> list[str]:
        """Names of the classes; [] if there are none."""
        return list(self.data_conditions.class_names(LABEL))

    @property
    def quarantine(self) -> Quarantine | None:
        """How many images were found and which are excluded; None for an embedded set."""
        return self.source.quarantine

    @cached_property
    def evaluation(self) -> Evaluation:
        """The judge, and the data with which samples are compared."""
        return Evaluation(self.source, self.data, self.data_conditions)

    @staticmethod
    def inspect(config: Config, set_keys: Collection[str]) -> Inspection:
        """Inspect a folder of images (`polydiff.contract.abilities.Inspects`)."""
        assert isinstance(config, ImageConfig)
        return inspect_images(config, set_keys, lambda: Image(config))

    def suited(self, free: Collection[str]) -> Mapping[str, Any]:
        """Return the noise levels that the images need (`polydiff.contract.abilities.SuitsData`)."""
        return {} if self.letters else suited_to(self.config, self.statistics, free, HIGH)

    def size(self, split: str) -> int:
        return len(self.source.splits[split])

    def identity(self, split: str) -> dict[str, Any]:
        """Return names and digests of images and conditions (`polydiff.contract.abilities.HasIdentity`)."""
        part = self.source.splits[split]
        if part.names:
            return identity(zip(part.names, part.digests(), strict=True))
        made = f" {self.data.things} {self.data.partial}" if self.data.name == "shapes" else ""
        choice = f" {self.data.per_class} {self.data.subset}" if self.data.per_class and split == "train" else ""
        return embedded_identity(f"{self.data.name}{made}{choice}", len(part))

    def batch(self, split: str, indices: Sequence[int], generators: Sequence[torch.Generator]) -> Batch:
        part = self.source.splits[split]
        if split == "train" and self.data.augments:
            images, changes = training_images(part, indices, self.data, generators)
        else:
            images, changes = part.centred(indices), {}
        metadata = {**(self.cond(part, indices) or {}), **changes}
        return self.states.batch(images, metadata, generators, split == "train")

    def read(self, paths: Sequence[Path]) -> Batch:
        """Return the middle squares of files as clean states (`polydiff.contract.abilities.Reads`)."""
        return self.states.read(paths, self.conditions)

    def read_degraded(self, paths: Sequence[Path], degrade: bool = False) -> Batch:
        """Return whole images, reduced first or not, as the network's condition (`contract.abilities.Restores`)."""
        return self.states.read_degraded(paths, self.conditions, degrade)

    @property
    def together(self) -> Sequence[str]:
        """The small image and the level of its noise (`polydiff.contract.abilities.TellsTogether`)."""
        return tuple(self.task.conditions)

    def follow(self, samples: Samples, generators: Sequence[torch.Generator], level: float = 0.0) -> Condition:
        """Return small images of another stage as conditions (`contract.following.Follows`)."""
        return follow(self.config, self.task, self.codec, samples, generators, level)

    def compare(self, samples: Samples, truth: Samples) -> dict[str, Metric]:
        return pair_metrics(samples.examples, truth.examples)

    def region(self, text: str, given: Batch) -> Tensor:
        """Return the mask of the pixels in X0,Y0:X1,Y1 (`polydiff.contract.abilities.HasRegions`)."""
        return region(text, self.data.side, self.data.side)

    def read_mask(self, path: Path, files: Sequence[Path]) -> Tensor:
        """Return the mask of a picture's white pixels (`polydiff.contract.abilities.ReadsMasks`)."""
        return read_mask(path, files, self.data)

    @property
    def measurements(self) -> Sequence[str]:
        return examples_for(self.data)

    def measurement(self, text: str, given: Batch) -> Measurement:
        """Return a measurement of images (`polydiff.contract.abilities.HasMeasurements`)."""
        return measurement(text, given, self.codec, self.data)

    def read_measured(self, text: str, paths: Sequence[Path]) -> tuple[Batch, Tensor]:
        """Return measurements in files (`polydiff.contract.measurements.ReadsMeasured`)."""
        return read_measured(text, paths, self.codec, self.data)

    def cond(self, part: Split, indices: Sequence[int]) -> dict[str, Tensor] | None:
        """Return the conditions of images of a split; None if there are none."""
        label = {LABEL: part.labels[list(indices)]} if self.names else {}
        further = DataConditions({name: f for name, f in self.data_conditions.fields.items() if name != LABEL})
        values = [read_vectors(part.values[i]) for i in indices] if further.fields else []
        return {**label, **further.encode(values)} or None

    def blank(
        self, generators: Sequence[torch.Generator], requested: Mapping[str, Any]
    ) -> tuple[Space, Condition | None]:
        own = self.data_conditions.draw(generators, requested)
        further = blank_conditions(self.task.conditions, len(generators), (self.data.side, self.data.side))
        return self.states.space(len(generators)), {**own, **further} or None

    def backbone(self) -> nn.Module:
        return self.states.backbone(self.conditions)

    def units(self, x: State, space: Space) -> Units:
        return self.states.units(x, space, self.source.levels)

    def decode(self, x: State, space: Space) -> list[Any]:
        return self.states.decode(x)

    @property
    def form(self) -> str:
        return f"images of {self.data.planes} x {self.data.side} x {self.data.side}"

    def encode(self, examples: Sequence[Any]) -> Batch:
        """Return images as clean states (`polydiff.contract.likeness.Encodes`)."""
        return Batch(self.states.encode(torch.stack(list(examples))), self.states.space(len(examples)), None)

    def encode_conditions(self, values: Sequence[Mapping[str, Any]]) -> Condition:
        return self.data_conditions.encode_others(values)

    def examples(self, split: str, n: int) -> Samples:
        part = self.source.splits[split]
        indices = part.spread(n)
        return Samples(list(part.centred(indices).unbind()), self.cond(part, indices))

    def evaluate(self, samples: Samples) -> dict[str, Metric]:
        return self.evaluation.evaluate(samples)

    @property
    def prompts(self) -> Mapping[str, str]:
        """Splits whose captions samples are judged on (`polydiff.contract.abilities.HasPrompts`)."""
        return {"test": "", "unseen": "unseen_"} if self.data.name == "shapes" else {}

    def agreement(self, samples: Samples) -> dict[str, Metric]:
        """Return how well scenes of shapes agree with their captions; {} for other images."""
        return self.evaluation.agreement(samples)

    def word_places(self, split: str, indices: Sequence[int]) -> Sequence[Mapping[str, Mapping[str, Tensor]]]:
        """Return where the things of scenes are (`polydiff.contract.likeness.LocatesWords`); {} for other images."""
        pictures = self.source.splits[split].images
        return pictures.word_places(indices) if isinstance(pictures, Pictures) else [{} for _ in indices]

    def confusions(self, samples: Samples) -> dict[str, Confusion]:
        """Return requested classes against those that the classifier predicts (`abilities.HasConfusions`)."""
        return self.evaluation.confusions(samples)

    def nearest(self, samples: Samples) -> Nearest:
        """Return the nearest training images (`polydiff.contract.likeness.FindsNearest`)."""
        numbers, distances = self.evaluation.search.find(torch.stack(list(samples.examples)))
        train = self.source.splits["train"]
        found = Samples(list(train.centred(numbers).unbind()), self.cond(train, numbers))
        return Nearest(found, distances, self.evaluation.search.typical, "pixels of thumbnails")

    def show(self, samples: Samples) -> str:
        return show(samples.examples, [", ".join(map(str, words.values())) for words in self.words(samples)])

    def show_weights(self, samples: Samples, weights: Tensor, captions: Sequence[str]) -> str:
        """Return images under weights of places (`polydiff.contract.likeness.ShowsWeights`)."""
        return show([with_weights(*pair) for pair in zip(samples.examples, weights, strict=True)], captions)

    def save(self, samples: Samples, directory: Path) -> list[dict[str, Any]]:
        return save(samples.examples, self.words(samples), directory)

    @property
    def class_condition(self) -> str:
        return LABEL if self.names else ""

    def write_data(self, samples: Samples, directory: Path) -> list[dict[str, Any]]:
        """Write PNG files, and return what belongs to each (`polydiff.contract.data.augmenting.WritesData`)."""
        return [{name: value for name, value in row.items() if value != ANY} for row in self.save(samples, directory)]

    better = "higher"

    @property
    def learns(self) -> str:
        return f"accuracy of a classifier on {self.size('test'):,} held-out images" if self.class_condition else ""

    @property
    def plain_augmentation(self) -> str:
        return CHANGES

    def read_data(self, paths: Sequence[Path], conditions: Sequence[Mapping[str, Any]]) -> Samples:
        given = self.read(paths)
        return Samples(self.decode(given.x, given.space), self.encode_conditions(conditions))

    def learned(self, sets: Sequence[Samples], seed: int, augmented: bool) -> float:
        """Return the accuracy of a classifier trained on images (`polydiff.contract.data.augmenting.JudgesData`)."""
        known = [(torch.stack(list(of.examples)), (of.cond or {})[LABEL]) for of in sets]
        return accuracy(known, self.source.splits["test"], len(self.names), seed, augmented)

    def archive(self, samples: Samples) -> Mapping[str, NDArray[Any] | str]:
        """Return arr_0, uint8 (B, S, S, C), the format that judges of images read, and arr_1, the classes."""
        return archive(samples.examples, samples.cond[LABEL] if self.names and samples.cond else None)

    def exported_program(self) -> tuple[Path, Mapping[str, Any]]:
        """Return a program that draws images without polydiff (`polydiff.export.deploys.HasProgram`)."""
        own = {"mean": list(self.codec.mean), "std": self.codec.std}
        return PROGRAM, own | self.data_conditions.as_json()

    def converters(self) -> Mapping[str, Callable[[Sequence[Any]], Any]]:
        """Return conversions to an array uint8 (N, S, S, C), and to Pillow's images (`abilities.Converts`)."""
        return CONVERTERS

    def words(self, samples: Samples) -> list[dict[str, Any]]:
        """Return the conditions of samples as the user writes them, {} for each without conditions."""
        return [{} for _ in samples.examples] if samples.cond is None else self.describe(samples.cond)

    def describe(self, cond: Condition) -> list[dict[str, Any]]:
        described = self.data_conditions.describe({n: v for n, v in cond.items() if n in self.data_conditions.fields})
        return described or [{} for _ in next(iter(cond.values()))]
