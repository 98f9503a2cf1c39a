"""The loop that runs a plan of parts: one call of the network a row, then each part moves by its kernel.

Symbols: B number of samples, R rows of a part.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from torch import Tensor

from polydiff.core.conditions import Condition
from polydiff.core.parts.product import Parts, Product, part_streams
from polydiff.core.space import shared_level
from polydiff.parts.guidance import Network
from polydiff.parts.kernel import Kernel, Row


@dataclass(frozen=True)
class JointRow:
    """One call of the network, and the rows by which the parts move.

    Arguments:
        rows: Name of a part -> its row; parts without one stay as they are.
        levels: Name of a part -> its level before the row, for all parts.
        evaluates: Whether the network is called.
    """

    rows: Mapping[str, Row]
    levels: Mapping[str, float]
    evaluates: bool = True


@dataclass(frozen=True)
class Held:
    """Known values, which sampling keeps.

    Arguments:
        x_0: Clean parts.
        masks: Name of a part -> booleans that broadcast against it, True where known; a part may be missing.
        conditioned: Parts on whose known values the network is conditioned: their noise is not replaced, and they are
            put in at the end alone, against rounding.
    """

    x_0: Parts
    masks: Mapping[str, Tensor] = field(default_factory=dict)
    conditioned: Collection[str] = ()


class Step(NamedTuple):
    """The state before a row, and what the network said of it; None if it was not called."""

    row: JointRow
    x: Parts
    f: Parts | None


def run_rows(
    rows: Sequence[JointRow],
    network: Network,
    kernels: Mapping[str, Kernel],
    x: Parts,
    space: Product,
    cond: Condition | None,
    generators: Sequence[torch.Generator],
    held: Held | None = None,
) -> Iterator[Step]:
    """Run a plan and yield a `Step` before each row moves the state, and one more at the end.

    Arguments:
        rows: The plan.
        network: Gives an output of each part.
        kernels: Name of a part -> its kernel.
        x: Parts at the levels of the first row.
        space: Where they live.
        cond: Conditions; None: none.
        generators: B random streams.
        held: Known values; None: none.
    """
    own = part_streams(generators, kernels)
    memories: dict[str, list[Any]] = {name: [] for name in kernels}
    for row in rows:
        levels = {name: shared_level(level) for name, level in row.levels.items()}
        f = network(x, levels, space, cond) if row.evaluates else None
        yield Step(row, x, f)
        moved = dict(x)
        for name, move in row.rows.items():
            output = x[name] if f is None else f[name]  # a row without a call of the network ignores it
            moved[name] = kernels[name].step(move, output, x[name], space.parts[name], own[name], memories[name])
        ends = {name: move.to for name, move in row.rows.items()}
        x = moved if held is None else with_known(moved, ends, held, kernels, space, own)
    if rows:
        ends = {**rows[-1].levels, **{name: move.to for name, move in rows[-1].rows.items()}}
        yield Step(JointRow({}, ends, evaluates=False), x, None)


def begin(
    rows: Sequence[JointRow],
    kernels: Mapping[str, Kernel],
    space: Product,
    generators: Sequence[torch.Generator],
    init: Parts | None = None,
    held: Held | None = None,
) -> Parts:
    """Return the parts at which a plan begins: the prior, or given states corrupted to its first levels.

    Arguments:
        rows: The plan.
        kernels: Name of a part -> its kernel.
        space: Where the parts live.
        generators: B random streams.
        init: Clean states to begin from; None: the prior.
        held: Known values; None: none.
    """
    own, x = part_streams(generators, kernels), {}
    for name, kernel in kernels.items():
        part = space.parts[name]
        if init is None:
            x[name] = kernel.prior(part, own[name])
        else:
            level = torch.full((space.batch,), rows[0].levels[name], dtype=torch.float64, device=part.dim.device)
            x[name] = kernel.corrupt(init[name], level, part, own[name])
    return x if held is None else with_known(x, rows[0].levels, held, kernels, space, own)


@torch.no_grad()
def sample_parts(
    rows: Sequence[JointRow],
    network: Network,
    kernels: Mapping[str, Kernel],
    space: Product,
    cond: Condition | None = None,
    *,
    generators: Sequence[torch.Generator],
    held: Held | None = None,
) -> Parts:
    """Return B samples, name of a part -> (R, ...).

    Arguments:
        rows: The plan.
        network: Gives an output of each part.
        kernels: Name of a part -> its kernel.
        space: Where the samples live.
        cond: Conditions; None: none.
        generators: B random streams.
        held: Known values; None: none.
    """
    x = begin(rows, kernels, space, generators, held=held)
    for step in run_rows(rows, network, kernels, x, space, cond, generators, held):
        x = step.x
    return x


def with_known(
    x: Parts,
    levels: Mapping[str, float],
    held: Held,
    kernels: Mapping[str, Kernel],
    space: Product,
    own: Mapping[str, Sequence[torch.Generator]],
) -> dict[str, Any]:
    """Return parts whose known values are as a state of these levels contains them.

    Arguments:
        x: Parts.
        levels: Name of a part -> its level; parts that are missing stay as they are.
        held: Known values.
        kernels: Name of a part -> its kernel.
        space: Where the parts live.
        own: Name of a part -> B random streams.
    """
    found = dict(x)
    for name, level in levels.items():
        if name in held.masks and not (level > 0 and name in held.conditioned):
            part = space.parts[name]
            each = torch.full((space.batch,), level, dtype=torch.float64, device=part.dim.device)
            known = kernels[name].hold(held.x_0[name], each, part, own[name]) if level > 0 else held.x_0[name]
            found[name] = kernels[name].put(found[name], known, held.masks[name], part)
    return found
