"""The rows of a plan of parts: the levels of a sampler's steps, and how each part moves in them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from torch import Tensor

from polydiff.parts.kernel import KernelEntry, is_by_size
from polydiff.parts.sampling.execute import JointRow
from polydiff.parts.schedule import level_grid


class Grid(Protocol):
    """Makes the rows of a plan.

    Attributes:
        lead: Name of the part whose level is that of the process.
        by_size: Whether the number of rows depends on the samples' sizes.
    """

    @property
    def lead(self) -> str: ...

    @property
    def by_size(self) -> bool: ...

    def rows(self, sites: int) -> Sequence[JointRow]:
        """Return the rows for samples of at most so many sites."""


@dataclass(frozen=True)
class OnePart:
    """The rows of a state of one part.

    Arguments:
        lead: Name of the part.
        entry: Its kernel's entry in the registry, which has the samplers.
        schedule: Time -> level.
        sampler: Name of the sampler.
        steps: Number of steps.
        options: Options of the sampler.
        start: Time of the first level.
    """

    lead: str
    entry: KernelEntry
    schedule: Callable[[Tensor], Tensor]
    sampler: str
    steps: int
    options: Mapping[str, Any]
    start: float = 1.0

    @property
    def by_size(self) -> bool:
        return is_by_size(self.entry.samplers[self.sampler])

    def rows(self, sites: int) -> Sequence[JointRow]:
        levels = level_grid(self.schedule, self.steps, self.start)
        rows = self.entry.samplers[self.sampler](levels, sites, **self.options)
        return [JointRow({self.lead: row}, {self.lead: row.at}) for row in rows]
