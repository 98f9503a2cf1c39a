"""Sections on states of several parts (process=joint): the kernel of each part, and how training couples levels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

from pydantic import Field, model_validator

from polydiff.contract.sections.base import Numbers, Section


class PartConfig(Section):
    """One part of a state."""

    process: str = "gaussian"
    """Kernel: gaussian, masked, uniform, marginal, circle or rotation."""
    schedule: str = "linear"
    """Schedule of the level: linear, cosine, poly or logistic; unused for gaussian, which has the key `schedule`."""
    schedule_options: Numbers = {}
    """Options of the schedule, such as {power: 2}."""
    weight: float = Field(1.0, ge=0, le=1e6)
    """Weight of the part's loss."""
    weighting: str | None = None
    """Weighting of its levels, elbo or simple; null: simple."""
    sampler: str | None = None
    """Sampler of the part; null: the kernel's own; unused for gaussian, whose sampler is `sample.sampler`."""
    options: dict[str, Any] = {}
    """Options of its sampler, such as {temperature: 0.9}."""


class CouplingConfig(Section):
    """Shares of training examples by how the levels of their parts are related. They add up to 1."""

    same: float = Field(1.0, ge=0, le=1)
    """All parts at the levels of one time, as in sampling."""
    apart: float = Field(0.0, ge=0, le=1)
    """Each part at a time of its own."""
    given: float = Field(0.0, ge=0, le=1)
    """One part, or several, clean, so that the others can be sampled given them."""
    none: float = Field(0.0, ge=0, le=1)
    """One part, or several, without information, as in the prior, so that the others can be sampled without them."""
    parts: tuple[str, ...] = ()
    """Parts that `given` and `none` choose from, a+b for parts a and b together; none: each part alone."""

    @model_validator(mode="after")
    def _whole(self) -> Self:
        total = self.same + self.apart + self.given + self.none
        if abs(total - 1) > 1e-9:
            raise ValueError(f"the shares same, apart, given and none add up to {total:g}, and should to 1")
        return self


def parts_in(group: str) -> Sequence[str]:
    """Return the parts of an entry of `coupling.parts`, such as a+b."""
    return group.split("+")
