"""The rows of a plan of several parts: the lead's own, and those of the parts that follow its level."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from polydiff.core.registry import Registry
from polydiff.gaussian.sampling.plan import PlanRow, Renoise, Solve
from polydiff.parts.gaussian import Unevaluated
from polydiff.parts.joint.clock import JointClock
from polydiff.parts.kernel import Row
from polydiff.parts.sampling.execute import JointRow
from polydiff.support.errors import UserError


@dataclass(frozen=True)
class Follower:
    """How a part is sampled that follows the lead.

    Arguments:
        sampler: Name of the sampler.
        samplers: Where it is registered.
        options: Its options.
    """

    sampler: str
    samplers: Registry[Callable[..., Sequence[Row]]]
    options: Mapping[str, Any]

    def rows(self, levels: Sequence[float], sites: int) -> Sequence[Row]:
        """Return one row for each step of falling levels."""
        rows = self.samplers[self.sampler](levels, sites, **self.options)
        if len(rows) != len(levels) - 1 or [row.to for row in rows] != list(levels[1:]):
            raise UserError(
                f"The sampler {self.sampler} takes steps of its own, so a part cannot follow another part by it."
            )
        return rows


def gaussian_rows(top: float, rows: Sequence[PlanRow]) -> tuple[Sequence[Row], Sequence[bool]]:
    """Return the rows of a Gaussian lead, and of each whether it calls the network.

    Arguments:
        top: Noise level of the first row.
        rows: The sampler's rows, such as those of `polydiff.gaussian.sampling.plan.rows_on`.

    Raises:
        ValueError: The sampler chooses its own steps.
    """
    found: list[Row] = []
    for row in rows:
        if isinstance(row, Solve):
            raise ValueError("This sampler chooses its own steps, which the other parts cannot follow.")
        found.append(Unevaluated(row, top) if isinstance(row, Renoise) else row)
        top = row.to
    return found, [not isinstance(row, Unevaluated) for row in found]


@dataclass(frozen=True)
class JointGrid:
    """The rows of a state of several parts.

    A part jumps where the lead calls the network and its level falls. Where the level of the lead rises, as in some
    methods with noise, the followers wait.

    Arguments:
        clock: Levels of all parts from that of the lead.
        own: Rows of the lead.
        evaluates: Of each, whether it calls the network.
        followers: Name of each other part -> how it is sampled.
    """

    clock: JointClock
    own: Sequence[Row]
    evaluates: Sequence[bool]
    followers: Mapping[str, Follower]

    by_size = False

    @property
    def lead(self) -> str:
        return self.clock.name

    def rows(self, sites: int) -> Sequence[JointRow]:
        calls = [i for i, calls in enumerate(self.evaluates) if calls]
        moves: list[dict[str, Row]] = [{self.lead: row} for row in self.own]
        levels: list[dict[str, float]] = [{self.lead: row.at} for row in self.own]
        for name, follower in self.followers.items():
            reached, jumps = self.levels_of(name, calls)
            made = dict(zip(jumps, follower.rows(reached, sites), strict=True))
            level = reached[0]
            for i in range(len(self.own)):
                levels[i][name] = level
                if i in made:
                    moves[i][name] = made[i]
                    level = made[i].to
        return [JointRow(*row) for row in zip(moves, levels, self.evaluates, strict=True)]

    def levels_of(self, name: str, calls: Sequence[int]) -> tuple[list[float], list[int]]:
        """Return the falling levels of a follower, and the places of the rows where it jumps from one to the next."""
        reached, jumps = [float(self.level(name, self.own[0].at))], []
        for i in calls:
            to = 0.0 if i == calls[-1] else self.level(name, self.own[i].to)
            if to < reached[-1]:
                reached.append(to)
                jumps.append(i)
        return reached, jumps

    def level(self, name: str, lead: float) -> float:
        """Return the level of a follower at a level of the lead."""
        return float(self.clock.at(torch.tensor(lead, dtype=torch.float64))[name])
