"""What a task is, and the one without conditions.

Symbols: B batch, C channels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol

import torch
from torch import Tensor

from polydiff.core.conditions import Condition, Conditions
from polydiff.core.space import State
from polydiff.support.errors import UserError


class Task(Protocol):
    """Conditions of a network that are computed from the example itself."""

    @property
    def conditions(self) -> Conditions:
        """Name -> kind of the task's conditions."""

    @property
    def residual(self) -> bool:
        """Whether states are residuals, which have no meaning without the task's conditions."""


class Observes(Task, Protocol):
    """A task whose conditions follow from states alone."""

    def observe(self, x: State, generators: Sequence[torch.Generator]) -> dict[str, Tensor]:
        """Return the task's conditions of clean states (B, ...), by name.

        Random parts, such as masks, are drawn from each example's own generator.
        """


class Restoration(Protocol):
    """A task with a true result and a simple baseline.

    Attributes:
        simple: Description of the baseline.
    """

    @property
    def conditions(self) -> Conditions:
        """Name -> kind of the task's conditions."""

    @property
    def simple(self) -> str: ...

    def guess(self, observed: Condition, sizes: Sequence[int]) -> State:
        """Return the baseline's estimates (B, C, *sizes), computed from the task's conditions.

        Arguments:
            observed: The task's conditions.
            sizes: Sizes of a state's axes, without those of batch and channels; () if the state has several parts.
        """

    def finish(self, x: State, observed: Condition) -> State:
        """Return sampled states (B, C, ...) with the known values put back."""


@dataclass(frozen=True)
class Generate:
    """Unconditional generation: a task without conditions."""

    residual: ClassVar[bool] = False

    @property
    def conditions(self) -> Conditions:
        return {}

    def observe(self, x: State, generators: Sequence[torch.Generator]) -> dict[str, Tensor]:
        return {}


def with_task_conditions(conditions: Conditions, task: Task) -> Conditions:
    """Return the conditions of the data and those of the task.

    Raises:
        UserError: A condition of the data has the name of one of the task's.
    """
    for name in sorted(conditions.keys() & task.conditions.keys()):
        raise UserError(f"The condition {name} is that of the task. Rename the column {name}.")
    return {**conditions, **task.conditions}
