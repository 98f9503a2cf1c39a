"""What a modality may provide beside a `Domain`: each protocol is a thing that more can be done with.

A domain has an ability by having its methods or attributes; nothing is registered.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, runtime_checkable

from polydiff.domain import Domain, Metric, Samples

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray
    from torch import Tensor

    from polydiff.space import Batch, Space, State
    from polydiff.tasks import Task


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
    from polydiff.conditions import KNOWN

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
