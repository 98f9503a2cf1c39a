"""What a modality must provide.

A domain is found through the entry point group `polydiff.domains`. Its entry point names a `DomainSpec`, which says
what it is without importing anything heavy; the spec names a config class and a factory, which load on use. What the
factory returns is a `Domain`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, runtime_checkable

from polydiff.conditions import Conditions

if TYPE_CHECKING:  # a spec is read by commands that must not wait for torch
    import torch
    from numpy.typing import NDArray
    from torch import Tensor, nn

    from polydiff.config import Config
    from polydiff.space import Batch, Condition, Space, State
    from polydiff.tasks import Task
    from polydiff.uncertainty import Number

API = 1


@dataclass(frozen=True, kw_only=True)
class DomainSpec:
    """A domain's card: everything that can be said without importing it.

    Arguments:
        name: What `--domain` says.
        summary: One line.
        config: "module:Class" of its configuration, a `polydiff.config.Config` that imports no torch.
        factory: "module:Class" of the domain, called as factory(config, statistics=None).
        suffixes: Of the files that it reads, such as ".wav": by them `polydiff data check` tells what a folder holds.
        requires: Modules that it needs beyond polydiff's own.
        install: What to type where one of them is missing.
        presets: Name -> overrides with dotted keys, such as {"train.steps": 2000}; {} is the config's own defaults.
            The first is the default.
        api: Version of this interface.
    """

    name: str
    summary: str
    config: str
    factory: str
    suffixes: Sequence[str] = ()
    requires: Sequence[str] = ()
    install: str = ""
    presets: Mapping[str, Mapping[str, Any]] = field(default_factory=lambda: {"quick": {}})
    api: int = API


@dataclass(frozen=True)
class Samples:
    """Examples as a person knows them (pictures, sounds, molecules), and what each was asked to be.

    Arguments:
        examples: In the domain's own form, as `Domain.decode` returns them.
        cond: The conditions, None where there are none.
    """

    examples: Sequence[Any]
    cond: Condition | None = None

    def __len__(self) -> int:
        return len(self.examples)

    def head(self, n: int) -> Samples:
        """Return the first n."""
        return Samples(self.examples[:n], None if self.cond is None else {k: v[:n] for k, v in self.cond.items()})

    def take(self, places: Sequence[int]) -> Samples:
        """Return those at these places."""
        cond = None if self.cond is None else {k: v[list(places)] for k, v in self.cond.items()}
        return Samples([self.examples[i] for i in places], cond)

    @staticmethod
    def join(parts: Sequence[Samples]) -> Samples:
        """Return consecutive samples as one."""
        from polydiff.space import join_conditions

        examples = [example for part in parts for example in part.examples]
        return Samples(examples, join_conditions([part.cond for part in parts]))


class Metric(NamedTuple):
    """One number of an evaluation.

    Attributes:
        value: The number; NaN where it has no meaning (no valid sample, say).
        unit: Its unit, "" for a share between 0 and 1.
        better: "higher" or "lower".
        meaning: One sentence: what it says, who judges, what chance would give.
        error: Standard error of the value over samples (`polydiff.uncertainty`), shown behind ±; NaN: not known.
    """

    value: float
    unit: str
    better: str
    meaning: str
    error: float = math.nan

    @classmethod
    def of(cls, number: Number, unit: str, better: str, meaning: str) -> Metric:
        """Return a number that knows its standard error as a metric."""
        return cls(number.value, unit, better, meaning, number.error)


class Domain(Protocol):
    """One modality: its data, its codec, its network, its judge and its pictures.

    Attributes:
        statistics: What the codec measured on the training data, as JSON; kept in checkpoints. A domain built with
            given statistics measures nothing, and decodes without its data set.
        conditions: Name -> kind: a number of classes, 0 for a real number (standardised in `Batch.cond`), `Tokens` or
            `Aligned` (`polydiff.conditions`).
    """

    statistics: Mapping[str, Any]
    conditions: Conditions

    def __init__(self, config: Config, statistics: Mapping[str, Any] | None = None) -> None:
        """Prepare the domain. Data are loaded on first use."""

    def size(self, split: str) -> int:
        """Return the number of examples of "train" or "test"."""

    def batch(self, split: str, indices: Sequence[int], generators: Sequence[torch.Generator]) -> Batch:
        """Return clean states of these examples on the CPU; crops and flips are drawn from the example's generator."""

    def blank(self, generators: Sequence[torch.Generator], asked: Mapping[str, Any]) -> tuple[Space, Condition | None]:
        """Return where new samples live, one a generator, and their conditions.

        Sizes and the conditions that `asked` does not name are drawn as in the training data, each from its sample's
        generator alone. `asked` holds the user's words, in physical units, and an array where a condition is a
        sequence; an unknown name or value is a `UserError`.
        """

    def backbone(self) -> nn.Module:
        """Return the network of `config.backbone`."""

    def decode(self, x: State, space: Space) -> list[Any]:
        """Return examples in the domain's own form."""

    def examples(self, split: str, n: int) -> Samples:
        """Return up to n real examples, in the form that `decode` gives, with their conditions."""

    def evaluate(self, samples: Samples) -> dict[str, Metric]:
        """Judge samples, generated, real or noise alike, by judges that share nothing with the model."""

    def show(self, samples: Samples) -> str:
        """Return an HTML fragment that shows the samples: self-contained, nothing fetched."""

    def save(self, samples: Samples, directory: Path) -> list[dict[str, Any]]:
        """Write one file a sample and return, for each, {"file": name, ...} for the manifest."""

    def describe(self, cond: Condition) -> list[dict[str, Any]]:
        """Return each sample's conditions in the user's words, such as {"pitch": "C4"}."""


class Units(NamedTuple):
    """In what units the likelihood of states is told.

    Attributes:
        low: Lower end of the bin that each number of a state stands for, of the state's shape: -inf at the lowest
            value, NaN where a number is continuous. None: all are.
        high: Upper end of it.
        log_scale: Log of the volume, in the data's units, of a unit cube of the continuous coordinates, shape (B,);
            0 where states are in the data's units.
        name: Of what -log p is a density: "Å", "full scale"; "" where all is discrete.
        category: Places (first, last + 1) of the last axis that are a one-hot code, whose largest number says which
            category it is; the bins of all of them are those of a number that is on. None: there is no such code.
        size: -log p of each sample's size, in nats, shape (B,); None: sizes are given.
    """

    low: State | None
    high: State | None
    log_scale: Tensor
    name: str = ""
    category: tuple[int, int] | None = None
    size: Tensor | None = None


@runtime_checkable
class HasUnits(Protocol):
    """A domain that says what its states' numbers stand for. Without it, likelihoods are densities of states."""

    def units(self, x: State, space: Space) -> Units:
        """Return the bins and units of clean states."""


@runtime_checkable
class Reads(Protocol):
    """A domain that reads a user's own files as it reads those of its data, for `polydiff vary RUN FILE ...`."""

    def read(self, paths: Sequence[Path]) -> Batch:
        """Return files as clean states, with no condition given.

        Raises:
            UserError: A file cannot be read, is not of the trained kind, or differs from the others in size.
        """


@runtime_checkable
class HasSizes(Protocol):
    """A domain whose examples differ in size, so that `train.like_sizes` can put like ones into a batch."""

    def sizes(self, split: str) -> NDArray[Any]:
        """Return a whole number for each example of a split: how large it is, such as its number of atoms."""


class Confusion(NamedTuple):
    """How often judges take examples for each class.

    Attributes:
        asked: Names of the rows, what was asked for.
        seen: Names of the columns, what is seen or heard; one may stand for nothing.
        counts: Examples, [row][column].
    """

    asked: list[str]
    seen: list[str]
    counts: list[list[int]]

    @classmethod
    def of(cls, asked: Tensor, seen: Tensor, names: Sequence[str], further: Sequence[str] = ()) -> Confusion:
        """Count examples.

        Arguments:
            asked: Class asked of each (B,); those below 0 are left out.
            seen: What each is taken for (B,), counted through `names` and then `further`.
            names: Of the classes.
            further: Of what else there may be, such as nothing.
        """
        columns = [*names, *further]
        counts = [[0] * len(columns) for _ in names]
        for row, column in zip(asked.tolist(), seen.tolist(), strict=True):
            if row >= 0:
                counts[row][column] += 1
        return cls(list(names), columns, counts)


@runtime_checkable
class HasConfusions(Protocol):
    """A domain whose judges tell classes apart, for a picture in the report."""

    def confusions(self, samples: Samples) -> Mapping[str, Confusion]:
        """Return, by condition, what was asked of samples and what judges take them for."""


class Measured(NamedTuple):
    """A real number of each example, as judges measure it.

    Attributes:
        values: Measured, one an example; NaN where an example has none.
        asked: What each was asked for, NaN for nothing; empty for what cannot be asked for.
        unit: Of both, "" for none.
        meaning: What the number is, in a few words.
    """

    values: Sequence[float]
    asked: Sequence[float]
    unit: str
    meaning: str


@runtime_checkable
class HasMeasures(Protocol):
    """A domain whose judges measure real numbers of examples, for a picture of each in the report."""

    def measures(self, samples: Samples) -> Mapping[str, Measured]:
        """Return, by name, what judges measure, beside what was asked for; all of the same names for all samples."""


@runtime_checkable
class HasScripts(Protocol):
    """A domain whose fragments (`show`) do more with a script, which a page holds once."""

    def scripts(self) -> Mapping[str, str]:
        """Return JavaScript by file name; it runs after all fragments, may find none, and fetches nothing."""


@runtime_checkable
class HasRegions(Protocol):
    """A domain whose examples have parts that can be named in words, for `polydiff inpaint RUN --gap REGION`."""

    def region(self, text: str, given: Batch) -> Tensor:
        """Return which elements a region of given examples holds, booleans that broadcast against their state.

        Raises:
            UserError: The words name no region, an empty one, or one that lies outside of the example.
        """


@runtime_checkable
class Grows(Protocol):
    """A domain whose examples are sets, which can have more places, for `polydiff inpaint RUN FILE --add N`."""

    def grown(
        self, given: Batch, mask: Tensor, add: str, generators: Sequence[torch.Generator]
    ) -> tuple[Batch, Tensor]:
        """Return given examples with further places, and the mask of what is known of them.

        Arguments:
            given: Clean states.
            mask: What is known of them.
            add: How many places, or which, in the domain's words: 6, or C2H4 for atoms.
            generators: One random stream an example, for what the words leave open.

        Raises:
            UserError: The words say nothing, or the examples would be larger than any that can be made.
        """


@runtime_checkable
class Forgets(Protocol):
    """A domain whose codec may spread a place of an example over several numbers of its state."""

    def forget(self, x: State, mask: Tensor, space: Space) -> State:
        """Return clean states that know nothing of the places of their examples where the mask is not 1."""


@runtime_checkable
class Restores(Protocol):
    """A domain that can be trained to make examples of another form of them.

    Attributes:
        task: What its configuration says; a `Restoration`, or `Generate`.
    """

    task: Task

    def told(self, paths: Sequence[Path], degrade: bool = False) -> Batch:
        """Return what a network is told of a user's own files of one size, and the states of the simple method.

        Arguments:
            paths: Files of the lesser form.
            degrade: Whether they are examples in full, of which the lesser form is made first.

        Raises:
            UserError: The task has no files, or a file cannot be read or is not of the trained kind.
        """

    def compare(self, samples: Samples, truth: Samples) -> dict[str, Metric]:
        """Return the distances of samples to the examples that they should be."""


def told_names(domain: Domain) -> Set[str]:
    """Return the names of the conditions that a task tells: no wishes, but what is known of an example."""
    from polydiff.tasks import KNOWN

    return {KNOWN, *(domain.task.conditions if isinstance(domain, Restores) else ())}


@runtime_checkable
class TellsTogether(Protocol):
    """A domain of whose conditions some mean little alone, such as the numbers of atoms of each element.

    Attributes:
        together: Their names: in training they are withheld all or none.
    """

    @property
    def together(self) -> Sequence[str]:
        """Names of conditions that are withheld all or none."""


@runtime_checkable
class Archives(Protocol):
    """A domain whose samples can be kept in one file, for `polydiff sample --one-file`."""

    def archive(self, samples: Samples) -> Mapping[str, NDArray[Any] | str]:
        """Return what samples add to one file: arrays by name, samples first, or {"samples.sdf": the records' text}."""


def standard_labels(cond: Mapping[str, Tensor] | None, n: int) -> list[dict[str, Any]]:
    """Return conditions as plain numbers, one dictionary a sample: a `describe` for domains without own words."""
    if cond is None:
        return [{} for _ in range(n)]
    return [{name: value[i].tolist() for name, value in cond.items()} for i in range(n)]
