"""Optional abilities of a `Domain`: each protocol here enables one more feature.

A domain has an ability if it has the protocol's methods and attributes; nothing is registered. `provides(domain,
HasUnits)` returns whether it has one. The check evaluates no property, because that could open a data set. Abilities
that edit examples are defined in `editing`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence, Set
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from polydiff.contract.domain import Domain, Samples
from polydiff.contract.editing import Compares as Compares
from polydiff.contract.editing import Forgets as Forgets
from polydiff.contract.editing import Grows as Grows
from polydiff.contract.editing import HasBlanks as HasBlanks
from polydiff.contract.editing import HasMeasurements as HasMeasurements
from polydiff.contract.editing import HasPartMasks as HasPartMasks
from polydiff.contract.editing import HasRegions as HasRegions
from polydiff.contract.editing import Reads as Reads
from polydiff.contract.editing import ReadsMasks as ReadsMasks
from polydiff.contract.editing import Restores as Restores
from polydiff.core.units import Units
from polydiff.metrics.results import Confusion, Measured, Metric
from polydiff.support.protocols import provides

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from polydiff.contract.data.quarantine import Quarantine
    from polydiff.contract.sections.run import Config
    from polydiff.core.space import Space, State


class HasUnits(Protocol):
    """A domain that defines bins and units of its states. Without it, likelihoods are densities of states."""

    def units(self, x: State, space: Space) -> Units:
        """Return the bins and units of clean states."""


class HasSizes(Protocol):
    """A domain whose examples differ in size; `train.like_sizes` then puts examples of similar size into a batch."""

    def sizes(self, split: str) -> NDArray[Any]:
        """Return the size of each example of a split, whole numbers (N,), such as numbers of atoms."""


class HasConfusions(Protocol):
    """A domain whose judges classify examples; the report draws a confusion matrix of each condition."""

    def confusions(self, samples: Samples) -> Mapping[str, Confusion]:
        """Return, by condition, the classes that were requested and those that judges recognise."""


class HasPrompts(Protocol):
    """A domain whose samples are judged under the conditions of held-out examples.

    Attributes:
        prompts: Split -> prefix of the names of its metrics. The first split is judged by `Domain.evaluate`, the others
            by `agreement` alone. {}: samples are judged under conditions drawn as in training.
    """

    @property
    def prompts(self) -> Mapping[str, str]: ...

    def agreement(self, samples: Samples) -> Mapping[str, Metric]:
        """Return how well examples agree with their conditions."""


class HasMeasures(Protocol):
    """A domain whose judges measure real numbers of examples; the report draws the distribution of each."""

    def measures(self, samples: Samples) -> Mapping[str, Measured]:
        """Return, by name, measured values beside the requested ones; the names are the same for all samples."""


class HasScripts(Protocol):
    """A domain whose HTML fragments (`Domain.show`) use scripts; a page contains each script once."""

    def scripts(self) -> Mapping[str, str]:
        """Return JavaScript by file name. It runs after all fragments, must work without any, and fetches nothing."""


class HasIdentity(Protocol):
    """A domain that says which examples it has; a resumed run then sees that its data changed."""

    def identity(self, split: str) -> Mapping[str, Any]:
        """Return the identity of the examples of a split, as `polydiff.contract.data.identity.identity` computes it."""


class HasEntropy(Protocol):
    """A domain whose examples may follow a known law, so that bounds on -log p have a known floor."""

    def entropy(self) -> float | None:
        """Return the mean -log p of an example under the law of the data, in nats; None if the law is unknown."""


class Prepares(Protocol):
    """A domain that can do work once that makes batches of training cheaper, such as filling a cache."""

    def prepare(self) -> None:
        """Do this work, if it is not done. Training calls it before its first batch."""


class HasQuarantine(Protocol):
    """A domain that excludes unusable parts of its data."""

    @property
    def quarantine(self) -> Quarantine | None:
        """Excluded data; None if the data are computed rather than read."""


def quarantine_of(domain: object) -> Quarantine | None:
    """Return the quarantine of a domain; None if it has none, or if its data are computed."""
    return domain.quarantine if provides(domain, HasQuarantine) else None


@dataclass
class Inspection:
    """Result of inspecting a data set.

    Arguments:
        facts: Property -> value, as JSON, in the order of printing.
        problems: Reasons why the data cannot be trained on; [] if they can.
        advice: Configuration keys that the user has not set -> values that suit the data.
        quarantine: Excluded data; None if the domain keeps no quarantine.
    """

    facts: dict[str, Any] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    advice: dict[str, Any] = field(default_factory=dict)
    quarantine: Quarantine | None = None

    def as_json(self) -> dict[str, Any]:
        """Return all fields as JSON values."""
        aside = self.quarantine.as_json() if self.quarantine else {}
        return {"facts": self.facts, "problems": self.problems, "advice": self.advice, **aside}


class Inspects(Protocol):
    """A domain that describes a data set, for `polydiff data check`."""

    @staticmethod
    def inspect(config: Config, set_keys: Collection[str]) -> Inspection:
        """Inspect the data of `config.data`.

        Arguments:
            config: The configuration.
            set_keys: Dotted keys that the user set; they get no advice. polydiff passes this argument by position.
        """


class SuitsData(Protocol):
    """A domain that measures on its data what suits them, such as the highest noise level."""

    def suited(self, free: Collection[str]) -> Mapping[str, Any]:
        """Return dotted keys of the configuration -> values for a new run of these data.

        Arguments:
            free: Keys whose values come from defaults and presets; values of other keys are ignored. polydiff passes
                this argument by position.
        """


def task_conditions(domain: Domain) -> Set[str]:
    """Return the names of the task's conditions, which hold known parts of an example rather than requests."""
    from polydiff.core.conditions import KNOWN

    return {KNOWN, *(domain.task.conditions if provides(domain, Restores) else ())}


class TellsTogether(Protocol):
    """A domain with conditions that mean little alone, such as the numbers of atoms of each element.

    Attributes:
        together: Names of these conditions. Condition dropout in training withholds all of them or none.
    """

    @property
    def together(self) -> Sequence[str]:
        """Names of conditions that are withheld together."""


class Archives(Protocol):
    """A domain that writes many samples to one file, for `polydiff sample --one-file`."""

    def archive(self, samples: Samples) -> Mapping[str, NDArray[Any] | str]:
        """Return what samples add to the file: arrays (B, ...) by name, or {"samples.sdf": text of the records}."""


class Converts(Protocol):
    """A domain whose examples can be given to other libraries, for `Samples.to`, `to_numpy`, `to_pil`, `to_rdkit`."""

    def converters(self) -> Mapping[str, Callable[[Sequence[Any]], Any]]:
        """Return name -> function of N examples, such as "numpy" -> one that returns an array (N, ...)."""
