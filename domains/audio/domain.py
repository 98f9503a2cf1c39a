"""Audio as a domain: waveforms in R^(C x T)."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from polydiff.contract.abilities import Inspection
from polydiff.contract.backbone import build_backbone
from polydiff.contract.data.columns import LABEL
from polydiff.contract.data.identity import embedded_identity
from polydiff.contract.data.noise_range import PRINCIPAL, suited_to
from polydiff.contract.data.quarantine import Quarantine
from polydiff.contract.data.statistics import check_statistics
from polydiff.contract.domain import Samples
from polydiff.contract.fields import Labels, to_json
from polydiff.contract.likeness import Nearest
from polydiff.contract.sections.run import Config
from polydiff.contract.tasks.task import with_task_conditions
from polydiff.core.condition_batch import blank_conditions
from polydiff.core.conditions import Condition, Conditions
from polydiff.core.space import Batch, Measurement, Space, State
from polydiff.core.units import Units
from polydiff.domains.audio.codec import Standardise
from polydiff.domains.audio.config import AudioConfig
from polydiff.domains.audio.data.clips import Clips
from polydiff.domains.audio.data.folder import Folder
from polydiff.domains.audio.data.inputs import region
from polydiff.domains.audio.data_conditions import SoundConditions, columns_of
from polydiff.domains.audio.following import follow
from polydiff.domains.audio.measurements import examples_for, measurement, read_measured
from polydiff.domains.audio.metrics.evaluation import Evaluation
from polydiff.domains.audio.metrics.learned import CHANGES, accuracy
from polydiff.domains.audio.metrics.nearest import Search
from polydiff.domains.audio.metrics.pairs import pair_metrics
from polydiff.domains.audio.metrics.reference import HELD_OUT, portraits
from polydiff.domains.audio.output.show import sheet, show, show_weights
from polydiff.domains.audio.output.write import sound_arrays, write_sounds
from polydiff.domains.audio.states import States
from polydiff.domains.audio.statistics import AudioStatistics
from polydiff.domains.audio.tasks.open_task import measure_task, open_task
from polydiff.domains.audio.tasks.restoration import Upsample
from polydiff.metrics.principal import principal_std
from polydiff.metrics.results import Confusion, Metric
from polydiff.support.errors import amount

PROGRAM = Path(__file__).parent / "output" / "program.py"


class Audio:
    """Waveforms: synthesised plucks, or the user's sound files.

    The class delegates to its parts: `clips` reads the data set, `data_conditions` encodes its metadata, `states`
    converts between sounds and states, and `evaluation` computes the metrics.

    Arguments:
        config: The run's configuration.
        statistics: {"std", "gains", "conditions", "principal_std"} and the statistics of the task; None: measured on
            training clips.

    Raises:
        UserError: The data cannot be used, or one of its columns has the name of a condition of the task.
    """

    def __init__(self, config: Config, statistics: Mapping[str, Any] | None = None) -> None:
        assert isinstance(config, AudioConfig)
        self.config, self.data = config, config.data
        if statistics:
            check_statistics(AudioStatistics, statistics)
        self.clips = Clips(self.data, SoundConditions.of(statistics).fields if statistics else None)
        self.statistics: Mapping[str, Any] = dict(statistics) if statistics else self.measure()
        self.data_conditions = SoundConditions.of(self.statistics)
        self.codec = Standardise(self.statistics["std"], tuple(self.statistics["gains"]))
        self.task = open_task(config, self.codec, self.statistics)
        self.states = States(config, self.codec, self.task)
        self.evaluation = Evaluation(self.clips, self.data_conditions)
        own = {name: field.kind for name, field in self.data_conditions.fields.items()}
        self.conditions: Conditions = with_task_conditions(own, self.task)

    def measure(self) -> dict[str, Any]:
        """Return the statistics of the training data, as JSON."""
        codec = Standardise.measure(self.clips.reference, self.config.whiten)
        known = measure_task(self.config, self.clips.reference)
        fields = to_json(self.clips.source.fields)
        own = {"std": codec.std, "gains": list(codec.gains), "conditions": fields, **known}
        if profiles := self.clips.source.profiles:
            own["profiles"] = profiles
        if self.config.task == "upsample":  # its states are not sounds (`Missing`)
            return own
        return own | {PRINCIPAL: principal_std(codec.encode(self.clips.reference).flatten(1))}

    def suited(self, free: Collection[str]) -> Mapping[str, Any]:
        """Return the noise range that the sounds need (`polydiff.contract.abilities.SuitsData`)."""
        return suited_to(self.config, self.statistics, free)

    @property
    def quarantine(self) -> Quarantine | None:
        """Sounds found and excluded, with reasons; None for synthesised data."""
        return self.clips.source.quarantine

    @staticmethod
    def inspect(config: Config, set_keys: Collection[str]) -> Inspection:
        """Inspect the sounds of `data.path` (`polydiff.contract.abilities.Inspects`)."""
        from polydiff.domains.audio.data.inspect import inspect_sounds

        assert isinstance(config, AudioConfig)
        return inspect_sounds(config, set_keys, Audio)

    def size(self, split: str) -> int:
        return self.clips.size(split)

    def identity(self, split: str) -> dict[str, Any]:
        """Return names and fingerprints of the sounds of a split (`polydiff.contract.abilities.HasIdentity`)."""
        source = self.clips.source
        if isinstance(source, Folder):
            return source.identity(split)
        choice = f" {self.data.per_class} {self.data.subset}" if self.data.per_class and split == "train" else ""
        return embedded_identity(f"{self.data.name}{choice}", self.size(split))

    def batch(self, split: str, indices: Sequence[int], generators: Sequence[torch.Generator]) -> Batch:
        sounds, values = self.clips.source.clips(split, indices, generators)
        return self.states.batch(sounds, self.data_conditions.encode(values), generators, split == "train")

    def blank(
        self, generators: Sequence[torch.Generator], requested: Mapping[str, Any]
    ) -> tuple[Space, Condition | None]:
        drawn = self.data_conditions.draw(generators, requested)
        absent = blank_conditions(self.task.conditions, len(generators), (self.data.length,))
        return self.states.space(len(generators)), {**drawn, **absent} or None

    def backbone(self) -> nn.Module:
        return build_backbone(self.config.backbone, channels=self.data.channels, dims=1, conditions=self.conditions)

    def decode(self, x: State, space: Space) -> list[Any]:
        return self.states.decode(x, space)

    @property
    def form(self) -> str:
        data = self.data
        return f"sounds of {amount(data.channels, 'channel')}, {data.length} samples at {data.sample_rate} Hz"

    def encode(self, examples: Sequence[Any]) -> Batch:
        """Return sounds as clean states (`polydiff.contract.likeness.Encodes`)."""
        return self.states.encode(torch.stack(list(examples)))

    def encode_conditions(self, values: Sequence[Mapping[str, Any]]) -> Condition:
        return self.data_conditions.encode_others(values)

    def units(self, x: State, space: Space) -> Units:
        return self.states.units(x, space)

    def read(self, paths: Sequence[Path]) -> Batch:
        """Return whole files as clean states (`polydiff.contract.abilities.Reads`)."""
        return self.states.read(paths, self.conditions)

    def read_degraded(self, paths: Sequence[Path], degrade: bool = False) -> Batch:
        """Return recordings or mel spectrograms as the network's conditions (`abilities.Restores`)."""
        return self.states.read_degraded(paths, self.conditions, degrade)

    @property
    def together(self) -> Sequence[str]:
        """The recording and the level of its noise (`polydiff.contract.abilities.TellsTogether`)."""
        return tuple(self.task.conditions)

    def follow(self, samples: Samples, generators: Sequence[torch.Generator], level: float = 0.0) -> Condition:
        """Return sounds of another stage as the recordings of this one (`contract.following.Follows`)."""
        return follow(self.task, samples, generators, level)

    def space_under(self, space: Space, cond: Condition) -> Space:
        """Return the space of what the recordings lack (`contract.following.SpaceUnderConditions`)."""
        return self.task.space(cond) if isinstance(self.task, Upsample) else space

    def region(self, text: str, given: Batch) -> Tensor:
        """Return the mask (T,) of the samples in BEGIN:END, in seconds (`polydiff.contract.abilities.HasRegions`)."""
        return region(text, self.data.sample_rate, given.x.shape[-1])

    @property
    def measurements(self) -> Sequence[str]:
        return examples_for(self.data)

    def measurement(self, text: str, given: Batch) -> Measurement:
        """Return a measurement of sounds (`polydiff.contract.abilities.HasMeasurements`)."""
        return measurement(text, given, self.codec, self.data.sample_rate)

    def read_measured(self, text: str, paths: Sequence[Path]) -> tuple[Batch, Tensor]:
        """Return measurements in files (`polydiff.contract.measurements.ReadsMeasured`)."""
        return read_measured(text, paths, self.codec, self.data)

    def forget(self, x: State, mask: Tensor, space: Space) -> State:
        """Return states without information on the masked samples (`abilities.Forgets`)."""
        return self.states.forget(x, mask)

    def examples(self, split: str, n: int) -> Samples:
        sounds, values = self.clips.source.clips(split, self.clips.some(split, n))
        return Samples(list(sounds.unbind()), self.data_conditions.encode(values) or None)

    def evaluate(self, samples: Samples) -> dict[str, Metric]:
        return self.evaluation.evaluate(samples)

    def exported_program(self) -> tuple[Path, Mapping[str, Any]]:
        """Return a program that draws sounds without polydiff (`polydiff.export.deploys.HasProgram`)."""
        own = {"std": self.codec.std, "gains": list(self.codec.gains), "sample_rate": self.data.sample_rate}
        return PROGRAM, own | self.data_conditions.as_json()

    def confusions(self, samples: Samples) -> dict[str, Confusion]:
        """Return confusions of requested and detected classes (`polydiff.contract.abilities.HasConfusions`)."""
        return self.evaluation.confusions(samples)

    def compare(self, samples: Samples, truth: Samples) -> dict[str, Metric]:
        return pair_metrics(samples.examples, truth.examples, self.config)

    @cached_property
    def search(self) -> Search:
        """The search for the nearest training sound."""
        return Search.of(self.clips)

    def nearest(self, samples: Samples) -> Nearest:
        """Return the nearest training sounds (`polydiff.contract.likeness.FindsNearest`)."""
        numbers, distances = self.search.find(samples.examples)
        sounds, values = self.clips.known(numbers)
        found = Samples(list(sounds.unbind()), self.data_conditions.encode(values) or None)
        what = "dB of log-mel spectrograms at the best shift in time and the same level"
        return Nearest(found, distances.tolist(), self.search.typical, what)

    def show(self, samples: Samples) -> str:
        return show(samples.examples, self.evaluation.captions(samples), self.data.sample_rate)

    def show_weights(self, samples: Samples, weights: Tensor, captions: Sequence[str]) -> str:
        """Return sounds above weights of times (`polydiff.contract.likeness.ShowsWeights`)."""
        return show_weights(samples.examples, weights, captions, self.data.sample_rate)

    def save(self, samples: Samples, directory: Path) -> list[dict[str, Any]]:
        names = write_sounds(samples.examples, directory, self.data)
        notes = self.evaluation.notes(samples)
        detected = [{}] * len(names) if notes is None else [{"heard": note} for note in notes]
        return [{"file": name, **note} for name, note in zip(names, detected, strict=True)]

    @property
    def class_condition(self) -> str:
        """The label, or else the first condition that is a class, such as the pitch of plucks; "" without any."""
        classes = [name for name, field in self.data_conditions.fields.items() if isinstance(field, Labels)]
        return LABEL if LABEL in classes else next(iter(classes), "")

    def write_data(self, samples: Samples, directory: Path) -> list[dict[str, Any]]:
        """Write WAV files of floating-point numbers (`polydiff.contract.data.augmenting.WritesData`)."""
        data = self.data.model_copy(update={"encoding": "float"})
        names = write_sounds(samples.examples, directory, data)
        rows = columns_of(samples.cond, self.data_conditions, self.class_condition) or [{} for _ in names]
        return [{"file": name, **row} for name, row in zip(names, rows, strict=True)]

    better = "higher"

    @property
    def learns(self) -> str:
        return f"accuracy of a classifier on {len(self.held_out):,} held-out sounds" if self.class_condition else ""

    @property
    def plain_augmentation(self) -> str:
        return CHANGES

    def read_data(self, paths: Sequence[Path], conditions: Sequence[Mapping[str, Any]]) -> Samples:
        given = self.read(paths)
        return Samples(self.decode(given.x, given.space), self.encode_conditions(conditions))

    def learned(self, sets: Sequence[Samples], seed: int, augmented: bool) -> float:
        """Return the accuracy of a classifier trained on sounds (`polydiff.contract.data.augmenting.JudgesData`)."""
        name = self.class_condition
        known = [
            (portraits(of.examples, self.data.sample_rate), (of.cond or {})[name]) for of in (*sets, self.held_out)
        ]
        classes = len(self.data_conditions.class_names(name))
        return accuracy(known[:-1], known[-1], classes, seed, augmented)

    @cached_property
    def held_out(self) -> Samples:
        """Held-out sounds that judge classifiers, up to `HELD_OUT`."""
        return self.examples("test", HELD_OUT)

    def archive(self, samples: Samples) -> Mapping[str, NDArray[Any] | str]:
        """Return arr_0 (B, T, C), in int16 or float32 as in the files, and rate (B,), the sample rates in Hz."""
        return sound_arrays(samples.examples, self.data)

    def converters(self) -> Mapping[str, Callable[[Sequence[Any]], Any]]:
        """Return conversions to an array float32 (N, T, C), full scale at 1, and a picture (`abilities.Converts`)."""
        png = partial(sheet, sample_rate=self.data.sample_rate)
        return {"numpy": lambda sounds: torch.stack(list(sounds)).mT.numpy(), "png": png}

    def describe(self, cond: Condition) -> list[dict[str, Any]]:
        return self.data_conditions.describe(cond)
