"""Whether a network can be trained in the memory there is, seen while it is built, before it is allocated."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from pydantic import BaseModel

from polydiff.contract.sections.run import Config
from polydiff.machine.device import pick_device
from polydiff.machine.memory import available
from polydiff.run.bounds import limited
from polydiff.support.errors import UserError

COPIES = 5
"""Numbers that training holds for each weight: it, its average, its gradient and two of the optimizer."""
NUMBER = 4
"""Bytes of a number."""
PARTS = 200_000
"""Largest number of parameters and modules; more would take minutes to build."""


@contextmanager
def fitting(config: Config) -> Iterator[None]:
    """Raise `UserError` if the network that is built in the `with` block cannot be trained in the memory there is."""
    device = pick_device(config.device)
    free = available(device)
    error = UserError(
        f"The network does not fit in memory: its weights, their average, gradients and the optimizer take more than "
        f"the {mib(free)} that are available on {device}, or it has more than {PARTS:,} layers. Lower {grown(config)}."
    )
    with limited(free * 2**20 / (COPIES * NUMBER), PARTS, error):
        yield


def grown(config: Config) -> str:
    """Return the key of the network or the data whose value is most above its default, with that value."""
    found = [
        (size_of(value) / max(size_of(default), 1.0), f"{name}.{key}={shown(value)}"[:80])
        for name in ("backbone", "data")
        for key, value, default in entries(getattr(config, name))
    ]
    return max(found, default=(0.0, "the sizes of backbone.*"))[1]


def shown(value: Any) -> Any:
    """Return a value as the command line takes it."""
    return list(value) if isinstance(value, tuple) else value


def entries(section: BaseModel) -> Iterator[tuple[str, Any, Any]]:
    """Yield (key, value, default) of a section's sizes; a switch is none."""
    for name, field in type(section).model_fields.items():
        value, default = getattr(section, name), field.get_default(call_default_factory=True)
        if size_of(value) > 0 and not isinstance(default, bool | Mapping):
            yield name, value, default


def size_of(value: Any) -> float:
    """Return a number, or the largest of several, or their count if it is larger; 0 for anything else."""
    if isinstance(value, list | tuple):
        return max([float(len(value)), *map(size_of, value)])
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else 0.0


def mib(amount: float) -> str:
    """Return an amount of memory in MiB as text."""
    return f"{amount:,.0f} MiB" if amount < 10_000 else f"{amount / 1024:,.0f} GiB"
