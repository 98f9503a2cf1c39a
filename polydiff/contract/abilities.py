"""What a modality may provide beside a `Domain`: each protocol is a thing that more can be done with.

A domain has an ability by having its methods or attributes; nothing is registered. `provides(domain, HasUnits)` says
whether it has one and evaluates nothing of it, as a check must not open a data set.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence, Set
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from polydiff.contract.domain import Domain, Samples
from polydiff.core.units import Units
from polydiff.metrics.results import Confusion, Measured, Metric
from polydiff.support.protocols import provides

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray
    from torch import Tensor

    from polydiff.contract.quarantine import Quarantine
    from polydiff.contract.sections import Config
    from polydiff.contract.tasks import Task
    from polydiff.core.space import Batch, Space, State


class HasUnits(Protocol):
    """A domain that says what its states' numbers stand for. Without it, likelihoods are densities of states."""

    def units(self, x: State, space: Space) -> Units:
        """Return the bins and units of clean states."""


class Reads(Protocol):
    """A domain that reads a user's own files as it reads those of its data, for `polydiff vary RUN FILE ...`."""

    def read(self, paths: Sequence[Path]) -> Batch:
        """Return files as clean states, with no condition given.

        Raises:
            UserError: A file cannot be read, is not of the trained kind, or differs from the others in size.
        """


class HasSizes(Protocol):
    """A domain whose examples differ in size, so that `train.like_sizes` can put like ones into a batch."""

    def sizes(self, split: str) -> NDArray[Any]:
        """Return a whole number for each example of a split: how large it is, such as its number of atoms."""


class HasConfusions(Protocol):
    """A domain whose judges tell classes apart, for a picture in the report."""

    def confusions(self, samples: Samples) -> Mapping[str, Confusion]:
        """Return, by condition, what was asked of samples and what judges take them for."""


class HasMeasures(Protocol):
    """A domain whose judges measure real numbers of examples, for a picture of each in the report."""

    def measures(self, samples: Samples) -> Mapping[str, Measured]:
        """Return, by name, what judges measure, beside what was asked for; all of the same names for all samples."""


class HasScripts(Protocol):
    """A domain whose fragments (`show`) do more with a script, which a page holds once."""

    def scripts(self) -> Mapping[str, str]:
        """Return JavaScript by file name; it runs after all fragments, may find none, and fetches nothing."""


class HasRegions(Protocol):
    """A domain whose examples have parts that can be named in words, for `polydiff inpaint RUN --gap REGION`."""

    def region(self, text: str, given: Batch) -> Tensor:
        """Return which elements a region of given examples holds, booleans that broadcast against their state.

        Raises:
            UserError: The words name no region, an empty one, or one that lies outside of the example.
        """


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


class Forgets(Protocol):
    """A domain whose codec may spread a place of an example over several numbers of its state."""

    def forget(self, x: State, mask: Tensor, space: Space) -> State:
        """Return clean states that know nothing of the places of their examples where the mask is not 1."""


class Restores(Protocol):
    """A domain that can be trained to make examples of another form of them.

    Attributes:
        task: What its configuration says; a `Restoration`, or `Generate`.
    """

    task: Task

    def read_degraded(self, paths: Sequence[Path], degrade: bool = False) -> Batch:
        """Return what a network is told of a user's own files of one size, and the states of the simple method.

        Arguments:
            paths: Files of the lesser form.
            degrade: Whether they are examples in full, of which the lesser form is made first.

        Raises:
            UserError: The task has no files, or a file cannot be read or is not of the trained kind.
        """

    def compare(self, samples: Samples, truth: Samples) -> dict[str, Metric]:
        """Return the distances of samples to the examples that they should be."""


class HasQuarantine(Protocol):
    """A domain whose data may hold what cannot be used."""

    @property
    def quarantine(self) -> Quarantine | None:
        """What is put aside; None where the data are computed."""


def quarantine_of(domain: object) -> Quarantine | None:
    """Return what a domain puts aside of its data; None if it does not say, or its data are computed."""
    return domain.quarantine if provides(domain, HasQuarantine) else None


@dataclass
class Inspection:
    """What was found.

    Arguments:
        facts: What -> found, as JSON, in the order in which it is told.
        problems: What keeps it from being trained on; none: nothing does.
        advice: Keys of the configuration that suit the data, where nobody said any.
        quarantine: What is put aside; None where the domain does not say.
    """

    facts: dict[str, Any] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    advice: dict[str, Any] = field(default_factory=dict)
    quarantine: Quarantine | None = None

    def as_json(self) -> dict[str, Any]:
        """Return all of it as plain values."""
        aside = self.quarantine.as_json() if self.quarantine else {}
        return {"facts": self.facts, "problems": self.problems, "advice": self.advice, **aside}


class Inspects(Protocol):
    """A domain that can tell more of a data set than whether it can be opened."""

    @staticmethod
    def inspect(config: Config, said: Collection[str]) -> Inspection:
        """Return what `config.data` holds; `said` are the keys that the user gave, on which no advice is wanted."""


def task_conditions(domain: Domain) -> Set[str]:
    """Return the names of the conditions that a task tells: no wishes, but what is known of an example."""
    from polydiff.core.conditions import KNOWN

    return {KNOWN, *(domain.task.conditions if provides(domain, Restores) else ())}


class TellsTogether(Protocol):
    """A domain of whose conditions some mean little alone, such as the numbers of atoms of each element.

    Attributes:
        together: Their names: in training they are withheld all or none.
    """

    @property
    def together(self) -> Sequence[str]:
        """Names of conditions that are withheld all or none."""


class Archives(Protocol):
    """A domain whose samples can be kept in one file, for `polydiff sample --one-file`."""

    def archive(self, samples: Samples) -> Mapping[str, NDArray[Any] | str]:
        """Return what samples add to one file: arrays by name, samples first, or {"samples.sdf": the records' text}."""
