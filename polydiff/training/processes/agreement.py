"""What the processes of a training agree on before its first step, and which of them holds the run's folder."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from polydiff.contract.abilities import Prepares
from polydiff.contract.domain import Domain
from polydiff.machine.ranks import Ranks
from polydiff.run.folder import Run
from polydiff.support.errors import UserError
from polydiff.support.nested import flat
from polydiff.support.protocols import provides


@contextmanager
def held(run: Run, together: Ranks, check: Callable[[], None] | None = None) -> Iterator[None]:
    """Keep the folder of a run for these processes, and delete what a crash left in it.

    Arguments:
        run: The run.
        together: The processes; the first one holds the folder.
        check: Raises if the folder cannot be used; called before and after it is locked, since another program may
            have started a run in the meantime.
    """
    if not together.first:
        yield
        return
    if check:
        check()
    with run.locked():
        if check:
            check()
        run.sweep()
        yield


def prepared(domain: Domain, together: Ranks) -> None:
    """Let a domain prepare its examples, if it does, in the first process; the others find them in the cache."""
    if provides(domain, Prepares):
        with together.first_before_others():
            domain.prepare()


def check_same(together: Ranks, name: str, values: Mapping[str, Any]) -> None:
    """Raise UserError, in all processes, unless all have the same values.

    Arguments:
        together: The processes.
        name: What has these values, for the message, such as "configuration" or "data".
        values: Values that JSON can hold, nested.
    """
    first, *others = together.collect(dict(values))
    for rank, other in enumerate(others, 1):
        ours, theirs = flat(first), flat(other)
        for key in sorted(ours.keys() | theirs.keys()):
            if ours.get(key) != theirs.get(key):
                raise UserError(
                    f"Processes {rank} and 0 differ in their {name}: {key} is {theirs.get(key)!r} in process {rank}, "
                    f"not {ours.get(key)!r}. Start all with the same command, files and versions."
                )
