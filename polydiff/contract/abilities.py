"""Optional abilities of a `Domain`: each protocol here enables one more feature.

A domain has an ability if it has the protocol's methods and attributes; nothing is registered. `provides(domain,
HasUnits)` returns whether it has one. The check evaluates no property, because that could open a data set.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence, Set
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

    from polydiff.contract.data.quarantine import Quarantine
    from polydiff.contract.sections.run import Config
    from polydiff.contract.tasks import Task
    from polydiff.core.space import Batch, Measurement, Space, State


class HasUnits(Protocol):
    """A domain that defines bins and units of its states. Without it, likelihoods are densities of states."""

    def units(self, x: State, space: Space) -> Units:
        """Return the bins and units of clean states."""


class Reads(Protocol):
    """A domain that reads the user's own files, for `polydiff vary RUN FILE ...`."""

    def read(self, paths: Sequence[Path]) -> Batch:
        """Return files as clean states (B, ...), one a file, with every condition missing.

        Raises:
            UserError: A file cannot be read, is not of the kind that the model was trained on, or differs from the
                others in size.
        """


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


class HasRegions(Protocol):
    """A domain whose examples have regions that text can name, for `polydiff inpaint RUN --gap REGION`."""

    def region(self, text: str, given: Batch) -> Tensor:
        """Return the mask of a region: booleans that broadcast against the state (B, ...), True inside.

        Raises:
            UserError: The text names no region, an empty one, or one outside the example.
        """


class HasBlanks(Protocol):
    """A domain whose files can mark places that are to be generated, such as blanks in a text."""

    def blanks(self, given: Batch) -> tuple[Batch, Tensor]:
        """Return examples with some values in place of blanks, and the mask of their known values.

        Arguments:
            given: Clean states as `Reads.read` returns them; the mask is 1 (or True) outside of blanks.
        """


class HasPartMasks(Protocol):
    """A domain whose states have several parts, of which one mask says what is known, such as known atoms."""

    def part_masks(self, known: Tensor, given: Batch) -> Mapping[str, Tensor] | None:
        """Return the mask of each part, booleans that broadcast against it; None if states have no parts.

        Arguments:
            known: Booleans as `HasRegions.region` returns them, True where known.
            given: Clean states.
        """


class ReadsMasks(Protocol):
    """A domain that reads masks from files, for `polydiff inpaint RUN FILE --mask MASK`."""

    def read_mask(self, path: Path, files: Sequence[Path]) -> Tensor:
        """Return where values are generated: booleans that broadcast against the state (B, ...).

        Arguments:
            path: File of the mask.
            files: Files of the examples, [] for held-out examples.

        Raises:
            UserError: The file cannot be read as a mask, or does not have the size of the examples.
        """


class HasMeasurements(Protocol):
    """A domain with linear measurements of its states, for `polydiff solve RUN FILE --given TEXT`.

    Attributes:
        measurements: One text for each kind of measurement, such as "blur=1.5", that suits examples of training.
    """

    @property
    def measurements(self) -> Sequence[str]: ...

    def measurement(self, text: str, given: Batch) -> Measurement:
        """Return a measurement of clean states (B, ...): the operator, its adjoint and the space of what it gives.

        Arguments:
            text: Name of the measurement, with its value if it has one.
            given: The clean states.

        Raises:
            UserError: The text names no measurement, or one that the states do not allow.
        """


class Grows(Protocol):
    """A domain whose examples are sets that can be extended, for `polydiff inpaint RUN FILE --add N`."""

    def grown(
        self, given: Batch, mask: Tensor, add: str, generators: Sequence[torch.Generator]
    ) -> tuple[Batch, Tensor]:
        """Return given examples with added elements, and the mask of their known values.

        Arguments:
            given: Clean states (B, ...).
            mask: 1 or True where they are known; broadcasts against the state.
            add: Number or kinds of the added elements, as text of the domain's format: 6, or C2H4 for atoms.
            generators: B generators, one an example, for choices that the text leaves open.

        Raises:
            UserError: The text cannot be read, or the examples would be larger than the model can generate.
        """


class Forgets(Protocol):
    """A domain whose codec may spread one place of an example over several numbers of its state."""

    def forget(self, x: State, mask: Tensor, space: Space) -> State:
        """Return clean states (B, ...) that hold no information on the places where the mask is not 1."""


class Compares(Protocol):
    """A domain that compares samples with the true examples, such as reconstructions with the originals."""

    def compare(self, samples: Samples, truth: Samples) -> dict[str, Metric]:
        """Return distances between samples and the true examples, by name."""


class Restores(Compares, Protocol):
    """A domain that can be trained to restore examples from a degraded form.

    Attributes:
        task: Task of its configuration: a `polydiff.contract.tasks.Restoration`, or `Generate`.
    """

    task: Task

    def read_degraded(self, paths: Sequence[Path], degrade: bool = False) -> Batch:
        """Return the user's degraded files as conditions (B, ...), with the baseline's estimates as states (B, ...).

        Arguments:
            paths: Degraded files of one size.
            degrade: Whether the files are complete examples, which are degraded first.

        Raises:
            UserError: The task reads no files, or a file cannot be read or is not of the trained kind.
        """


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
    def inspect(config: Config, said: Collection[str]) -> Inspection:
        """Inspect the data of `config.data`.

        Arguments:
            config: The configuration.
            said: Dotted keys that the user set; they get no advice. polydiff passes this argument by position.
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
