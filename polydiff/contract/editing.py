"""Abilities of a `Domain` that edit examples: the user's own files, regions, masks, measurements, and degraded forms.

`polydiff.contract.abilities` has the others, and says how a domain gets them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from polydiff.contract.domain import Samples
from polydiff.metrics.results import Metric

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from polydiff.contract.tasks.task import Task
    from polydiff.core.space import Batch, Measurement, Space, State


class Reads(Protocol):
    """A domain that reads the user's own files, for `polydiff vary RUN FILE ...`."""

    def read(self, paths: Sequence[Path]) -> Batch:
        """Return files as clean states (B, ...), one a file, with every condition missing.

        Raises:
            UserError: A file cannot be read, is not of the kind that the model was trained on, or differs from the
                others in size.
        """


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
        task: Task of its configuration: a `polydiff.contract.tasks.task.Restoration`, or `Generate`.
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
